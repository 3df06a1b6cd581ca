//! What this node is doing, as one value: `weir status --json`, the status page and the text are made from it.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_core::health::Bits;
use weir_core::model::State;
use weir_wasm::PluginStatus;

/// Everything at once. Field names are a promise to scripts: they are added to and not changed.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Which node of the fleet file this is.
    pub node: String,
    /// Of the binary.
    pub version: &'static str,
    /// Seconds since the node started.
    pub uptime_seconds: u64,
    /// Whether the node is on its way out: `/healthcheck` fails and connections are closed after their request.
    pub draining: bool,
    /// What this node's own agent file says, and so what `/healthcheck` answers.
    pub agent: AgentStatus,
    /// The fleet file in force.
    pub fleet: FleetStatus,
    /// Connections and requests.
    pub proxy: ProxyStatus,
    /// By name.
    pub services: Vec<ServiceStatus>,
    /// By name.
    pub pools: Vec<PoolStatus>,
    /// By name.
    pub plugins: Vec<PluginStatus>,
    /// What is wrong with the plugin directory as a whole.
    pub plugin_directory_problem: Option<String>,
}

/// The node's own agent.
#[derive(Debug, Clone, Serialize)]
pub struct AgentStatus {
    /// Whether its file lets the node serve.
    pub up: bool,
    /// The words of the file.
    pub line: String,
}

/// The fleet file.
#[derive(Debug, Clone, Serialize)]
pub struct FleetStatus {
    /// Where it lies.
    pub file: String,
    /// SHA-256 of the text in force, hex. Two nodes with the same number have the same view.
    pub sha256: String,
    /// When it was taken in, seconds since 1970.
    pub loaded_unix: u64,
    /// Whether the last attempt to read it ended in its use.
    pub last_reload_ok: bool,
    /// What was wrong the last time, as `weir check` says it.
    pub last_reload_error: Option<String>,
    /// What the file says otherwise than this process does, until it is restarted.
    pub restart_needed: Vec<String>,
}

/// Connections and requests of the whole node.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProxyStatus {
    /// Shards, each with listeners, connections and plugin instances of its own.
    pub workers: usize,
    /// Ports listened to.
    pub ports: Vec<u16>,
    /// Accepted since the start.
    pub accepted: u64,
    /// Closed at accept because no service has their address.
    pub misdirected: u64,
    /// Requests that the node answered itself.
    pub answered: u64,
    /// Open now.
    pub connections: u64,
    /// Being served now.
    pub in_flight: u64,
    /// Access log lines lost to a slow disk.
    pub log_lines_dropped: u64,
}

/// One service.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceStatus {
    /// Its name in the fleet file.
    pub name: String,
    /// Where clients find it.
    pub addresses: Vec<String>,
    /// Who answers.
    pub pool: String,
    /// Path that tells whether it can serve.
    pub healthcheck: Option<String>,
    /// What that path answers now.
    pub healthy: bool,
}

/// One pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolStatus {
    /// Its name in the fleet file.
    pub name: String,
    /// The plugin instance that decides, `None` where the pool names none.
    pub scheduler: Option<String>,
    /// What is done for a request: `table`, `cycle`, `per-request`, or `fallback`, the native weighted round robin.
    pub plan: &'static str,
    /// Grows with each change of servers or plan.
    pub epoch: u64,
    /// Servers that take new requests.
    pub usable: usize,
    /// Decisions by who made them, since the pool was made.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Decisions that the policy owed and did not give.
    pub policy_failures: u64,
    /// Requests whose client went away.
    pub client_aborts: u64,
    /// Times to the first byte since the pool was made.
    pub latency: Latency,
    /// In the order of the fleet file.
    pub servers: Vec<ServerStatus>,
}

/// One server of a pool.
#[derive(Debug, Clone, Serialize)]
pub struct ServerStatus {
    /// Its name in the fleet file.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// What may be done with it.
    pub state: State,
    /// Weight now.
    pub weight: u16,
    /// Weight in the fleet file.
    pub configured_weight: u16,
    /// Limit of requests in flight, if any.
    pub max_in_flight: Option<u32>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Smoothed time to the first byte, microseconds, 0 before the first.
    pub latency_us: u32,
    /// Why it is in this state; empty where it is simply up.
    pub reason: String,
    /// What is odd without having decided anything.
    pub note: Option<String>,
    /// How long it has been in this state, seconds.
    pub state_seconds: u64,
    /// Who said what: operator, agent and check are separate.
    pub bits: Option<Bits>,
    /// Answers by class of their status, `1xx` to `5xx`.
    pub answers: BTreeMap<&'static str, u64>,
    /// Bytes passed on.
    pub bytes: u64,
    /// New connections made.
    pub connects: u64,
    /// Attempts that failed here and were made again elsewhere.
    pub retries: u64,
    /// Failed attempts by kind.
    pub failures: BTreeMap<&'static str, u64>,
}

/// A distribution of times.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latency {
    /// Their sum, seconds.
    pub sum_seconds: f64,
    /// `(upper bound in seconds, how many were within it and above the bound before)`; the last bound is the largest number.
    pub buckets: Vec<(f64, u64)>,
}
