//! The PROXY protocol, version 1, towards servers: one line that says who the client is.
//!
//! Pingora knows nothing of it. A connector of our own writes the line as the first bytes of a new connection, and the
//! peer's group key keeps connections of different clients apart: the key is part of what Pingora's pool compares, the connector is not.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4;
use pingora_error::{Error, ErrorType, OrErr};
use tokio::io::AsyncWriteExt;

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
}

fn to_v6(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Connects and writes the line.
#[derive(Debug)]
pub(crate) struct Announce {
    pub(crate) line: std::sync::Arc<ProxyLine>,
    /// With a connector of our own, Pingora's `connection_timeout` is not looked at.
    pub(crate) timeout: Duration,
}

#[async_trait]
impl Connect for Announce {
    async fn connect(&self, address: &l4::socket::SocketAddr) -> pingora_error::Result<l4::stream::Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::ConnectError, "a PROXY line needs a TCP connection");
        };
        let connect = async {
            let mut tcp = l4::ext::connect(address, None).await?;
            tcp.write_all(self.line.text.as_bytes())
                .await
                .or_err(ErrorType::ConnectError, "while writing the PROXY line")?;
            Ok(tcp)
        };
        match tokio::time::timeout(self.timeout, connect).await {
            Ok(connected) => connected.map(Into::into),
            Err(_) => Error::e_explain(ErrorType::ConnectTimedout, "while connecting with a PROXY line"),
        }
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
