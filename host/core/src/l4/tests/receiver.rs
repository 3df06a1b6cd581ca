//! The network side of an l7 node.

use std::collections::BTreeSet;

use super::*;
use crate::desired::TunnelKind;

/// What a node wants that has been there for long, and hands nothing on.
fn receiver(fleet: &Fleet, node: &str) -> Desired {
    let mut fleet = fleet.clone();
    fleet.l4.second_chance.enabled = false;
    let mut desired = Receiver::new(Arc::new(fleet), node, None, 0).desired(0);
    desired.ipvs.ownership = Default::default();
    desired
}

#[test]
fn an_l7_node_takes_packets_from_every_address_of_every_l4_node_and_from_nobody_else() {
    let desired = receiver(&with(&[]), "a");
    assert_eq!(desired.check(), Ok(()));
    let ends: BTreeSet<String> = desired.tunnels.iter().map(|tunnel| tunnel.remote.to_string()).collect();
    let expected = ["192.0.2.1", "192.0.2.2", "192.0.2.202", "2001:db8:2::1", "2001:db8:2::2"];
    assert_eq!(ends, expected.map(str::to_owned).into());
    for tunnel in &desired.tunnels {
        let own = if tunnel.kind == TunnelKind::Ipip { "192.0.2.11" } else { "2001:db8:2::11" };
        assert_eq!(tunnel.local.to_string(), own);
    }
    let addresses: Vec<String> = desired.addresses.iter().map(|address| address.0.to_string()).collect();
    assert_eq!(addresses, ["198.51.100.1", "198.51.100.2", "2001:db8::1:1"]);
    assert!(desired.ipvs.table.is_empty() && desired.speaker.is_none());
}

#[test]
fn no_packet_from_a_tunnel_is_dropped_for_the_way_that_its_answer_takes() {
    let desired = receiver(&with(&[]), "a");
    let filters: Vec<&str> = desired
        .sysctls
        .iter()
        .filter(|sysctl| sysctl.name.ends_with("/rp_filter") && sysctl.value == "0")
        .map(|sysctl| sysctl.name.as_str())
        .collect();
    assert_eq!(filters.len(), 1 + 3, "all, and each IPv4 tunnel: {filters:?}");
    assert!(filters.contains(&"net/ipv4/conf/weir-4c0000201/rp_filter"), "{filters:?}");
}

#[test]
fn the_name_of_a_tunnel_stays_when_others_come_and_go() {
    let names = |fleet: &Fleet| -> BTreeSet<(String, String)> {
        receiver(fleet, "a")
            .tunnels
            .into_iter()
            .map(|tunnel| (tunnel.remote.to_string(), tunnel.name))
            .collect()
    };
    let more = with(&[(
        "nodes.l4-2",
        "nodes.l4-0 = { roles = [\"l4\"], addresses = [\"192.0.2.3\", \"2001:db8:2::3\"] }\nnodes.l4-2",
    )]);
    let (before, after) = (names(&with(&[])), names(&more));
    assert!(before.is_subset(&after) && after.len() == before.len() + 2);
    let other = with(&[("[bgp]", "[l4]\ntunnel = \"gre\"\n[bgp]")]);
    assert!(names(&other).is_disjoint(&before), "another kind is another device");
    let kinds: BTreeSet<&str> =
        receiver(&other, "a").tunnels.iter().map(|tunnel| tunnel.kind.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["gre", "ip6gre"]));
}

#[test]
fn who_has_no_part_in_the_tier_wants_nothing() {
    let fleet = with(&[]);
    assert!(has_tunnels(&fleet, "a") && has_tunnels(&fleet, "l4-1") && !has_tunnels(&fleet, "nobody"));
    assert_eq!(receiver(&fleet, "l4-1").tunnels.len(), 0);
    let alone = crate::config::parse(
        "f",
        "version = 1\nnodes.a.roles = [\"l7\"]\npools.p.servers = [{ name = \"s\", address = \"192.0.2.9:80\" }]\n\
         services.s = { port = 80, pool = \"p\" }\n",
    )
    .unwrap();
    assert!(!has_tunnels(&alone, "a"));
    assert_eq!(receiver(&alone, "a"), Desired::default());
}

#[test]
fn the_largest_segments_fit_the_largest_wrapping() {
    assert_eq!(MAX_SEGMENT, (1436, 1396));
}

#[test]
fn a_node_that_was_an_l4_node_before_sends_nothing_away_any_more() {
    let fleet = with(&[]);
    let mut kernel = crate::ipvs::Memory::new();
    let before = Bench::up(&fleet).last().ipvs.clone();
    for change in kernel.plan(&before).changes {
        kernel.done(&change).unwrap();
    }
    let mut afresh = crate::ipvs::Memory::new();
    afresh.see(kernel.known().clone());
    for enabled in [true, false] {
        let mut fleet = Fleet::clone(&fleet);
        fleet.l4.second_chance.enabled = enabled;
        let desired = Receiver::new(Arc::new(fleet), "a", None, 0).desired(0);
        assert_eq!(desired.check(), Ok(()));
        let removed: Vec<String> = afresh
            .plan(&desired.ipvs)
            .changes
            .iter()
            .map(ToString::to_string)
            .filter(|change| change.starts_with("tcp") && change.ends_with(": remove"))
            .collect();
        assert_eq!(removed.len(), before.table.len(), "{removed:?}");
    }
}
