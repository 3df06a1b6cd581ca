//! Files of a fleet with an L4 tier: what is read, and every fault with its place.

use std::time::Duration;

use super::*;
use crate::config::AddressFamily::{Ipv4, Ipv6};

/// A fleet with one node of each tier and a service of both families.
const TIER: &str = "\
version = 1
[nodes.l4-1]
roles = [\"l4\"]
addresses = [\"192.0.2.1\", \"2001:db8:2::1\"]
[nodes.l7-1]
roles = [\"l7\"]
addresses = [\"192.0.2.11\", \"2001:db8:2::11\"]
join = 1
[pools.web]
servers = [{ name = \"a\", address = \"192.0.2.101:80\" }]
[services.www]
port = 80
addresses = [\"198.51.100.1\", \"2001:db8::198.51.100.1\"]
pool = \"web\"
[bgp]
as = 65000
[[bgp.neighbors]]
name = \"rr1\"
address = \"192.0.2.254\"
as = 65000
";

/// [`TIER`] with some texts replaced.
#[track_caller]
fn with(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(TIER.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn a_tier_of_which_only_the_necessary_is_said_finds_a_dead_node_within_a_second() {
    let fleet = good(TIER);
    assert_eq!(fleet.l4, L4::default());
    let timing = fleet.l4.check.timing();
    assert!(timing.interval * timing.fall + timing.timeout < Duration::from_secs(1));
    assert_eq!(
        (&*fleet.l4.scheduler, fleet.l4.tunnel, fleet.l4.check.through),
        ("mh", Encapsulation::Ipip, Through::Node)
    );
    assert_eq!(fleet.l4.disable_file.to_str(), Some("/etc/lb/disable"));

    let (l4, l7) = (&fleet.nodes["l4-1"], &fleet.nodes["l7-1"]);
    assert_eq!((l4.router_id(), l7.join, l7.weight), ("192.0.2.1".parse().ok(), Some(1), 100));
    assert_eq!(l7.address(Ipv6), "2001:db8:2::11".parse().ok());

    let bgp = fleet.bgp.as_ref().unwrap();
    assert_eq!((bgp.autonomous_system, bgp.hold, bgp.local_preference), (65000, BGP_HOLD, 100));
    let neighbor = &bgp.neighbors[0];
    assert_eq!((neighbor.families(), neighbor.port, neighbor.is_of("l4-1")), (vec![Ipv4], 179, true));
}

#[test]
fn a_neighbor_may_be_told_both_families_and_have_some_nodes_only() {
    let fleet = good(&with(&[(
        "as = 65000\n[[bgp",
        "as = 65000\ncommunities = [\"65000:1\"]\nlarge-communities = [\"4200000001:1:2\"]\n[[bgp",
    )]).replace(
        "name = \"rr1\"",
        "name = \"rr1\"\nnodes = [\"l4-1\"]\nfamilies = [\"ipv6\", \"ipv4\"]\nbfd = {}\ngtsm = true\npassword-file = \"/etc/weir/k\"",
    ));
    let bgp = fleet.bgp.as_ref().unwrap();
    let neighbor = &bgp.neighbors[0];
    assert_eq!(neighbor.families(), [Ipv6, Ipv4]);
    assert!(neighbor.is_of("l4-1") && !neighbor.is_of("l4-2"));
    assert_eq!(neighbor.bfd.as_ref().map(Bfd::detection), Some(Duration::from_millis(900)));
    assert_eq!(bgp.communities[0].0, crate::bgp::Community(65000, 1));
    assert_eq!(bgp.large_communities[0].0, crate::bgp::LargeCommunity(4_200_000_001, 1, 2));
}

#[test]
fn each_fault_of_a_tier_is_named_with_its_place_and_what_would_be_right() {
    let wrong: Vec<_> = CASES
        .iter()
        .map(|(changes, expected)| (bad(&with(changes)), *expected))
        .filter(|(said, expected)| said != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is changed in [`TIER`], and what is said of it.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

const CASES: &[Case] = &[
    // Two tiers on one node.
    (
        &[("roles = [\"l4\"]", "roles = [\"l4\", \"l7\"]\njoin = 2")],
        &[
            "3:9: a node cannot be l4 and l7: IPVS would schedule again what the tunnel has just delivered; use two nodes",
        ],
    ),
    // A service that nobody could announce.
    (
        &[("addresses = [\"198.51.100.1\", \"2001:db8::198.51.100.1\"]\n", "")],
        &["11:1: service `www` has no addresses: l4 nodes have to know what to announce; write `addresses`"],
    ),
    // Addresses that no router is told of.
    (
        &[("[\"198.51.100.1\", ", "[\"169.254.20.10\", \"127.0.0.1\", \"fe80::1\", ")],
        &[
            "13:14: 169.254.20.10 is not routed, and l4 nodes announce what is: write another address",
            "13:31: 127.0.0.1 is not routed, and l4 nodes announce what is: write another address",
            "13:44: fe80::1 is not routed, and l4 nodes announce what is: write another address",
        ],
    ),
    // A hold that a healthy node does not keep.
    (
        &[("[bgp]", "[l4]\nhost-hold = \"300ms\"\n[bgp]")],
        &["16:13: 300ms is over between two signs of life of a healthy node: write at least \"2s\""],
    ),
    // No join number.
    (
        &[("join = 1\n", "")],
        &[
            "5:1: the l7 node `l7-1` has no join number, by which l4 nodes keep the same order: write `join = 1`",
        ],
    ),
    // A join number twice.
    (
        &[(
            "[pools.web]",
            "[nodes.l7-0]\nroles = [\"l7\"]\naddresses = [\"192.0.2.12\", \"2001:db8:2::12\"]\njoin = 1\n[pools.web]",
        )],
        &["12:8: join number 1 is that of node `l7-1`: every l7 node has its own, for ever; 2 is free"],
    ),
    // A node without an address of a family that services have.
    (
        &[("[\"192.0.2.11\", \"2001:db8:2::11\"]", "[\"192.0.2.11\"]")],
        &[
            "7:1: node `l7-1` has no IPv6 address, and there are services with IPv6 addresses: tunnels need one at both ends",
        ],
    ),
    // An address of two.
    (
        &[("192.0.2.11", "192.0.2.1"), ("2001:db8:2::11", "198.51.100.1")],
        &[
            "7:1: node `l7-1` has no IPv6 address, and there are services with IPv6 addresses: tunnels need one at both ends",
            "7:14: 192.0.2.1 is written twice; it is an address of node `l4-1`",
            "7:27: 198.51.100.1 is an address of service `www`, which every l4 and l7 node has: a node needs one of its own",
        ],
    ),
    // Addresses that are none.
    (
        &[(
            "[\"192.0.2.1\", \"2001:db8:2::1\"]",
            "[\"192.0.2.1:80\", \"0.0.0.0\", \"::ffff:192.0.2.1\", \"lb1\"]",
        )],
        &[
            "4:14: `192.0.2.1:80` has a port: write the address alone",
            "4:30: `0.0.0.0` is not the address of one machine",
            "4:41: `::ffff:192.0.2.1` is an IPv4 address in IPv6 writing: write \"192.0.2.1\"",
            "4:61: `lb1` is no address such as \"192.0.2.11\" or \"2001:db8::11\"; names are not looked up",
        ],
    ),
    // Fields of another role.
    (
        &[
            ("roles = [\"l4\"]", "roles = [\"l4\"]\njoin = 7"),
            ("join = 1", "join = 1\nrouter-id = \"192.0.2.11\""),
        ],
        &[
            "4:1: `join` is for nodes with the role \"l7\": take it out",
            "10:1: `router-id` is for nodes with the role \"l4\": take it out",
        ],
    ),
    // Sections without anybody.
    (
        &[("roles = [\"l4\"]", "roles = [\"agent\"]"), ("[bgp]", "[l4]\ntunnel = \"gre\"\n[bgp]")],
        &[
            "15:2: the file has no l4 node: give one the role \"l4\", or take this section out",
            "17:2: l4 nodes speak BGP, and the file has none: give one the role \"l4\", or take this section out",
        ],
    ),
    // Nobody to send connections to.
    (
        &[("roles = [\"l7\"]\n", "roles = [\"agent\"]\n"), ("join = 1\n", "")],
        &["2:2: there are l4 nodes, but no l7 node that they could send connections to"],
    ),
    // A quorum that is never reached, and one that is upside down.
    (
        &[("[bgp]", "[l4]\nquorum = { rise = 2, fall = 3 }\n[bgp]")],
        &[
            "16:19: 2 healthy l7 nodes are asked for, and there are 1: nothing would be announced",
            "16:29: an address would be announced with 2 healthy nodes and withdrawn with fewer than 3: `fall` is at most `rise`",
        ],
    ),
    // Checks have the rules of a pool's checks.
    (
        &[(
            "[bgp]",
            "[l4.check]\ntype = \"tcp\"\npath = \"/\"\ninterval = \"100ms\"\ntimeout = \"1s\"\n[bgp]",
        )],
        &[
            "17:1: `path` means nothing to a check of type \"tcp\": take it out, or write type = \"http\"",
            "19:11: the timeout, 1s, is longer than the interval, 100ms: the next check would begin before this one ended",
        ],
    ),
    // A check with nothing to ask for.
    (
        &[("pool = \"web\"\n", "pool = \"web\"\nhealthcheck = \"off\"\n")],
        &[
            "15:15: l4 nodes ask l7 nodes for this: write a path, or `path` in [l4.check], or type = \"tcp\" there",
        ],
    ),
    // A scheduler that is none, a judge that is not there, times that the kernel cannot have.
    (
        &[(
            "[bgp]",
            "[l4]\nscheduler = \"Maglev!\"\njudge = \"strict\"\ntimeouts = { tcp = \"1500ms\", udp = \"0s\" }\n[bgp]",
        )],
        &[
            "16:13: `Maglev!` is no scheduler of the kernel: write \"mh\", or the NAME of a module ip_vs_NAME",
            "17:9: there is no [plugins.strict]: the file has no plugins",
            "18:20: 1500ms are no whole seconds: the kernel takes 1s, 2s and so on",
            "18:36: 0s are no whole seconds: the kernel takes 1s, 2s and so on",
        ],
    ),
    // BGP without a neighbor, with a hold time that cannot be, and an AS number of nobody.
    (
        &[(
            "as = 65000\n[[bgp.neighbors]]\nname = \"rr1\"\naddress = \"192.0.2.254\"\nas = 65000\n",
            "as = 23456\nhold = \"2s\"\nfade = \"2h\"\n",
        )],
        &[
            "15:1: there is nobody to announce to: add [[bgp.neighbors]]",
            "16:6: AS 23456 is reserved and belongs to nobody",
            "17:8: a hold time of 2s cannot be proposed: write \"0s\", or whole seconds from \"3s\"",
            "18:8: 2h is longer than an hour",
        ],
    ),
    // Neighbors twice.
    (
        &[(
            "address = \"192.0.2.254\"\nas = 65000\n",
            "address = \"192.0.2.254\"\nas = 65000\n[[bgp.neighbors]]\nname = \"rr1\"\naddress = \"192.0.2.254\"\nas = 65000\n",
        )],
        &["22:8: a second neighbor `rr1`", "23:11: 192.0.2.254 is the address of neighbor `rr1` already"],
    ),
    // A neighbor of nodes that are not there, or do not speak.
    (
        &[("name = \"rr1\"", "name = \"rr1\"\nnodes = [\"l4-2\", \"l7-1\", \"l4-1\", \"l4-1\"]")],
        &[
            "19:10: there is no [nodes.l4-2]: did you mean `l4-1`?",
            "19:18: node `l7-1` has not the role \"l4\", so it announces nothing",
            "19:34: node `l4-1` is written twice",
        ],
    ),
    // A family without a next hop.
    (
        &[
            ("addresses = [\"192.0.2.1\", \"2001:db8:2::1\"]", "addresses = [\"192.0.2.1\"]"),
            ("[\"198.51.100.1\", \"2001:db8::198.51.100.1\"]", "[\"198.51.100.1\"]"),
            ("name = \"rr1\"", "name = \"rr1\"\nfamilies = [\"ipv4\", \"ipv6\"]"),
        ],
        &[
            "4:1: node `l4-1` has no IPv6 address for neighbor `rr1`: add one, or leave the node or the family out there",
        ],
    ),
    // A node that cannot be told from others.
    (
        &[
            ("addresses = [\"192.0.2.1\", \"2001:db8:2::1\"]", "addresses = [\"2001:db8:2::1\"]"),
            ("[\"198.51.100.1\", \"2001:db8::198.51.100.1\"]", "[\"2001:db8::198.51.100.1\"]"),
            ("address = \"192.0.2.254\"", "address = \"2001:db8:2::fe\""),
        ],
        &[
            "2:1: node `l4-1` has no IPv4 address that could be its BGP identifier: write `router-id`, any IPv4 address that no other has",
        ],
    ),
    // Detection that is slower than what it shall be faster than, or further than it reaches.
    (
        &[("name = \"rr1\"", "name = \"rr1\"\nbfd = { interval = \"3s\" }")],
        &["19:7: BFD would take 9s, no less than the hold time, 9s: make it faster, or take it out"],
    ),
    (
        &[("name = \"rr1\"", "name = \"rr1\"\nmultihop = 2\nbfd = { interval = \"1ms\" }")],
        &[
            "20:1: BFD here is for a neighbor on the same link: take `multihop` or `bfd` out",
            "20:20: 1ms between packets of BFD: write 10ms to 60s",
        ],
    ),
    // Communities that are none.
    (
        &[(
            "as = 65000\n[[bgp",
            "as = 65000\ncommunities = [\"65000\", \"1:70000\"]\nlarge-communities = [\"1:2\"]\n[[bgp",
        )],
        &[
            "17:16: `65000` is no community: write two numbers of 0 to 65535, such as \"65000:100\"",
            "17:25: `1:70000` is no community: write two numbers of 0 to 65535, such as \"65000:100\"",
            "18:22: `1:2` is no large community: write three numbers, such as \"4200000001:1:2\"",
        ],
    ),
    // What is wrong is said once: no fault that is only a consequence.
    (
        &[("join = 1", "join = 0"), ("[\"192.0.2.1\", \"2001:db8:2::1\"]", "\"192.0.2.1\"")],
        &[
            "4:13: expected a list `[...]`, found the text \"192.0.2.1\"",
            "8:8: 0 is out of range: write 1 to 4294967295",
        ],
    ),
];

#[test]
fn all_of_the_tier_changes_live_and_roles_do_not() {
    let old = good(TIER);
    let text = with(&[
        ("join = 1\n", "join = 1\nweight = 50\n"),
        (
            "[pools.web]",
            "[nodes.l7-2]\nroles = [\"l7\"]\naddresses = [\"192.0.2.12\", \"2001:db8:2::12\"]\njoin = 2\n[pools.web]",
        ),
        ("[bgp]", "[l4]\nall-down = \"keep\"\n[bgp]\nmed = 5"),
    ]);
    let changes = super::changes(&old, &good(&text), "l4-1");
    assert_eq!(changes.restart_needed, Vec::<String>::new());
    let live = [
        "nodes.l7-1.weight: 100 -> 50",
        "nodes.l7-2: added",
        "l4.all-down: \"withdraw\" -> \"keep\"",
        "bgp.med: absent -> 5",
    ];
    assert_eq!(changes.live, live);
    // To an l7 node other l7 nodes are nothing, yet.
    let own = super::changes(&old, &good(&text), "l7-1");
    assert_eq!(
        (own.live.as_slice(), own.restart_needed.as_slice()),
        (&["nodes.l7-1.weight: 100 -> 50".to_owned(), "nodes.l7-2: added".to_owned()][..], &[][..])
    );
    let more = super::changes(&old, &good(&TIER.replace("[\"l4\"]", "[\"l4\", \"agent\"]")), "l4-1");
    assert_eq!(more.restart_needed, ["nodes.l4-1.roles: [\"l4\"] -> [\"l4\",\"agent\"]"]);
}
