//! BIRD on the edge routers: takes the services' routes from the reflectors, all paths of them, and gives them to the
//! kernel.
//!
//! The original ran BIRD 1 as two daemons, one for each family; BIRD 2 is one. What each did is kept: only IPv4 has
//! `merge paths`, so only IPv4 is spread over all L4 nodes.

use std::fmt::Write as _;

use super::{Outfit, Turn};
use crate::topology::Size;
use crate::topology::address::{beside, reflector, router};

const FILE: &str = "/etc/bird/bird.conf";

pub(super) fn outfit(outfit: &mut Outfit, size: Size, number: u32) {
    outfit.file(FILE, configuration(size, number));
    outfit.speaker("bird", Turn::First, &["/usr/sbin/bird", "-f", "-c", FILE, "-s", "/run/bird.ctl"]);
}

fn configuration(size: Size, number: u32) -> String {
    let mut text = format!(
        "log stderr all;
router id {};

protocol device {{
  scan time 10;
}}

protocol kernel kernel4 {{
  persist;
  scan time 10;
  merge paths yes;
  ipv4 {{ import none; export all; }};
}}

protocol kernel kernel6 {{
  persist;
  scan time 10;
  ipv6 {{ import none; export all; }};
}}
",
        router(number)
    );
    for number in 1..=size.reflectors {
        let address = reflector(number);
        for (family, version, neighbor) in
            [("ipv4", 4, address.to_string()), ("ipv6", 6, beside(address).to_string())]
        {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "
protocol bgp RR{number}v{version} {{
  debug {{ states, events }};
  local as 65000;
  neighbor {neighbor} as 65000;
  direct;
  hold time 6;
  {family} {{ import all; export none; add paths rx; }};
}}
"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_talks_to_each_reflector_over_each_family_and_merges_paths_of_ipv4_only() {
        let text = configuration(Size::full(), 2);
        assert!(text.contains("router id 192.0.2.131;"));
        for neighbor in ["192.0.2.254", "192.0.2.253", "2001:db8::c000:2fe", "2001:db8::c000:2fd"] {
            assert!(text.contains(&format!("neighbor {neighbor} as 65000;")), "{text}");
        }
        assert_eq!(text.matches("merge paths yes;").count(), 1);
        assert_eq!(text.matches("hold time 6;").count(), 4);
        assert_eq!(text.matches("add paths rx;").count(), 4);
    }
}
