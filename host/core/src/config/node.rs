//! Nodes, and what a node has whatever its roles: paths, log, metrics, agent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bgp::AddressFamily;
use super::default;
use super::value::{AbsolutePath, Period, written_as_text};
use crate::model::MAX_WEIGHT;

/// The most workers of one node: the largest machines have fewer cores, and each worker has its own sockets and memory.
pub const MAX_WORKERS: u16 = 1024;

/// A machine that runs `weir`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Node {
    /// What the node does, at least one.
    pub roles: Vec<Role>,
    /// Worker threads of the proxy and of the DNS server, each with listeners and plugin instances of its own. 0: one for each core.
    #[serde(default, deserialize_with = "super::value::within::<_, _, 0, { MAX_WORKERS as u64 }>")]
    #[schemars(range(max = MAX_WORKERS))]
    pub workers: u16,
    /// Addresses of the node itself, such as `"192.0.2.11"`. The first of each family is where tunnels, checks and BGP sessions of the node
    /// end; packets in tunnels are taken from all addresses of l4 nodes and from nobody else. Needed where there are l4 nodes.
    #[serde(default, deserialize_with = "super::value::hosts")]
    #[schemars(with = "Vec<super::value::Host>")]
    pub addresses: Vec<IpAddr>,
    /// Place of an l7 node in the kernel's tables: a number that no other l7 node has or had. A new node takes the next larger one, so that
    /// all l4 nodes have their tables in the same order. Needed where there are l4 nodes.
    #[serde(default, deserialize_with = "join")]
    #[schemars(range(min = 1))]
    pub join: Option<u32>,
    /// Share of an l7 node in the connections, relative to other l7 nodes. 0: no new connections. Only for l7 nodes.
    #[serde(default = "weight", deserialize_with = "super::value::within::<_, _, 0, { MAX_WEIGHT as u64 }>")]
    #[schemars(range(max = MAX_WEIGHT))]
    pub weight: u16,
    /// BGP identifier of an l4 node. Absent: its first IPv4 address.
    pub router_id: Option<Ipv4Addr>,
}

fn join<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    super::value::within::<_, _, 1, { u32::MAX as u64 }>(from).map(Some)
}

fn weight() -> u16 {
    default::NODE_WEIGHT
}

impl Node {
    /// The first address of this family: the node's end of tunnels, checks and sessions.
    pub fn address(&self, family: AddressFamily) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| AddressFamily::of(*address) == family)
    }

    /// The BGP identifier of an l4 node.
    pub fn router_id(&self) -> Option<Ipv4Addr> {
        self.router_id.or_else(|| match self.address(AddressFamily::Ipv4) {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        })
    }

    /// Whether the node has this role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Serves the agent check.
    Agent,
    /// Answers DNS queries.
    Dns,
    /// Spreads connections over l7 nodes.
    L4,
    /// Proxies HTTP.
    L7,
}

impl Role {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Dns => "dns",
            Self::L4 => "l4",
            Self::L7 => "l7",
        }
    }
}

/// Where files lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Paths {
    /// Directory of plugin files. It is watched: a new or changed file is taken in without a restart.
    pub plugins: AbsolutePath,
    /// Directory (0700) of what survives a restart: last good plugins, operator states, compiled plugins.
    pub state: AbsolutePath,
    /// Directory of the admin socket `admin.sock` (0600).
    pub run: AbsolutePath,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            plugins: AbsolutePath::fixed(default::PLUGINS_DIRECTORY),
            state: AbsolutePath::fixed(default::STATE_DIRECTORY),
            run: AbsolutePath::fixed(default::RUN_DIRECTORY),
        }
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Log {
    /// The least important messages that are written to standard error.
    pub level: Level,
    /// Where one JSON line for each request goes: `"stdout"`, `"off"` or a file.
    pub access: Access,
}

/// How important a message is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something will not work, or works by its fallback.
    Warn,
    /// Changes of state.
    #[default]
    Info,
    /// What was decided, and why.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Access {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to a file.
    File(AbsolutePath),
}

impl FromStr for Access {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdout" => Ok(Self::Stdout),
            "off" => Ok(Self::Off),
            path if path.starts_with('/') => path.parse().map(Self::File),
            _ => Err(format!("`{text}` is neither \"stdout\" nor \"off\" nor a path that begins with `/`")),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Off => f.write_str("off"),
            Self::File(path) => path.fmt(f),
        }
    }
}

written_as_text!(Access, "\"stdout\", \"off\" or a path", "^(stdout|off|/.*)$");

/// The Prometheus listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Metrics {
    /// Whether there is one.
    pub enabled: bool,
    /// Address and port; `GET /metrics` answers there. Port 0: any free one.
    #[serde(deserialize_with = "super::value::endpoint")]
    #[schemars(with = "super::value::Endpoint")]
    pub listen: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true, listen: default::METRICS_LISTEN }
    }
}

/// How a node that is told to stop (SIGTERM) lets go of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Drain {
    /// How long new connections are still accepted while health checks fail already: longer than whoever sends
    /// connections takes to notice.
    pub grace: Period,
    /// How long the node waits in all; what is under way then is cut off.
    pub timeout: Period,
}

impl Default for Drain {
    fn default() -> Self {
        Self { grace: default::DRAIN_GRACE, timeout: default::DRAIN_TIMEOUT }
    }
}

/// The agent-check server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Agent {
    /// Address and port of the server; `[::]` takes IPv4 as well. Port 0: any free one.
    #[serde(deserialize_with = "super::value::endpoint")]
    #[schemars(with = "super::value::Endpoint")]
    pub listen: SocketAddr,
    /// File whose first line is the answer, read at each question, such as `drain` or `50%`. No file: `up`.
    pub file: AbsolutePath,
}

impl Default for Agent {
    fn default() -> Self {
        Self { listen: default::AGENT_LISTEN, file: AbsolutePath::fixed(default::AGENT_FILE) }
    }
}
