//! The PROXY protocol, version 1, towards servers: one line that says who the client is.
//!
//! It is the first bytes of a new connection, which from then on is for the client that it names only.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::key;

/// The line for one client connection.
#[derive(Debug)]
pub(crate) struct ProxyLine {
    text: String,
    group: u64,
}

impl ProxyLine {
    /// What HAProxy's `send-proxy` writes: mixed families as IPv6.
    pub(crate) fn new(client: SocketAddr, local: SocketAddr) -> Self {
        let (from, to) = (client.ip(), local.ip());
        let mut text = String::with_capacity(107);
        // Writing into a String does not fail.
        let _ = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => write!(text, "PROXY TCP4 {from} {to}"),
            _ => write!(text, "PROXY TCP6 {} {}", to_v6(from), to_v6(to)),
        };
        let _ = write!(text, " {} {}\r\n", client.port(), local.port());
        // Zero is the group of connections without a line.
        let group = key::hash(text.as_bytes()).max(1);
        Self { text, group }
    }

    /// The key of connections that may be used again for this client.
    pub(crate) fn group(&self) -> u64 {
        self.group
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn to_v6(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(client: &str, local: &str) -> String {
        ProxyLine::new(client.parse().unwrap(), local.parse().unwrap()).text
    }

    #[test]
    fn the_line_is_haproxys() {
        assert_eq!(
            text("192.0.2.7:4321", "198.51.100.1:80"),
            "PROXY TCP4 192.0.2.7 198.51.100.1 4321 80\r\n"
        );
        assert_eq!(
            text("[2001:db8::7]:4321", "[2001:db8::1]:80"),
            "PROXY TCP6 2001:db8::7 2001:db8::1 4321 80\r\n"
        );
        assert_eq!(
            text("192.0.2.7:4321", "[2001:db8::1]:80"),
            "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 4321 80\r\n"
        );
    }

    #[test]
    fn two_connections_of_one_client_have_two_groups() {
        let line = |client: &str| {
            ProxyLine::new(client.parse().unwrap(), "198.51.100.1:80".parse().unwrap()).group()
        };
        assert_ne!(line("192.0.2.7:1"), line("192.0.2.7:2"));
        assert_eq!(line("192.0.2.7:1"), line("192.0.2.7:1"));
    }
}
