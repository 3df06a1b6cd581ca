//! GoBGP on the reflectors: whoever calls from the infrastructure network is a client; sixteen paths are handed on.

use super::{Outfit, Turn};
use crate::topology::address::{beside, reflector};

const FILE: &str = "/etc/gobgp/gobgp.yaml";

pub(super) fn outfit(outfit: &mut Outfit, number: u32) {
    outfit.file(FILE, configuration(number));
    outfit.speaker(
        "gobgpd",
        Turn::First,
        &[
            "/usr/bin/gobgpd",
            "-t",
            "yaml",
            "-f",
            FILE,
            "--log-plain",
            "--pprof-disable",
            "--api-hosts",
            "127.0.0.1:50051",
        ],
    );
}

fn configuration(number: u32) -> String {
    let v4 = reflector(number);
    let v6 = beside(v4);
    // The original holds IPv6 sessions for three seconds and IPv4 sessions for six.
    let group = |version: u8, hold: u8, keepalive: u8| {
        format!(
            "  - config:
      peer-group-name: rr-client-v{version}
      peer-as: 65000
    timers:
      config:
        connect-retry: 5
        hold-time: {hold}
        keepalive-interval: {keepalive}
    afi-safis:
      - config:
          afi-safi-name: ipv{version}-unicast
    route-reflector:
      config:
        route-reflector-client: true
        route-reflector-cluster-id: {v4}
    add-paths:
      config:
        receive: true
        send-max: 16
"
        )
    };
    format!(
        "global:
  config:
    as: 65000
    router-id: {v4}
    local-address-list:
      - {v4}
      - {v6}
peer-groups:
{}{}dynamic-neighbors:
  - config:
      peer-group: rr-client-v4
      prefix: 192.0.2.128/25
  - config:
      peer-group: rr-client-v6
      prefix: 2001:db8::192.0.2.128/121
",
        group(4, 6, 2),
        group(6, 3, 1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reflector_has_a_group_for_each_family_with_the_originals_times() {
        let text = configuration(1);
        for line in [
            "    router-id: 192.0.2.254\n",
            "      - 2001:db8::c000:2fe\n",
            "        hold-time: 6\n        keepalive-interval: 2\n",
            "        hold-time: 3\n        keepalive-interval: 1\n",
            "      prefix: 2001:db8::192.0.2.128/121\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.matches("send-max: 16").count(), 2);
    }
}
