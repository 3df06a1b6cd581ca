//! What this node is doing, as one value: `weir status --json`, the status page and the text are made from it.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_core::desired::Observed;
use weir_core::health::Bits;
use weir_core::l4;
use weir_core::model::State;
use weir_wasm::PluginStatus;

use crate::dns::status::DnsStatus;

/// Everything at once. Field names are a promise to scripts: they are added to and not changed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodeStatus {
    /// Which node of the fleet file this is.
    pub(crate) node: String,
    /// Of the binary.
    pub(crate) version: &'static str,
    /// Seconds since the node started.
    pub(crate) uptime_seconds: u64,
    /// Whether the node is on its way out: `/healthcheck` fails and connections are closed after their request.
    pub(crate) draining: bool,
    /// What this node's own agent file says, and so what `/healthcheck` answers.
    pub(crate) agent: AgentStatus,
    /// The fleet file in force.
    pub(crate) fleet: FleetStatus,
    /// Connections and requests.
    pub(crate) proxy: ProxyStatus,
    /// By name.
    pub(crate) services: Vec<ServiceStatus>,
    /// By name.
    pub(crate) pools: Vec<PoolStatus>,
    /// On a node with a network side: its sidecar.
    pub(crate) network: Option<NetworkStatus>,
    /// On an L4 node: what it decides.
    pub(crate) l4: Option<l4::Status>,
    /// On an L4 node whose checks a plugin judges: how often it did.
    pub(crate) l4_judge: Option<JudgeStatus>,
    /// On a DNS node: its server.
    pub(crate) dns: Option<DnsStatus>,
    /// By name.
    pub(crate) plugins: Vec<PluginStatus>,
    /// What is wrong with the plugin directory as a whole.
    pub(crate) plugin_directory_problem: Option<String>,
}

/// The node's own agent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AgentStatus {
    /// Whether its file lets the node serve.
    pub(crate) up: bool,
    /// The words of the file.
    pub(crate) line: String,
}

/// The fleet file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FleetStatus {
    /// Where it lies.
    pub(crate) file: String,
    /// SHA-256 of the text in force, hex. Two nodes with the same number have the same view.
    pub sha256: String,
    /// When it was taken in, seconds since 1970.
    pub(crate) loaded_unix: u64,
    /// Whether the last attempt to read it ended in its use.
    pub(crate) last_reload_ok: bool,
    /// What was wrong the last time, as `weir check` says it.
    pub(crate) last_reload_error: Option<String>,
    /// What the file says otherwise than this process does, until it is restarted.
    pub(crate) restart_needed: Vec<String>,
}

/// Connections and requests of the whole node.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ProxyStatus {
    /// Shards, each with listeners, connections and plugin instances of its own.
    pub(crate) workers: usize,
    /// Ports listened to.
    pub(crate) ports: Vec<u16>,
    /// Accepted since the start.
    pub(crate) accepted: u64,
    /// Closed at accept because no service has their address.
    pub(crate) misdirected: u64,
    /// Requests that the node answered itself.
    pub(crate) answered: u64,
    /// Connections on which something came that is no request; answered with 400, if at all, and in no log.
    pub(crate) malformed: u64,
    /// Open now.
    pub(crate) connections: u64,
    /// Being served now.
    pub(crate) in_flight: u64,
    /// Access log lines lost to a disk that was slow or failed.
    pub(crate) log_lines_dropped: u64,
}

/// The sidecar, and what it does.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NetworkStatus {
    /// Why it does not answer; `None` where it does.
    pub(crate) sidecar: Option<String>,
    /// Why it refused what was wanted last.
    pub(crate) refused: Option<String>,
    /// Number of the state that is wanted; `None` before anything is.
    pub(crate) generation: Option<u64>,
    /// What it said last.
    pub(crate) observed: Option<Observed>,
}

/// A plugin that judges checks.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct JudgeStatus {
    /// Its name in the fleet file.
    pub(crate) plugin: String,
    /// Observations that it decided.
    pub(crate) decided: u64,
    /// Those at which it failed: each counts as a failed check.
    pub(crate) failed: u64,
    /// Those that found no version of it: decided as without a judge.
    pub(crate) nobody: u64,
}

/// One service.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServiceStatus {
    /// Its name in the fleet file.
    pub(crate) name: String,
    /// Where clients find it.
    pub(crate) addresses: Vec<String>,
    /// Who answers.
    pub(crate) pool: String,
    /// Path that tells whether it can serve.
    pub(crate) healthcheck: Option<String>,
    /// What that path answers now.
    pub(crate) healthy: bool,
}

/// One pool.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PoolStatus {
    /// Its name in the fleet file.
    pub(crate) name: String,
    /// The plugin instance that decides, `None` where the pool names none.
    pub(crate) scheduler: Option<String>,
    /// What is done for a request: `table`, `cycle`, `per-request`, or `fallback`, the native weighted round robin.
    pub(crate) plan: &'static str,
    /// Grows with each change of servers or plan.
    pub(crate) epoch: u64,
    /// Servers that take new requests.
    pub(crate) usable: usize,
    /// Decisions by who made them, since the pool was made.
    pub(crate) decisions: BTreeMap<&'static str, u64>,
    /// Decisions that the policy owed and did not give.
    pub(crate) policy_failures: u64,
    /// Requests whose client went away.
    pub(crate) client_aborts: u64,
    /// Times to the first byte since the pool was made.
    pub(crate) latency: Latency,
    /// The plugin that judges its checks and agents, if any.
    pub(crate) judge: Option<JudgeStatus>,
    /// In the order of the fleet file.
    pub(crate) servers: Vec<ServerStatus>,
}

/// One server of a pool.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServerStatus {
    /// Its name in the fleet file.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: String,
    /// What may be done with it.
    pub(crate) state: State,
    /// Weight now.
    pub(crate) weight: u16,
    /// Weight in the fleet file.
    pub(crate) configured_weight: u16,
    /// Limit of requests in flight, if any.
    pub(crate) max_in_flight: Option<u32>,
    /// Requests in flight.
    pub(crate) in_flight: u32,
    /// Smoothed time to the first byte, microseconds, 0 before the first.
    pub(crate) latency_us: u32,
    /// Why it is in this state; empty where it is simply up.
    pub(crate) reason: String,
    /// What is odd without having decided anything.
    pub(crate) note: Option<String>,
    /// What its judge said last, in the words of agents; `None` where none was asked.
    pub(crate) judgement: Option<String>,
    /// How long it has been in this state, seconds.
    pub(crate) state_seconds: u64,
    /// Who said what: operator, agent and check are separate.
    pub(crate) bits: Option<Bits>,
    /// Answers by class of their status, `1xx` to `5xx`.
    pub(crate) answers: BTreeMap<&'static str, u64>,
    /// Bytes passed on.
    pub(crate) bytes: u64,
    /// New connections made.
    pub(crate) connects: u64,
    /// Attempts that failed here and were made again elsewhere.
    pub(crate) retries: u64,
    /// Failed attempts by kind.
    pub(crate) failures: BTreeMap<&'static str, u64>,
}

/// A distribution of times.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Latency {
    /// Their sum, seconds.
    pub(crate) sum_seconds: f64,
    /// `(upper bound in seconds, how many were within it and above the bound before)`; the last bound is the largest number.
    pub(crate) buckets: Vec<(f64, u64)>,
}
