//! What an operator can see of plugins: plain values, made on request, serialised by whoever shows them.

use std::collections::BTreeMap;

use serde::Serialize;

/// The world that a plugin was built for. Learnt from what it exports, never from its file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Chooses the server of a request.
    Scheduler,
    /// Says what an observation of a server means.
    AgentCheck,
    /// Chooses the addresses that a name is answered with.
    DnsAnswers,
}

impl Kind {
    /// The name of its world in `wit/`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::AgentCheck => "agent-check",
            Self::DnsAnswers => "dns-answers",
        }
    }
}

/// One `[plugins.*]` instance. Everything that is about a version is about the one that *decides*, and absent while
/// none does; [`PluginStatus::state`] is about the version that the directory and the fleet file ask for.
#[derive(Debug, Clone, Serialize)]
pub struct PluginStatus {
    /// Its name in the fleet file.
    pub instance: String,
    /// The world that is wanted of it where it is named. The file decides which it has; another one is rejected.
    pub world: Kind,
    /// The file it is made from, a name in the plugin directory.
    pub file: String,
    /// `absent`, `loading`, `canary`, `active`, `backing-off`, `quarantined` or `rejected`.
    pub state: &'static str,
    /// Why it is in this state, in words; empty where there is nothing to say.
    pub reason: String,
    /// Whether a version decides now. Where none does, the host does what is written for its world: weighted round robin, checks
    /// judged as without a plugin, all healthy addresses.
    pub serving: bool,
    /// Whether the version that decides is the last good one, and not the one asked for.
    pub last_good: bool,
    /// Which version decides.
    pub version: Option<VersionStatus>,
    /// Grows with every version and configuration that is put to use; 0 before the first.
    pub generation: u64,
    /// What a scheduler does for requests: `table`, `cycle`, `per-request`, `fallback`; absent before the first `plan`.
    pub plan: Option<&'static str>,
    /// Whether the last attempt to load something ended in its use.
    pub last_load_ok: bool,
    /// When that was, seconds since 1970; 0 before the first.
    pub last_load_unix: u64,
    /// Calls into the plugin, all workers, since the process started.
    pub calls: u64,
    /// Failures by kind (`trap`, `deadline`, `memory`, `invalid`) since the process started.
    pub failures: BTreeMap<&'static str, u64>,
    /// The last failure or refusal in words.
    pub last_error: Option<String>,
    /// Lines that the plugin logged over its allowance, which were dropped.
    pub log_lines_dropped: u64,
    /// What the plugin itself counts.
    pub custom: Vec<CustomMetric>,
}

impl PluginStatus {
    /// Of an instance that nothing is known of yet.
    pub(crate) fn loading(world: Kind, instance: &str, file: &str) -> Self {
        Self {
            world,
            instance: instance.to_owned(),
            file: file.to_owned(),
            state: weir_core::plugin::State::Loading.as_str(),
            reason: String::new(),
            serving: false,
            last_good: false,
            version: None,
            generation: 0,
            plan: None,
            last_load_ok: true,
            last_load_unix: 0,
            calls: 0,
            failures: BTreeMap::new(),
            last_error: None,
            log_lines_dropped: 0,
            custom: Vec::new(),
        }
    }
}

/// A version of a plugin: content and configuration.
#[derive(Debug, Clone, Serialize)]
pub struct VersionStatus {
    /// The world.
    pub kind: Kind,
    /// As its author calls it.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One sentence by the author.
    pub summary: String,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// SHA-256 of the configuration text, hex.
    pub config_sha256: String,
    /// When it was put to use, seconds since 1970.
    pub loaded_unix: u64,
    /// Linear memory of the instance that makes plans, else of the one that was tried, bytes. Each worker has an instance
    /// of its own.
    pub memory_bytes: u64,
    /// What it may have at most, bytes.
    pub memory_limit_bytes: u64,
    /// How fast it answered before it was put to use.
    pub self_test: SelfTest,
}

/// Latency of synthetic calls, nanoseconds, on a thread that serves nothing. Includes about 30 ns for reading the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SelfTest {
    /// How many questions (`pick`, `evaluate`, `decide`) were asked; 0 where a plan needs none.
    pub questions: u32,
    /// Half of them were faster.
    pub p50_ns: u64,
    /// 99 of 100 were faster.
    pub p99_ns: u64,
    /// One `update`; of a `dns-answers` plugin, of all names.
    pub update_ns: u64,
    /// Golden cases that were compared.
    pub golden_cases: u32,
    /// Questions of just now that the new version was asked beside the old one.
    pub canary_requests: u32,
}

/// A number that a plugin reports through `metrics`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CustomMetric {
    /// As registered, `[a-z][a-z0-9_]*`.
    pub name: String,
    /// What it is and what it is now.
    #[serde(flatten)]
    pub value: CustomValue,
}

/// Value of a [`CustomMetric`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "kebab-case")]
pub enum CustomValue {
    /// Only grows.
    Counter(u64),
    /// The last value that any instance set.
    Gauge(f64),
}
