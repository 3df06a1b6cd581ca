//! Groups of servers: how one is chosen, and how long it is waited for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{AgentCheck, Check};
use super::default;
use super::key::Key;
use super::server::Server;
use super::value::{Name, Period};
use crate::health::{AgentTiming, HealthSpec};

/// The most further attempts of a request: each costs the client up to a connect timeout.
pub const MAX_RETRIES: u8 = 8;

/// A group of servers among which requests are scheduled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pool {
    /// The plugin instance that chooses the server, by its name in `plugins`. Absent: weighted round robin, without a plugin.
    pub scheduler: Option<Name>,
    /// What of a request the scheduler may hash: `{ header = "x-user" }`, `{ cookie = "session" }`, `"path"` (without
    /// its query) or `"source"` (the client's address without its port), so that equal requests meet the same server. Absent: a random
    /// number. Weighted round robin without a plugin does not look at it.
    pub key: Option<Key>,
    /// Further attempts on other servers, if a server cannot be connected to, or breaks off what may be sent twice.
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
    /// The plugin instance that judges what checks see and agents say, by its name in `plugins`. Absent, or while it cannot be asked: a
    /// check passes by what it expects, and the words of agents mean what they mean to HAProxy.
    pub judge: Option<Name>,
    /// The servers, at least one. Their order is the order in which a scheduler sees them.
    pub servers: Vec<Server>,
}

impl Pool {
    /// All that the health machine of one of the pool's servers is told.
    pub fn health(&self, server: &Server) -> HealthSpec {
        HealthSpec {
            weight: server.weight,
            max_in_flight: server.limit(),
            check: self.check.as_ref().map(Check::timing),
            agent: self.agent_check.as_ref().map(|agent| AgentTiming { interval: agent.interval.get() }),
            slow_start: self.slow_start.get(),
        }
    }
}

fn retries() -> u8 {
    default::RETRIES
}

fn no_time() -> Period {
    Period::ZERO
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
