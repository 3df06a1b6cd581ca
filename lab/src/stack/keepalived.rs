//! keepalived on the L4 nodes: asks every L7 node for its health and keeps IPVS like the answers.

use std::fmt::Write as _;

use super::{Outfit, Turn};
use crate::topology::address::{beside, l7, service};
use crate::topology::{SERVICE_PORT, Size};

/// Its file, read again at SIGHUP.
pub(crate) const FILE: &str = "/etc/keepalived/keepalived.conf";

pub(super) fn outfit(outfit: &mut Outfit, size: Size) {
    outfit.file(FILE, configuration(size, size.l7));
    outfit.program(
        "keepalived",
        Turn::AfterL7,
        &["/usr/sbin/keepalived", "--dont-fork", "--log-console", "--check", "--use-file", FILE],
    );
}

/// Its configuration with the first `nodes` L7 nodes.
pub(crate) fn configuration(size: Size, nodes: u32) -> String {
    // Not in the original, whose machine had no user `keepalived_script` and so ran scripts as root.
    let mut text = String::from("global_defs {\n   script_user root\n}\n\n");
    for version in [4, 6] {
        let of = |v4: std::net::Ipv4Addr| match version {
            4 => v4.to_string(),
            _ => beside(v4).to_string(),
        };
        for (algorithm, first) in [("mh", 1), ("sh", 3)] {
            let group = format!("VS_GROUP_{}_IPv{version}", algorithm.to_uppercase());
            let _ = write!(
                text,
                "virtual_server_group {group} {{
   {} {SERVICE_PORT}
   {} {SERVICE_PORT}
}}

virtual_server group {group} {{
   delay_loop 10
   lvs_method TUN
   lvs_sched {algorithm}
   {algorithm}-port
   protocol TCP
   alpha
   omega
   quorum_up \"/bin/touch /etc/lb/v{version}-ready\"
   quorum_down \"/bin/rm -f /etc/lb/v{version}-ready\"

",
                of(service(first)),
                of(service(first + 1)),
            );
            for node in 1..=nodes {
                let _ = write!(
                    text,
                    "   real_server {} {SERVICE_PORT} {{
      weight 1
      HTTP_GET {{
        url {{
          path /healthcheck
          status_code 200
        }}
        connect_timeout 2
      }}
   }}
",
                    of(l7(size, node))
                );
            }
            text.push_str("}\n\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_two_services_by_each_algorithm_with_every_l7_node_behind_them() {
        let text = configuration(Size::full(), 13);
        assert_eq!(text.matches("virtual_server group ").count(), 4);
        assert_eq!(text.matches("real_server ").count(), 4 * 13);
        for line in [
            "virtual_server_group VS_GROUP_MH_IPv4 {\n   198.51.100.1 80\n   198.51.100.2 80\n",
            "virtual_server_group VS_GROUP_SH_IPv6 {\n   2001:db8::c633:6403 80\n   2001:db8::c633:6404 80\n",
            "   lvs_sched mh\n   mh-port\n",
            "   lvs_sched sh\n   sh-port\n",
            "   real_server 192.0.2.139 80 {\n",
            "   real_server 2001:db8::c000:297 80 {\n",
            "   quorum_down \"/bin/rm -f /etc/lb/v6-ready\"\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_node_more_is_appended_and_changes_nothing_else() {
        let (before, after) = (configuration(Size::small(), 2), configuration(Size::small(), 3));
        let new: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
        assert_eq!(new.len(), 4, "{new:?}");
        assert!(new.iter().all(|line| line.contains("real_server ")));
    }
}
