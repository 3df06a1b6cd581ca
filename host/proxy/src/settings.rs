//! What an operator may choose, already checked and in the form that the request path wants.
//!
//! `weir` makes these from the fleet file; this crate reads no file.

use std::time::Duration;

use http::HeaderName;

/// Limits on what a server may take. There is no "none": a server that never answers would keep a client, and a
/// place among the requests in flight, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimeouts {
    /// To set up a TCP connection, the PROXY line included.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub response: Duration,
    /// Between two parts of an answer.
    pub read: Duration,
    /// For one write of the request.
    pub write: Duration,
    /// How long an unused connection is kept. Shorter than the server's own limit saves a retry.
    pub idle: Duration,
}

impl Default for ServerTimeouts {
    /// 5 s to connect, 50 s to answer, 50 s between two parts, 50 s to take a write, 30 s unused.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(50),
            read: Duration::from_secs(50),
            write: Duration::from_secs(50),
            idle: Duration::from_secs(30),
        }
    }
}

/// Limits on what a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// From the first part of a request's head to its end, and between two reads of its body.
    pub read: Duration,
    /// How long it may take nothing of an answer.
    pub write: Duration,
    /// From the connection, or the end of the last request, to the end of the next request's head.
    pub keep_alive: Duration,
}

impl Default for ClientTimeouts {
    /// 50 s to read and to write, 60 s between two requests.
    fn default() -> Self {
        Self {
            read: Duration::from_secs(50),
            write: Duration::from_secs(50),
            keep_alive: Duration::from_secs(60),
        }
    }
}

/// What a request's key is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Key {
    /// Random bits for each request.
    #[default]
    Random,
    /// The first header of this name, as the server will see it.
    Header(HeaderName),
    /// The first cookie of this name.
    Cookie(String),
    /// The path, without the query.
    Path,
    /// The client's address, without the port.
    Source,
}

/// How a pool speaks with its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Limits on each attempt.
    pub timeouts: ServerTimeouts,
    /// Further servers that are tried after one could not be reached, or broke off what may be sent twice; 0 to 8, more is taken as 8.
    pub retries: u32,
    /// What the policy's key is made of.
    pub key: Key,
    /// Whether each connection to a server begins with a PROXY line (version 1) that names the client. Connections
    /// are then used again for the same client connection only, and kept for a second at most, whatever `idle` says: what is
    /// left when the client has gone is of no use to anybody.
    pub send_proxy: bool,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { timeouts: ServerTimeouts::default(), retries: 2, key: Key::Random, send_proxy: false }
    }
}

/// The most further servers that one request is tried on.
pub(crate) const MAX_RETRIES: u32 = 8;

/// How the whole node listens and serves; fixed at the start.
#[derive(Debug)]
pub struct Options {
    /// Shards: OS threads with everything of their own. At least 1, commonly the number of cores.
    pub workers: usize,
    /// TCP ports to listen on, on every address. 0 is a free port, see [`Shards::ports`](crate::Shards::ports).
    pub ports: Vec<u16>,
    /// The largest segments that clients are asked to send, where they reach this node through tunnels.
    pub segments: Option<Segments>,
    /// Whether shard i is bound to the i-th core that this process may use.
    pub pin_cores: bool,
    /// Where requests are logged; `None` logs none.
    pub access_log: Option<crate::AccessLog>,
    /// Largest request head, bytes; a larger one is answered with 431.
    pub max_head: usize,
    /// Unused connections to servers that a shard keeps.
    pub idle_connections: usize,
}

/// The largest TCP segments (MSS) that clients are asked to send, bytes. A packet that fits its path to an L4 node and no longer fits when that
/// has wrapped it is lost where a filter eats the ICMP message about it, and large uploads with it. Asked for in the answer to a
/// client's SYN, and so kept by us as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// From IPv4 clients.
    pub v4: u16,
    /// From IPv6 clients.
    pub v6: u16,
}

impl Default for Options {
    /// One shard, no port, no log.
    fn default() -> Self {
        Self {
            workers: 1,
            ports: Vec::new(),
            segments: None,
            pin_cores: false,
            access_log: None,
            max_head: 64 * 1024,
            idle_connections: 4096,
        }
    }
}
