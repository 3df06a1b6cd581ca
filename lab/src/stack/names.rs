//! What the DNS server answers, whoever's program it is: three names, two policies, and the file of operators.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::topology::SERVICES;
use crate::topology::address::{beside, service};

/// Says which addresses an operator wants to be answered.
pub(crate) const STATE_FILE: &str = "/etc/lb/ext";

/// The zone.
pub(crate) const ZONE: &str = "example.org";

/// A policy, and the first of its two services.
pub(super) const POLICIES: [(&str, u32); 2] = [("web1", 1), ("web2", 3)];

/// Names of the zone, each with its policy.
pub(crate) const NAMES: [(&str, &str); 3] = [("www", "web1"), ("www1", "web1"), ("www2", "web2")];

/// The two addresses of each family behind a name.
pub(crate) fn addresses(name: &str) -> Vec<IpAddr> {
    let policy = NAMES.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy);
    let first = POLICIES.iter().find(|(known, _)| Some(*known) == policy).map(|(_, first)| *first);
    first.map(of_policy).unwrap_or_default()
}

/// The same of a policy, by its first service.
pub(super) fn of_policy(first: u32) -> Vec<IpAddr> {
    let four: Vec<Ipv4Addr> = [first, first + 1].map(service).to_vec();
    let six = four.iter().map(|v4| IpAddr::V6(beside(*v4)));
    four.iter().map(|v4| IpAddr::V4(*v4)).chain(six).collect()
}

/// The state file, in which these addresses are down.
pub(crate) fn state_file(down: &[IpAddr]) -> String {
    let four: Vec<Ipv4Addr> = (1..=SERVICES).map(service).collect();
    let all = four.iter().map(|v4| IpAddr::V4(*v4)).chain(four.iter().map(|v4| IpAddr::V6(beside(*v4))));
    let mut text = String::new();
    for address in all {
        let word = if down.contains(&address) { "DOWN" } else { "UP" };
        let _ = writeln!(text, "{address} => {word}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_two_addresses_of_each_family() {
        let shown = |name| addresses(name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown("www2"),
            ["198.51.100.3", "198.51.100.4", "2001:db8::c633:6403", "2001:db8::c633:6404"]
        );
        assert_eq!(shown("www"), shown("www1"));
        assert!(shown("mail").is_empty());
    }

    #[test]
    fn the_state_file_names_every_service_address() {
        let down: IpAddr = "198.51.100.2".parse().unwrap();
        let text = state_file(&[down]);
        assert_eq!(text.lines().count(), 8);
        assert!(text.contains("198.51.100.2 => DOWN\n") && text.contains("2001:db8::c633:6402 => UP\n"));
        assert_eq!(text.matches("DOWN").count(), 1);
    }
}
