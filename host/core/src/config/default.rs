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
/// The port of DNS, on all addresses of both families.
pub const DNS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 53);
/// The port of DNS over TLS (RFC 7858), on all addresses of both families.
pub const DNS_TLS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 853);
/// What RFC 8484 has in its examples, and clients ask where they are told a name only.
pub const DNS_HTTPS_PATH: &str = "/dns-query";
/// Where zone files lie.
pub const ZONES_DIRECTORY: &str = "/etc/weir/zones";
/// Where operators of the original stack put gdnsd's `extfile`.
pub const DNS_STATE_FILE: &str = "/etc/lb/ext";
/// gdnsd has 256 for each thread.
pub const DNS_CONNECTIONS: u16 = 1024;
/// gdnsd's `tcp_timeout` is 37 s; RFC 7766 asks for "a few seconds" at least, and resolvers that keep connections ask for more.
pub const DNS_IDLE: Period = Period::from_millis(30_000);
/// Below ten seconds resolvers ask all the time, and some take it for ten anyway.
pub const DNS_MIN_TTL: Period = Period::from_millis(10_000);
/// Five minutes: the TTL of the record in the zone is usually the lower limit of the two.
pub const DNS_MAX_TTL: Period = Period::from_millis(300_000);
/// HAProxy's `weight`.
pub const WEIGHT: u16 = 1;
/// Share of an l7 node: 100, so that an agent's or operator's percentage means something.
pub const NODE_WEIGHT: u16 = 100;
/// The only scheduler whose placements are the same on all l4 nodes without their talking to each other.
pub const L4_SCHEDULER: &str = "mh";
/// Where operators of the original stack put the file that takes an l4 node out.
pub const DISABLE_FILE: &str = "/etc/lb/disable";
/// Longer than a restart of the host process takes, shorter than anybody should be sent to a node on which nobody decides.
pub const HOST_HOLD: Period = Period::from_millis(10_000);
/// Longer than most connections last.
pub const SECOND_CHANCE_REMEMBER: Period = Period::from_millis(3_600_000);
/// One node is enough to be announced, as keepalived's `quorum`.
pub const QUORUM_RISE: u16 = 1;
/// As [`QUORUM_RISE`]: without a node there is nothing to announce.
pub const QUORUM_FALL: u16 = 1;
/// A dead node is known within a second: 3 times this and as much again; keepalived's `delay_loop` in the original stack is 10 s.
pub const NODE_CHECK_INTERVAL: Period = Period::from_millis(200);
/// HAProxy's `fall`; two lost packets in a row are weather.
pub const NODE_CHECK_FALL: u8 = 3;
/// As many as for [`NODE_CHECK_FALL`]: a node that restarts gets its connections back soon, one that flaps does not.
pub const NODE_CHECK_RISE: u8 = 3;
/// What a service answers at its health path while it can serve.
pub const NODE_CHECK_EXPECT: u16 = 200;
/// The kernel's, as are the two below.
pub const IPVS_TCP: Period = Period::from_millis(900_000);
/// A client that says FIN; the answer is not seen here.
pub const IPVS_TCP_FIN: Period = Period::from_millis(120_000);
/// UDP.
pub const IPVS_UDP: Period = Period::from_millis(300_000);
/// The port of BGP.
pub const BGP_PORT: u16 = 179;
/// Three seconds are the least that there is; thrice that outlives a busy router. BFD is for those who want to know sooner.
pub const BGP_HOLD: Period = Period::from_millis(9_000);
/// Two seconds: an update passes a route reflector and is chosen everywhere within one.
pub const BGP_FADE: Period = Period::from_millis(2_000);
/// As [`BGP_FADE`].
pub const BGP_DRAIN: Period = Period::from_millis(2_000);
/// What every router takes where nothing is said.
pub const BGP_LOCAL_PREFERENCE: u32 = 100;
/// MetalLB's and FRR's; three of them are 0.9 s.
pub const BFD_INTERVAL: Period = Period::from_millis(300);
/// RFC 5882 and everybody's default.
pub const BFD_MULTIPLIER: u8 = 3;
