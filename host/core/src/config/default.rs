//! Every default, with where its number comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::value::{Period, Size};

/// Where plugin files lie. The layout of `/etc`, `/var/lib` and `/run` is that of any Debian daemon.
pub const PLUGINS_DIRECTORY: &str = "/etc/weir/plugins";
/// Where Weir keeps what must survive a restart.
pub const STATE_DIRECTORY: &str = "/var/lib/weir";
/// Where sockets are.
pub const RUN_DIRECTORY: &str = "/run/weir";
/// The file whose first line is a node's word on itself, where operators of the original stack put it.
pub const AGENT_FILE: &str = "/etc/lb/agent-check";
/// The port of the agent check, as in the original stack's `agent-port 5555`; all addresses of both families, since
/// nodes ask each other and servers may have IPv6 only.
pub const AGENT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 5555);
/// Loopback, since metrics are nobody else's business until an operator says so; 9901 is not in use by a known exporter's default.
pub const METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// How long a stopping node still accepts: two rounds of keepalived's or HAProxy's checks at 2 s, and one to spare.
pub const DRAIN_GRACE: Period = Period::from_millis(5_000);
/// How long a stopping node waits for requests in all: below the 50 s that a request may take and the 45 s after which the unit that ships has systemd kill it.
pub const DRAIN_TIMEOUT: Period = Period::from_millis(30_000);
/// The path that the other tiers of the original stack ask (HAProxy `monitor-uri`).
pub const HEALTHCHECK: &str = "/healthcheck";
/// Memory of one scheduler instance. The largest that ships, a consistent hash over 4096 servers, needs under 4 MiB.
pub const PLUGIN_MEMORY: Size = Size::from_mib(16);
/// Further attempts on other servers. HAProxy's `retries` is 3 on the same server and moves on at the last;
/// each of ours moves on at once, and three servers that refuse in a row are not bad luck any more.
pub const RETRIES: u8 = 2;
/// `timeout connect 5s` of the original stack.
pub const CONNECT_TIMEOUT: Period = Period::from_millis(5_000);
/// `timeout server 50s` of the original stack.
pub const RESPONSE_TIMEOUT: Period = Period::from_millis(50_000);
/// `timeout server 50s` of the original stack.
pub const READ_TIMEOUT: Period = Period::from_millis(50_000);
/// `timeout server 50s` of the original stack.
pub const WRITE_TIMEOUT: Period = Period::from_millis(50_000);
/// Below the 75 s of nginx's `keepalive_timeout`, so that mostly we close first and no request meets a closing connection.
pub const SERVER_IDLE: Period = Period::from_millis(60_000);
/// `timeout client 50s` of the original stack.
pub const CLIENT_REQUEST: Period = Period::from_millis(50_000);
/// What Pingora and Envoy's edge guidance keep an idle client connection for.
pub const CLIENT_IDLE: Period = Period::from_millis(60_000);
/// HAProxy's `inter`.
pub const CHECK_INTERVAL: Period = Period::from_millis(2_000);
/// Half of [`CHECK_INTERVAL`]: HAProxy lets a check take all of `inter`, which hides a server that is almost dead.
pub const CHECK_TIMEOUT: Period = Period::from_millis(1_000);
/// HAProxy's `rise`.
pub const CHECK_RISE: u8 = 2;
/// HAProxy's `fall`.
pub const CHECK_FALL: u8 = 3;
/// What HAProxy's `httpchk` takes for success: 2xx and 3xx.
pub const CHECK_EXPECT: (u16, u16) = (200, 399);
/// HAProxy's `agent-inter`.
pub const AGENT_INTERVAL: Period = Period::from_millis(2_000);
/// HAProxy's `weight`.
pub const WEIGHT: u16 = 1;
