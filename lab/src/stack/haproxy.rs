//! HAProxy on the L7 nodes. It logs to standard output, because the nodes have no syslog, and stays in the foreground.

use std::fmt::Write as _;

use super::{Outfit, Turn};
use crate::topology::address::{beside, l7, server, service};
use crate::topology::{AGENT_PORT, SERVER_PORT, SERVICE_PORT, SERVICES, Size};

const FILE: &str = "/etc/haproxy/haproxy.cfg";

pub(super) fn outfit(outfit: &mut Outfit, size: Size, number: u32) {
    outfit.file(FILE, configuration(size, number));
    outfit.program("haproxy", Turn::First, &["/usr/sbin/haproxy", "-db", "-f", FILE]);
}

fn configuration(size: Size, number: u32) -> String {
    let mut text = String::from(
        "global
  log stdout format raw local0
  stats socket /run/haproxy-admin.sock mode 660 level admin

defaults
  log    global
  mode   http
  option httplog
  option dontlognull
  timeout connect 5000
  timeout client  50000
  timeout server  50000
",
    );
    for status in [400, 403, 408, 500, 502, 503, 504] {
        let _ = writeln!(text, "  errorfile {status} /etc/haproxy/errors/{status}.http");
    }
    text.push_str("\nfrontend vips\n");
    for each in (1..=SERVICES).map(service) {
        let _ = writeln!(text, "  bind {each}:{SERVICE_PORT}");
    }
    for each in (1..=SERVICES).map(service) {
        let _ = writeln!(text, "  bind {}:{SERVICE_PORT}", beside(each));
    }
    let own = l7(size, number);
    let _ = write!(
        text,
        "  # For checks
  bind {own}:{SERVICE_PORT}
  bind {}:{SERVICE_PORT}
  # Redirect everything to a default backend
  default_backend servers
  # Except healthchecks
  acl dead nbsrv(servers) lt 1
  acl disabled nbsrv(enabler) lt 1
  monitor-uri /healthcheck
  monitor fail if dead || disabled

backend servers
  balance roundrobin
",
        beside(own)
    );
    for number in 1..=size.servers {
        let _ = writeln!(
            text,
            "  server web{number} {}:{SERVER_PORT} check send-proxy agent-check agent-port {AGENT_PORT}",
            server(number)
        );
    }
    let _ =
        write!(text, "\nbackend enabler\n  server enabler 127.0.0.1 agent-check agent-port {AGENT_PORT}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_l7_node_listens_on_the_services_and_on_its_own_addresses_and_checks_every_server() {
        let text = configuration(Size::full(), 13);
        for line in [
            "  bind 198.51.100.4:80\n",
            "  bind 2001:db8::c633:6401:80\n",
            "  bind 192.0.2.151:80\n",
            "  bind 2001:db8::c000:297:80\n",
            "  server web10 2001:db8:1:0:2::10:88 check send-proxy agent-check agent-port 5555\n",
            "  server enabler 127.0.0.1 agent-check agent-port 5555\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.matches("  bind ").count(), 10);
        assert_eq!(text.matches("  server web").count(), 10);
    }
}
