//! Against what the original's `setup` gives out at its own size.

use super::*;

fn full() -> Topology {
    Topology::new(Size::full()).unwrap()
}

fn addresses(topology: &Topology, name: &str, interface: &str) -> Vec<String> {
    let node = topology.node(name).unwrap();
    let wire = node.interfaces.iter().find(|wire| wire.name == interface).unwrap();
    wire.addresses.iter().map(|(address, length)| format!("{address}/{length}")).collect()
}

#[test]
fn at_full_size_every_address_is_the_originals() {
    let topology = full();
    for (node, interface, expected) in [
        ("users", "veth0", ["192.0.2.2/29", "2001:db8::c000:202/125"].as_slice()),
        ("dns", "veth0", &["192.0.2.3/29", "2001:db8::c000:203/125"]),
        ("internet", "veth0", &["192.0.2.1/29", "2001:db8::c000:201/125"]),
        ("internet", "veth1", &["192.0.2.9/27", "2001:db8::c000:209/123"]),
        ("R1", "veth0", &["192.0.2.10/27", "2001:db8::c000:20a/123"]),
        ("R2", "veth1", &["192.0.2.131/25", "2001:db8::c000:283/121"]),
        ("RR1", "veth0", &["192.0.2.254/25", "2001:db8::c000:2fe/121"]),
        ("RR2", "veth0", &["192.0.2.253/25", "2001:db8::c000:2fd/121"]),
        ("LB4-1", "veth0", &["192.0.2.132/25", "2001:db8::c000:284/121"]),
        ("LB4-7", "veth0", &["192.0.2.138/25", "2001:db8::c000:28a/121"]),
        ("LB7-1", "veth0", &["192.0.2.139/25", "2001:db8::c000:28b/121"]),
        ("LB7-13", "veth0", &["192.0.2.151/25", "2001:db8::c000:297/121"]),
        ("LB7-13", "veth1", &["2001:db8:1:0:1::13/64"]),
        ("S10", "veth0", &["2001:db8:1:0:2::10/64"]),
    ] {
        assert_eq!(addresses(&topology, node, interface), expected, "{node} {interface}");
    }
}

#[test]
fn no_address_is_given_out_twice() {
    for size in
        [Size::small(), Size::full(), Size { users: 254, l4: 50, l7: 70, servers: 254, ..Size::full() }]
    {
        let topology = Topology::new(size).unwrap();
        let interfaces = topology.nodes.iter().flat_map(|node| &node.interfaces);
        let mut all: Vec<IpAddr> =
            interfaces.flat_map(|wire| wire.addresses.iter().map(|&(address, _)| address)).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}

#[test]
fn every_interface_is_plugged_into_one_segment_and_has_an_address() {
    let topology = full();
    let plugged: usize = topology.segments().iter().map(|segment| segment.members.len()).sum();
    let interfaces: Vec<&Interface> = topology.nodes.iter().flat_map(|node| &node.interfaces).collect();
    assert_eq!(plugged, interfaces.len());
    assert!(interfaces.iter().all(|wire| !wire.addresses.is_empty()));
    let members = |name: &str| {
        let segments = topology.segments();
        segments.into_iter().find(|segment| segment.name == name).map(|segment| segment.members.len())
    };
    assert_eq!(members(CLIENTS), Some(3));
    assert_eq!(members(EDGE), Some(3));
    assert_eq!(members(INFRASTRUCTURE), Some(2 + 2 + 7 + 14));
    assert_eq!(members(SERVERS), Some(14 + 10));
}

#[test]
fn one_l7_node_more_than_asked_for_is_spare() {
    let topology = full();
    assert_eq!(topology.of(Kind::L7).count(), 13);
    assert_eq!(topology.spare().map(|node| node.name.as_str()), Some("LB7-14"));
}

#[test]
fn a_size_that_the_address_plan_has_no_room_for_is_refused_in_words() {
    for (size, word) in [
        (Size { users: 255, ..Size::full() }, "203.0.113.0/24"),
        (Size { l7: 120, ..Size::full() }, "192.0.2.128/25"),
        (Size { servers: 0, ..Size::full() }, "--servers is 0"),
    ] {
        let refusal = Topology::new(size).unwrap_err().to_string();
        assert!(refusal.contains(word), "{refusal}");
    }
}

#[test]
fn routes_of_the_world_lead_over_both_routers_in_both_families() {
    let topology = full();
    let lines = topology.commands(topology.node("internet").unwrap(), false);
    for line in [
        "route add 203.0.113.0/24 via 192.0.2.2\n",
        "route add 2001:db8::203.0.113.0/120 via 2001:db8::c000:202\n",
        "route add 198.51.100.0/24 nexthop via 192.0.2.10 nexthop via 192.0.2.11\n",
        "route add 2001:db8::198.51.100.0/120 nexthop via 2001:db8::c000:20a nexthop via 2001:db8::c000:20b\n",
    ] {
        assert!(lines.contains(line), "{line} is missing in\n{lines}");
    }
}

#[test]
fn an_l7_node_has_a_tunnel_of_each_family_with_the_services_on_it() {
    let topology = full();
    let lines = topology.commands(topology.node("LB7-2").unwrap(), false);
    for line in [
        "link add tunlv4 type ipip local 192.0.2.140\n",
        "link add tunlv6 type ip6tnl mode ip6ip6 local 2001:db8::c000:28c\n",
        "addr add 198.51.100.4/32 dev tunlv4\n",
        "addr add 2001:db8::c633:6404/128 dev tunlv6 nodad\n",
        "route add 203.0.113.0/24 nexthop via 192.0.2.130 nexthop via 192.0.2.131\n",
    ] {
        assert!(lines.contains(line), "{line} is missing in\n{lines}");
    }
}

#[test]
fn users_have_an_address_of_each_family_on_lo() {
    let topology = full();
    let lines = topology.commands(topology.node("users").unwrap(), false);
    assert!(lines.contains("addr add 203.0.113.200/32 dev lo\n"));
    assert!(lines.contains("addr add 2001:db8::cb00:71c8/128 dev lo nodad\n"));
    assert!(!lines.contains("203.0.113.201"));
}

#[test]
fn the_original_faults_are_kept() {
    let settings = sysctl::of(Kind::L4, false);
    for fault in [("net.ipv4.vs.expire_nodest_conn", "0"), ("net.ipv4.vs.schedule_icmp", "0")] {
        assert!(settings.contains(&fault));
    }
    // The world spreads by addresses, the routers by five tuples.
    let spreads = ("net.ipv4.fib_multipath_hash_policy", "1");
    assert!(
        sysctl::of(Kind::Router, false).contains(&spreads)
            && !sysctl::of(Kind::Internet, false).contains(&spreads)
    );
    let topology = full();
    let lines = topology.commands(topology.node("LB4-1").unwrap(), false);
    assert!(!lines.contains("2001:db8::203.0.113.0/120"), "{lines}");
}

#[test]
fn services_are_four_of_each_family() {
    let services = full().services();
    assert_eq!(services.len(), 8);
    assert_eq!(services.first().map(ToString::to_string).as_deref(), Some("198.51.100.1"));
    assert_eq!(services.last().map(ToString::to_string).as_deref(), Some("2001:db8::c633:6404"));
}

#[test]
fn what_the_programs_of_a_node_make_is_not_made_for_them() {
    let topology = full();
    for name in ["LB4-1", "LB7-1"] {
        let node = topology.node(name).unwrap();
        let (given, rest) = (topology.commands(node, false), topology.commands(node, true));
        assert!(given.contains("198.51.100.1/32") && !rest.contains("198.51.100."), "{rest}");
        assert!(!rest.contains("tunl") && rest.contains("route add 203.0.113.0/24"), "{rest}");
    }
    assert!(sysctl::of(Kind::L4, true).iter().all(|(name, _)| !name.contains("vs.")));
}
