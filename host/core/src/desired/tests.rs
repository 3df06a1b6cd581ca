//! What a sidecar refuses to do for anybody.

use std::net::IpAddr;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tunnel(name: &str, kind: TunnelKind, local: &str, remote: &str) -> Tunnel {
    Tunnel { name: name.to_owned(), kind, local: ip(local), remote: ip(remote) }
}

fn redirect(mark: u32) -> Redirect {
    Redirect { from: TunnelKind::Ipip, port: 80, mark: mark.try_into().unwrap() }
}

fn node() -> Desired {
    Desired {
        generation: 7,
        tunnels: vec![
            tunnel("weir-4-1", TunnelKind::Ipip, "192.0.2.31", "192.0.2.11"),
            tunnel("weir-6-1", TunnelKind::Ip6tnl, "2001:db8:2::31", "2001:db8:2::11"),
        ],
        addresses: vec![ServiceAddress(ip("198.51.100.1")), ServiceAddress(ip("2001:db8::198.51.100.1"))],
        sysctls: vec![
            Sysctl::new("net/ipv4/vs/sloppy_tcp", "1"),
            Sysctl::new("net/ipv4/conf/eth0.100/arp_ignore", "1"),
        ],
        ..Desired::default()
    }
}

#[test]
fn what_a_node_wants_is_taken_and_survives_its_way_as_text() {
    let desired = node();
    assert_eq!(desired.check(), Ok(()));
    let text = serde_json::to_string(&desired).unwrap();
    assert_eq!(serde_json::from_str::<Desired>(&text).unwrap(), desired);
}

#[test]
fn a_difference_brings_whoever_has_the_state_that_it_was_made_for_to_the_next() {
    let before = node();
    let said = speaker::Config::new(65_000, [192, 0, 2, 1].into());
    let steps: [fn(&mut Desired, speaker::Config); 7] = [
        |desired, _| drop(desired.tunnels.pop()),
        |desired, _| desired.addresses.clear(),
        |desired, _| desired.sysctls.clear(),
        |desired, said| desired.speaker = Some(said),
        |desired, _| desired.hold *= 2,
        |desired, _| desired.redirects.push(redirect(0x5746_0050)),
        |desired, _| desired.ipvs.order = crate::ipvs::Order::Report,
    ];
    // Each thing alone, all at once, and back.
    for chosen in 0..1_u32 << steps.len() {
        let mut after = before.clone();
        after.generation += 1;
        for (_, step) in steps.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1) {
            step(&mut after, said.clone());
        }
        for (from, to) in [(&before, &after), (&after, &before)] {
            let text = serde_json::to_string(&Delta::between(from, to)).unwrap();
            let delta: Delta = serde_json::from_str(&text).unwrap();
            assert_eq!(delta.apply(from).as_ref(), Ok(to), "{text}");
        }
    }
}

#[test]
fn a_difference_to_another_state_is_not_applied_and_one_to_a_bad_state_neither() {
    let (before, mut after) = (node(), Desired { generation: 8, ..node() });
    let delta = Delta::between(&before, &after);
    let earlier = Desired { generation: 6, ..node() };
    assert_eq!(delta.apply(&earlier), Err(Misfit::Generation { from: 7, in_force: 6 }));
    after.addresses.push(ServiceAddress(ip("127.0.0.1")));
    let bad = Delta::between(&before, &after).apply(&before);
    assert_eq!(bad, Err(Misfit::Fault(Fault::Address { address: ip("127.0.0.1") })));
}

#[test]
fn devices_that_are_not_weirs_are_never_asked_for() {
    for name in ["eth0", "weir-", "weir-vip", "weir-0123456789a", "weir-../x", "weir-a b", "Weir-1"] {
        let mut desired = node();
        desired.tunnels[0].name = name.to_owned();
        assert_eq!(desired.check(), Err(Fault::Name { name: name.to_owned() }), "{name}");
    }
    let mut desired = node();
    desired.tunnels[1].name = desired.tunnels[0].name.clone();
    assert_eq!(desired.check(), Err(Fault::Twice { name: "weir-4-1".to_owned() }));
}

#[test]
fn a_tunnel_has_one_peer_and_ends_of_its_family() {
    for (local, remote) in [
        ("192.0.2.31", "0.0.0.0"),
        ("192.0.2.31", "2001:db8::1"),
        ("192.0.2.31", "192.0.2.31"),
        ("224.0.0.1", "192.0.2.1"),
    ] {
        let mut desired = node();
        (desired.tunnels[0].local, desired.tunnels[0].remote) = (ip(local), ip(remote));
        assert!(matches!(desired.check(), Err(Fault::Ends { .. })), "{local} {remote}");
    }
}

#[test]
fn packets_are_marked_with_marks_for_that_only() {
    for (mark, is_one) in
        [(0x5746_0001, true), (0x5746_ffff, true), (0x5746_0000, false), (0x5745_0050, false), (1, false)]
    {
        let desired = Desired { redirects: vec![redirect(mark)], ..node() };
        let fault = Err(Fault::Mark { mark: mark.try_into().unwrap() });
        assert_eq!(desired.check(), if is_one { Ok(()) } else { fault });
    }
}

#[test]
fn an_address_that_no_router_sends_here_is_refused() {
    for address in [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "fe80::1",
        "169.254.0.1",
        "::ffff:192.0.2.1",
    ] {
        let mut desired = node();
        desired.addresses.push(ServiceAddress(ip(address)));
        assert_eq!(desired.check(), Err(Fault::Address { address: ip(address) }));
    }
}

#[test]
fn only_the_settings_that_a_balancer_needs_may_be_named() {
    for (name, value) in [
        ("kernel/core_pattern", "1"),
        ("net/ipv4/vs/sloppy_tcp", "|/bin/sh"),
        ("net/ipv4/vs/sloppy_tcp", ""),
        ("net/ipv4/vs/sloppy_tcp/x", "1"),
        ("net/ipv4/conf/../rp_filter", "1"),
        ("net/ipv4/conf//rp_filter", "1"),
        ("/net/ipv4/vs/sloppy_tcp", "1"),
        ("net/ipv4/conf/eth0/forwarding", "1"),
    ] {
        let mut desired = node();
        desired.sysctls = vec![Sysctl::new(name, value)];
        assert!(matches!(desired.check(), Err(Fault::Sysctl { .. })), "{name} {value}");
    }
}

#[test]
fn more_than_a_fleet_has_is_refused_before_it_is_looked_at() {
    let mut desired = node();
    desired.addresses = vec![ServiceAddress(ip("127.0.0.1")); MAX_ENTRIES + 1];
    assert_eq!(desired.check(), Err(Fault::TooMany { count: MAX_ENTRIES + 1 }));
}

/// What the network is after the changes, taken one by one; each has to be possible when its turn comes.
fn carried_out(there: &network::Network, changes: &[network::Change]) -> network::Network {
    use network::{Change, Device, DeviceKind};
    let mut now = there.clone();
    for change in changes {
        match change.clone() {
            Change::AddServiceDevice => {
                let made = Device { up: false, kind: DeviceKind::Dummy };
                assert_eq!(now.devices.insert(SERVICE_DEVICE.to_owned(), made), None);
            }
            Change::AddTunnel(tunnel) => {
                let name = tunnel.name.clone();
                assert_eq!(
                    now.devices.insert(name, Device { up: false, kind: DeviceKind::Tunnel(tunnel) }),
                    None
                );
            }
            Change::Up(name) => now.devices.get_mut(&name).unwrap().up = true,
            Change::AddAddress(address) => {
                assert!(now.devices[SERVICE_DEVICE].up && now.addresses.insert(address));
            }
            Change::RemoveAddress(address) => assert!(now.addresses.remove(&address)),
            Change::RemoveDevice(name) => {
                now.devices.remove(&name).unwrap();
                if name == SERVICE_DEVICE {
                    now.addresses.clear();
                }
            }
        }
    }
    now
}

fn made(desired: &Desired, there: &network::Network) -> network::Network {
    let changes = network::changes(desired, there);
    let after = carried_out(&carried_out(there, &changes.make), &changes.remove);
    assert!(network::changes(desired, &after).is_empty(), "a second look finds nothing to do");
    after
}

#[test]
fn an_empty_network_becomes_what_is_wanted_and_empty_again() {
    let desired = node();
    let after = made(&desired, &network::Network::default());
    assert_eq!((after.devices.len(), after.addresses.len()), (3, 2));
    assert!(after.devices.values().all(|d| d.up));
    let empty = made(&Desired::default(), &after);
    assert_eq!(empty, network::Network::default());
}

#[test]
fn what_stays_is_not_touched_while_other_things_come_and_go() {
    let before = made(&node(), &network::Network::default());
    let mut desired = node();
    desired.tunnels[0].remote = ip("192.0.2.12");
    desired.addresses[0] = ServiceAddress(ip("198.51.100.2"));
    let changes = network::changes(&desired, &before);
    let mut touched: Vec<_> = changes.make.iter().chain(&changes.remove).map(ToString::to_string).collect();
    touched.retain(|t| t.contains("weir-6-1") || t.contains("2001:db8::c633:6401"));
    assert_eq!(touched, Vec::<String>::new());
    made(&desired, &before);
}

#[test]
fn a_device_of_another_kind_under_our_name_is_replaced_and_one_of_another_name_is_not_seen() {
    use network::{Device, DeviceKind, Network};
    let other = |word: &str| Device { up: true, kind: DeviceKind::Other(word.to_owned()) };
    let mut there = Network::default();
    there.devices.insert("weir-4-1".to_owned(), other("bridge"));
    there.devices.insert(SERVICE_DEVICE.to_owned(), other("veth"));
    there.devices.insert("eth0".to_owned(), other("veth"));
    let after = made(&node(), &there);
    assert_eq!(after.devices["eth0"], other("veth"));
    assert_eq!(after.devices[SERVICE_DEVICE].kind, DeviceKind::Dummy);
}

#[test]
fn a_device_that_somebody_took_down_comes_up_again() {
    let mut there = made(&node(), &network::Network::default());
    there.devices.get_mut("weir-6-1").unwrap().up = false;
    let changes = network::changes(&node(), &there);
    assert_eq!(changes.make, [network::Change::Up("weir-6-1".to_owned())]);
    assert!(changes.remove.is_empty());
}

#[test]
fn balancer_and_routes_are_for_service_addresses_only() {
    let speaking = |prefix: &str| {
        let (address, length) = prefix.split_once('/').unwrap();
        let prefix = Prefix::new(ip(address), length.parse().unwrap()).unwrap();
        let mut speaker = speaker::Config::new(65_000, [192, 0, 2, 1].into());
        speaker.routes.push(speaker::Route::of(prefix));
        (Desired { speaker: Some(speaker), ..node() }, prefix)
    };
    for served in ["198.51.100.1/32", "2001:db8::c633:6401/128"] {
        assert_eq!(speaking(served).0.check(), Ok(()), "{served}");
    }
    for foreign in ["0.0.0.0/0", "198.51.100.0/24", "198.51.100.2/32", "::/0"] {
        let (desired, prefix) = speaking(foreign);
        assert_eq!(desired.check(), Err(Fault::ForeignRoute { prefix }));
    }

    let balancing = |key: Key| {
        let service = ipvs::Service { key, settings: ipvs::Settings::maglev(), destinations: Vec::new() };
        let table = ipvs::Table::of([service]).unwrap();
        Desired { ipvs: ipvs::Wanted { table, ..ipvs::Wanted::default() }, ..node() }
    };
    let mark = |mark: u32| Key::Mark { family: crate::maglev::Family::V4, mark: mark.try_into().unwrap() };
    for ours in [Key::tcp("198.51.100.1:80".parse().unwrap()), mark(MARKS.first), mark(REDIRECT_MARKS.last)] {
        assert_eq!(balancing(ours).check(), Ok(()), "{ours}");
    }
    for service in [Key::tcp("192.0.2.31:22".parse().unwrap()), mark(1)] {
        assert_eq!(balancing(service).check(), Err(Fault::ForeignService { service }));
    }

    let claiming = |ownership: ipvs::Ownership| {
        Desired { ipvs: ipvs::Wanted { ownership, ..ipvs::Wanted::default() }, ..node() }.check()
    };
    let some =
        ipvs::Ownership { addresses: [ip("198.51.100.1")].into(), marks: Some(MARKS), ..Default::default() };
    assert_eq!(claiming(some), Ok(()));
    for all in [
        ipvs::Ownership { everything: true, ..Default::default() },
        ipvs::Ownership { addresses: [ip("198.51.100.9")].into(), ..Default::default() },
        ipvs::Ownership { marks: Some(ipvs::Marks { first: 1, last: u32::MAX }), ..Default::default() },
    ] {
        assert_eq!(claiming(all), Err(Fault::ForeignServices));
    }
}
