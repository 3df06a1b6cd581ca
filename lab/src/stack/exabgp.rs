//! ExaBGP on the L4 nodes: announces whatever is on `lo` while keepalived says that there are L7 nodes and no operator
//! says otherwise. The healthcheck is told `--no-syslog` where the original tells it to log to syslog only: the nodes have
//! none, and without it there would be a stack trace for each line.

use std::fmt::Write as _;

use super::{Outfit, Turn};
use crate::topology::Size;
use crate::topology::address::{beside, l4, reflector};

const FILE: &str = "/etc/exabgp/exabgp.conf";
/// What keepalived makes while it has L7 nodes.
const READY: [&str; 2] = ["/etc/lb/v4-ready", "/etc/lb/v6-ready"];
const PYTHON: &str = "/usr/bin/python3";

pub(super) fn outfit(outfit: &mut Outfit, size: Size, number: u32) {
    outfit.file(FILE, configuration(size, number));
    outfit.program(
        "exabgp",
        Turn::After(&READY),
        &[
            // Before others as speakers are, but behind those that have sessions while its interpreters start.
            "/usr/bin/nice",
            "-n",
            "-5",
            "/usr/bin/env",
            "exabgp.log.destination=stderr",
            "exabgp.api.cli=false",
            "exabgp.daemon.user=root",
            PYTHON,
            "-m",
            "exabgp",
            FILE,
        ],
    );
}

fn configuration(size: Size, number: u32) -> String {
    let own = l4(size, number);
    let mut text = String::new();
    for version in [4, 6] {
        let _ = write!(
            text,
            "process service-ipvs-v{version} {{
  run {PYTHON} -m exabgp healthcheck --no-syslog --name ipvs{version} --interval 10 --increase 0 --cmd \"test -f \
             /etc/lb/v{version}-ready -a ! -f /etc/lb/disable\";
  encoder text;
}}

"
        );
    }
    text.push_str("template {\n");
    for (version, local) in [(4, own.to_string()), (6, beside(own).to_string())] {
        let _ = write!(
            text,
            "  neighbor v{version} {{
    router-id {own};
    local-address {local};
    local-as 65000;
    peer-as 65000;
    hold-time 6;
    family {{
      ipv{version} unicast;
    }}
    api services-v{version} {{
      processes [ service-ipvs-v{version} ];
    }}
  }}
"
        );
    }
    text.push_str("}\n");
    for address in (1..=size.reflectors).map(reflector) {
        let _ = write!(
            text,
            "
neighbor {address} {{
  inherit v4;
}}
neighbor {} {{
  inherit v6;
}}
",
            beside(address)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_l4_node_announces_to_each_reflector_over_each_family_by_the_files_of_the_original() {
        let text = configuration(Size::full(), 3);
        for line in [
            "  run /usr/bin/python3 -m exabgp healthcheck --no-syslog --name ipvs4 --interval 10 --increase 0 --cmd \"test -f \
             /etc/lb/v4-ready -a ! -f /etc/lb/disable\";\n",
            "    local-address 192.0.2.134;\n",
            "    local-address 2001:db8::c000:286;\n",
            "neighbor 2001:db8::c000:2fd {\n  inherit v6;\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.matches("hold-time 6;").count(), 2);
    }
}
