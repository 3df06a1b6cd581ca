//! BIRD on the edge routers: takes the services' routes from the reflectors, all paths of them, and gives them to the
//! kernel.
//!
//! The original ran BIRD 1 as two daemons, one for each family; BIRD 2 is one. What each did is kept: only IPv4 has
//! `merge paths`, so only IPv4 is spread over all L4 nodes.
//!
//! Weir's L4 nodes speak to the routers themselves as well, watched by BFD, which the reflectors (GoBGP) do not have: what they say
//! is preferred to what the reflectors say, which would be believed until a hold time is over.

use std::fmt::Write as _;

use super::{Outfit, Stack, Turn};
use crate::topology::Size;
use crate::topology::address::{beside, l4, reflector, router};

const FILE: &str = "/etc/bird/bird.conf";

pub(super) fn outfit(outfit: &mut Outfit, size: Size, number: u32, tier: Stack) {
    outfit.file(FILE, configuration(size, number, tier));
    outfit.speaker("bird", Turn::First, &["/usr/sbin/bird", "-f", "-c", FILE, "-s", "/run/bird.ctl"]);
}

fn configuration(size: Size, number: u32, tier: Stack) -> String {
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
    if tier == Stack::Weir {
        text.push_str(WATCHED);
        for number in 1..=size.l4 {
            let address = l4(size, number);
            for (family, version, neighbor) in
                [("ipv4", 4, address.to_string()), ("ipv6", 6, beside(address).to_string())]
            {
                let session = session(number, version);
                let _ = write!(
                    text,
                    "
protocol bgp {session} {{
  debug {{ states, events }};
  local as 65000;
  neighbor {neighbor} as 65000;
  direct;
  bfd on;
  hold time 6;
  # Without these a router leaves a node alone for a minute and more whose processes died in the middle of a message.
  connect delay time 1; connect retry time 2; error wait time 1, 2;
  {family} {{ preference 200; import all; export none; }};
}}
"
                );
            }
        }
    }
    text
}

/// What a router calls its session with an L4 node over one version of IP, in its configuration and its log.
pub(crate) fn session(l4: u32, version: u32) -> String {
    format!("L4n{l4}v{version}")
}

/// The same intervals as the L4 nodes': gone after 300 ms.
const WATCHED: &str = "
protocol bfd watched {
  debug { states, events };
  interface \"*\" {
    min rx interval 100 ms;
    min tx interval 100 ms;
    multiplier 3;
  };
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_talks_to_each_reflector_over_each_family_and_merges_paths_of_ipv4_only() {
        let text = configuration(Size::full(), 2, Stack::Classic);
        assert!(text.contains("router id 192.0.2.131;"));
        for neighbor in ["192.0.2.254", "192.0.2.253", "2001:db8::c000:2fe", "2001:db8::c000:2fd"] {
            assert!(text.contains(&format!("neighbor {neighbor} as 65000;")), "{text}");
        }
        assert_eq!(text.matches("merge paths yes;").count(), 1);
        assert_eq!(text.matches("hold time 6;").count(), 4);
        assert_eq!(text.matches("add paths rx;").count(), 4);
        assert!(!text.contains("bfd"));
    }

    #[test]
    fn weirs_l4_nodes_are_spoken_to_and_watched_over_each_family() {
        let text = configuration(Size::small(), 1, Stack::Weir);
        assert_eq!((text.matches("protocol bgp L4n").count(), text.matches("bfd on;").count()), (4, 4));
        assert!(text.contains("neighbor 2001:db8::c000:285 as 65000;"), "{text}");
    }
}
