//! Who runs what.

use super::*;
use crate::topology::Size;

fn programs(choice: Choice, node: &str) -> Vec<&'static str> {
    let topology = Topology::new(Size::small()).unwrap();
    let node = topology.node(node).unwrap();
    let outfit = Outfit::of(&topology, choice, node, Path::new("/lab"), Path::new("/weir"));
    outfit.programs.iter().map(|program| program.name).collect()
}

#[test]
fn each_tier_runs_the_programs_of_its_stack() {
    let mixed = Choice { l4: Stack::Classic, ..Choice::WEIR };
    assert_eq!(programs(Choice::WEIR, "LB4-1"), ["weir"]);
    assert_eq!(programs(Choice::CLASSIC, "LB7-1"), ["socat", "haproxy"]);
    assert_eq!(programs(mixed, "LB7-1"), ["weir"]);
    assert_eq!(programs(Choice::CLASSIC, "S1"), ["nginx", "application", "socat"]);
    assert_eq!(programs(mixed, "S1"), ["nginx", "application", "weir"]);
    assert_eq!(programs(Choice::CLASSIC, "dns"), ["gdnsd"]);
    assert_eq!(programs(mixed, "dns"), ["weir"]);
    for (node, expected) in [
        ("LB4-1", ["keepalived", "exabgp"].as_slice()),
        ("R1", &["bird"]),
        ("RR1", &["gobgpd"]),
        ("users", &[]),
        ("internet", &[]),
    ] {
        assert_eq!(programs(Choice::CLASSIC, node), expected);
        assert_eq!(programs(mixed, node), expected);
    }
}

#[test]
fn a_stack_is_known_by_its_name_only() {
    assert_eq!("weir".parse::<Stack>().ok(), Some(Stack::Weir));
    assert_eq!("classic".parse::<Stack>().ok(), Some(Stack::Classic));
    let refusal = "modern".parse::<Stack>().unwrap_err().to_string();
    assert!(refusal.contains("neither"), "{refusal}");
}
