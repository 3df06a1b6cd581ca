//! The L4 tier: how l7 nodes are checked, how connections are spread over them, and when they are announced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Check, CheckType};
use super::default;
use super::value::{AbsolutePath, KernelScheduler, Name, Period, Statuses, UrlPath};
use crate::health::CheckTiming;

/// What nodes with the role `l4` do. All of them do the same, or connections would end when a router moves them to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct L4 {
    /// The scheduler of the kernel that spreads connections over the l7 nodes. Only for `"mh"` Weir knows where a connection goes, and keeps
    /// l4 nodes alike.
    pub scheduler: KernelScheduler,
    /// How packets travel to the l7 nodes.
    pub tunnel: Encapsulation,
    /// How many healthy l7 nodes it takes to announce a service address.
    pub quorum: Quorum,
    /// What happens when no l7 node of a service is healthy.
    pub all_down: AllNodesDown,
    /// The plugin instance that judges what checks see, by its name in `plugins`. Absent, or while it cannot be asked: a check passes by
    /// what it expects.
    pub judge: Option<Name>,
    /// While this file exists on an l4 node, the node announces nothing; it is left without breaking a connection.
    pub disable_file: AbsolutePath,
    /// How long an l4 node goes on announcing when the process that decides is gone, hangs, or has begun anew and
    /// not decided yet. At least 2s, and longer than a restart and two intervals and timeouts of the check.
    pub host_hold: Period,
    /// The health check of each l7 node.
    pub check: NodeCheck,
    /// How long the kernel remembers connections on which nothing happens.
    pub timeouts: ConnectionTimeouts,
    /// What l7 nodes do with packets of connections that are another l7 node's.
    pub second_chance: SecondChance,
}

impl Default for L4 {
    fn default() -> Self {
        Self {
            scheduler: KernelScheduler::fixed(default::L4_SCHEDULER),
            tunnel: Encapsulation::Ipip,
            quorum: Quorum::default(),
            all_down: AllNodesDown::Withdraw,
            judge: None,
            disable_file: AbsolutePath::fixed(default::DISABLE_FILE),
            host_hold: default::HOST_HOLD,
            check: NodeCheck::default(),
            timeouts: ConnectionTimeouts::default(),
            second_chance: SecondChance::default(),
        }
    }
}

/// What l7 nodes do with packets of connections that are another l7 node's. They come where l7 nodes have joined, left or come back, and
/// then a router moves a connection to another l4 node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SecondChance {
    /// They go on to the l7 node that has the connection, instead of ending it. Only with the scheduler `"mh"`.
    pub enabled: bool,
    /// So long after an l7 node has joined or left the fleet file, connections are looked for where they were before that.
    pub remember: Period,
}

impl Default for SecondChance {
    fn default() -> Self {
        Self { enabled: true, remember: default::SECOND_CHANCE_REMEMBER }
    }
}

/// How packets are wrapped on their way from an l4 node to an l7 node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// IP in IP: 20 bytes more for IPv4, 40 for IPv6.
    Ipip,
    /// GRE: 24 bytes more for IPv4, 44 for IPv6.
    Gre,
}

impl Encapsulation {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gre => "gre",
        }
    }
}

/// How many healthy l7 nodes it takes. Two numbers, so that a node that comes and goes does not move every client each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Quorum {
    /// With so many healthy nodes and more, an address that is not announced is announced.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, 1024>")]
    #[schemars(range(min = 1, max = 1024))]
    pub rise: u16,
    /// With fewer healthy nodes than this, an address that is announced is withdrawn. At most `rise`.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, 1024>")]
    #[schemars(range(min = 1, max = 1024))]
    pub fall: u16,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { rise: default::QUORUM_RISE, fall: default::QUORUM_FALL }
    }
}

/// What happens when no l7 node of a service is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllNodesDown {
    /// The address is withdrawn: another l4 node, or another site, may know better.
    Withdraw,
    /// The address stays, and connections go to all nodes that nobody took out: it may be the checks that are wrong.
    Keep,
}

/// A health check of l7 nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NodeCheck {
    /// What is tried.
    #[serde(rename = "type")]
    pub kind: CheckType,
    /// Which way it goes.
    pub through: Through,
    /// Path that is asked for. Only for `"http"`. Absent: the `healthcheck` of the service.
    pub path: Option<UrlPath>,
    /// The `Host` header. Only for `"http"`. Absent: the address that is asked.
    pub host: Option<String>,
    /// Statuses that mean success. Only for `"http"`.
    pub expect: Statuses,
    /// From the start of a check to that of the next. A dead node is known after `interval` times `fall`, and `timeout`.
    pub interval: Period,
    /// How long a check may take, no longer than `interval`. Absent: `interval`.
    pub timeout: Option<Period>,
    /// How many checks in a row must pass until a node is up.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, 255>")]
    #[schemars(range(min = 1))]
    pub rise: u8,
    /// How many checks in a row must fail until a node is down.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, 255>")]
    #[schemars(range(min = 1))]
    pub fall: u8,
}

impl Default for NodeCheck {
    fn default() -> Self {
        Self {
            kind: CheckType::Http,
            through: Through::Node,
            path: None,
            host: None,
            expect: Statuses::range(default::NODE_CHECK_EXPECT, default::NODE_CHECK_EXPECT),
            interval: default::NODE_CHECK_INTERVAL,
            timeout: None,
            rise: default::NODE_CHECK_RISE,
            fall: default::NODE_CHECK_FALL,
        }
    }
}

impl NodeCheck {
    /// The same in the words of a pool's check, so that both have the same rules.
    pub(super) fn as_check(&self) -> Check {
        Check {
            kind: self.kind,
            path: self.path.clone().unwrap_or_else(UrlPath::root),
            host: self.host.clone(),
            expect: self.expect.clone(),
            interval: self.interval,
            fast_interval: None,
            timeout: self.timeout,
            rise: self.rise,
            fall: self.fall,
            port: None,
        }
    }

    /// When a node is checked, and how many results it takes.
    pub fn timing(&self) -> CheckTiming {
        CheckTiming {
            interval: self.interval.get(),
            fast_interval: self.interval.get(),
            timeout: self.timeout.unwrap_or(self.interval).get(),
            rise: u32::from(self.rise),
            fall: u32::from(self.fall),
        }
    }
}

/// Which way a check of an l7 node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Through {
    /// To the node's own address: it says that the node lives and can serve.
    Node,
    /// To the service address through the node's tunnel, as clients' packets go.
    Tunnel,
}

impl Through {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Tunnel => "tunnel",
        }
    }
}

/// How long the kernel remembers connections on which nothing happens. It sees clients' packets only, since l7 nodes answer directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ConnectionTimeouts {
    /// An open TCP connection. Whole seconds.
    pub tcp: Period,
    /// A TCP connection that the client is closing. Whole seconds.
    pub tcp_fin: Period,
    /// UDP. Whole seconds.
    pub udp: Period,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        Self { tcp: default::IPVS_TCP, tcp_fin: default::IPVS_TCP_FIN, udp: default::IPVS_UDP }
    }
}
