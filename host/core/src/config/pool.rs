//! Groups of servers: who they are, how one is chosen, how their health is known.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default;
use super::value::{Name, Period, Statuses, Token, UrlPath};
use crate::model::MAX_WEIGHT;

/// The most labels of a server, as `wit/types.wit` says.
pub const MAX_LABELS: usize = 32;

/// The longest name or value of a label, bytes, as `wit/types.wit` says.
pub const MAX_LABEL_BYTES: usize = 256;

/// The most further attempts of a request: each costs the client up to a connect timeout.
pub const MAX_RETRIES: u8 = 10;

/// A group of servers among which requests are scheduled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pool {
    /// The plugin instance that chooses the server, by its name in `plugins`. Absent: weighted round robin, without a plugin.
    pub scheduler: Option<Name>,
    /// What of a request the scheduler may hash, so that equal requests meet the same server. Absent: a random number.
    pub key: Option<Key>,
    /// Further attempts on other servers, if a server cannot be connected to.
    #[serde(
        default = "retries",
        deserialize_with = "super::value::within::<_, _, 0, { MAX_RETRIES as u64 }>"
    )]
    #[schemars(range(max = MAX_RETRIES))]
    pub retries: u8,
    /// Whether connections to servers, those of checks too, begin with a line of PROXY protocol version 1.
    #[serde(default)]
    pub send_proxy: bool,
    /// How long servers are waited for.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How long a server that came up takes to get its full weight. `"0s"`: it has it at once.
    #[serde(default = "no_time")]
    pub slow_start: Period,
    /// Health check of each server. Absent: none, a server counts as up.
    pub check: Option<Check>,
    /// Question to an agent on each server. Absent: none.
    pub agent_check: Option<AgentCheck>,
    /// The servers, at least one. Their order is the order in which a scheduler sees them.
    pub servers: Vec<Server>,
}

fn retries() -> u8 {
    default::RETRIES
}

fn no_time() -> Period {
    Period::ZERO
}

/// What of a request is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// The value of a header. A request without it gets a random number.
    Header(Token),
    /// The value of a cookie. A request without it gets a random number.
    Cookie(Token),
    /// The path of the URL, without its query.
    Path,
    /// The address of the client, without its port.
    Source,
}

/// How long servers are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Timeouts {
    /// Until a server has accepted a connection.
    pub connect: Period,
    /// From the end of a request to the head of its answer.
    pub response: Period,
    /// Between two parts of an answer.
    pub read: Period,
    /// Until a server has taken a part of a request.
    pub write: Period,
    /// How long a connection without a request is kept.
    pub idle: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: default::CONNECT_TIMEOUT,
            response: default::RESPONSE_TIMEOUT,
            read: default::READ_TIMEOUT,
            write: default::WRITE_TIMEOUT,
            idle: default::SERVER_IDLE,
        }
    }
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Check {
    /// `"tcp"`: a connection is success. `"http"`: an expected status is.
    #[serde(rename = "type")]
    pub kind: CheckType,
    /// Path that is asked for. Only for `"http"`.
    #[serde(default = "UrlPath::root")]
    pub path: UrlPath,
    /// The `Host` header. Only for `"http"`. Absent: the address of the server.
    pub host: Option<String>,
    /// Statuses that mean success. Only for `"http"`.
    #[serde(default = "expect")]
    pub expect: Statuses,
    /// From the begin of a check to that of the next.
    #[serde(default = "check_interval")]
    pub interval: Period,
    /// The same while a server is between states: it failed or passed, but not often enough yet. Absent: `interval`.
    pub fast_interval: Option<Period>,
    /// How long a check may take, no longer than `interval`.
    #[serde(default = "check_timeout")]
    pub timeout: Period,
    /// How many checks in a row must pass until a server is up.
    #[serde(default = "rise", deserialize_with = "super::value::within::<_, _, 1, 255>")]
    #[schemars(range(min = 1))]
    pub rise: u8,
    /// How many checks in a row must fail until a server is down.
    #[serde(default = "fall", deserialize_with = "super::value::within::<_, _, 1, 255>")]
    #[schemars(range(min = 1))]
    pub fall: u8,
    /// Port that is checked. Absent: the port of the server.
    #[serde(default, deserialize_with = "super::value::port")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// How a server is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckType {
    /// By a connection.
    Tcp,
    /// By a request.
    Http,
}

fn expect() -> Statuses {
    let (first, last) = default::CHECK_EXPECT;
    Statuses::range(first, last)
}

fn check_interval() -> Period {
    default::CHECK_INTERVAL
}

fn check_timeout() -> Period {
    default::CHECK_TIMEOUT
}

fn rise() -> u8 {
    default::CHECK_RISE
}

fn fall() -> u8 {
    default::CHECK_FALL
}

/// A question to an agent, which answers with one line such as `up`, `drain` or `50%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentCheck {
    /// Port of the agent, at the address of the server.
    #[serde(default = "agent_port", deserialize_with = "super::value::within::<_, _, 1, 65535>")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// From the begin of a question to that of the next; also how long one may take.
    #[serde(default = "agent_interval")]
    pub interval: Period,
    /// Text that is sent first, as it is. Empty: none.
    #[serde(default)]
    pub send: String,
}

fn agent_port() -> u16 {
    default::AGENT_LISTEN.port()
}

fn agent_interval() -> Period {
    default::AGENT_INTERVAL
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// Its name, unique in the pool. Keep it when the address changes: state and counters belong to the name.
    pub name: Name,
    /// Address and port. Names are not looked up.
    #[serde(deserialize_with = "super::value::endpoint")]
    #[schemars(with = "super::value::Endpoint")]
    pub address: SocketAddr,
    /// Its share of the requests, relative to the other servers of the pool. 0: no new requests.
    #[serde(default = "weight", deserialize_with = "super::value::within::<_, _, 0, { MAX_WEIGHT as u64 }>")]
    #[schemars(range(max = MAX_WEIGHT))]
    pub weight: u16,
    /// Requests of one node that may be in flight to it at a time. 0: no limit.
    #[serde(default, deserialize_with = "super::value::within::<_, _, 0, { u32::MAX as u64 }>")]
    pub max_in_flight: u32,
    /// Pairs that a scheduler may read, such as `site = "fra1"`: at most 32, each side at most 256 bytes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Server {
    /// The limit as [`crate::model::Server::max_in_flight`] has it.
    pub fn limit(&self) -> Option<u32> {
        (self.max_in_flight > 0).then_some(self.max_in_flight)
    }
}

fn weight() -> u16 {
    default::WEIGHT
}
