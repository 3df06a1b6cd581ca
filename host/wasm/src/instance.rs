//! One scheduler in one Store, for one worker: calls with deadlines, answers checked, failures in words.
//!
//! The hot path is [`SchedulerInstance::pick`]: one exchange on the instance's own [`Lane`], a few stores, the call. The
//! deadline costs nothing but that: no clock is read until the first tick passes inside a call (see [`Watch`]).

mod limits;
mod watch;

pub use limits::Limits;
pub use watch::{Budget, Watch};

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::TypedFunc;
use weir_core::model::Server;
use weir_core::schedule::{Choice, Failure, Outcome, Plan, Policy, Request};

use crate::bindings::{self, FEEDBACK, Scheduler, scheduling, types};
use crate::check::Checked;
use crate::engine::{Engines, Lane, Ticker};
use crate::imports::Host;

/// The longest name and version, bytes, as `wit/types.wit` says.
const MAX_NAME: usize = 64;
/// The longest summary and the longest refusal of a configuration that are shown, bytes.
const MAX_SUMMARY: usize = 256;

/// What a plugin says of itself: escaped and cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// As its author calls it.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One sentence.
    pub summary: String,
}

/// Why there is no instance, or not a configured one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// It could not be made. The plugin wants more than it may have, or the pool is full.
    #[error("cannot be instantiated: {0}")]
    Instantiate(String),
    /// A call failed.
    #[error("`{hook}` {failure}")]
    Call {
        /// Which.
        hook: &'static str,
        /// How.
        failure: Failure,
    },
    /// The configuration is not in the form that the plugin reads. The operator is at fault.
    #[error("the configuration is malformed: {0}")]
    Malformed(String),
    /// A value in the configuration cannot be used. The operator is at fault.
    #[error("the configuration is invalid: {0}")]
    Invalid(String),
}

pub(crate) type OnResult = TypedFunc<(u32, bindings::Outcome, u32), ()>;

/// A scheduler that can be asked.
pub struct SchedulerInstance {
    store: Store<Host>,
    guest: Scheduler,
    on_result: Option<OnResult>,
    ticker: Arc<Ticker>,
    lane: Arc<Lane>,
    /// Of the last `update`.
    plan: Option<Plan>,
    /// A guest that failed must not be entered again.
    dead: bool,
}

impl std::fmt::Debug for SchedulerInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plan = self.plan.as_ref().map(Plan::as_str);
        f.debug_struct("SchedulerInstance")
            .field("plan", &plan)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

impl SchedulerInstance {
    /// Makes one. Takes about 15 microseconds and whatever the plugin does at its start, for which it has 50 ms.
    ///
    /// # Errors
    /// [`SetupError::Instantiate`] or a failure of the plugin's start.
    pub fn new(engines: &Engines, checked: &Checked, host: Host) -> Result<Self, SetupError> {
        let mut store = Store::new(engines.engine(), host);
        store.limiter(|host| &mut host.limits);
        store.epoch_deadline_callback(|mut store| store.data_mut().watch.tick());
        let ticker = Arc::clone(engines.ticker());
        let lane = ticker.lane();
        store.data_mut().watch.start(&Budget::UPDATE);
        store.set_epoch_deadline(1);
        ticker.begin(&lane);
        let made = checked.instantiate(&mut store);
        ticker.end(&lane);
        let failed = |error: &wasmtime::Error| match failure_of(error, "start") {
            Failure::Trap(_) if error.downcast_ref::<wasmtime::Trap>().is_none() => {
                SetupError::Instantiate(brief(&format!("{error:#}")))
            }
            failure => SetupError::Call { hook: "start", failure },
        };
        let (guest, on_result) = made.map_err(|e| failed(&e))?;
        Ok(Self { store, guest, on_result, ticker, lane, plan: None, dead: false })
    }

    /// Who it is.
    ///
    /// # Errors
    /// A failure of the plugin.
    pub fn describe(&mut self) -> Result<Description, SetupError> {
        let said = self
            .call("describe", &Budget::UPDATE, |guest, store| {
                guest.weir_policy_lifecycle().call_describe(store)
            })
            .map_err(|failure| SetupError::Call { hook: "describe", failure })?;
        Ok(Description {
            name: shown(&said.name, MAX_NAME),
            version: shown(&said.version, MAX_NAME),
            summary: shown(&said.summary, MAX_SUMMARY),
        })
    }

    /// Gives it its configuration. Once, before any question.
    ///
    /// # Errors
    /// A failure of the plugin, or its refusal of the text.
    pub fn configure(&mut self, config: &str) -> Result<(), SetupError> {
        self.call("configure", &Budget::CONFIGURE, |guest, store| {
            guest.weir_policy_lifecycle().call_configure(store, config)
        })
        .map_err(|failure| SetupError::Call { hook: "configure", failure })?
        .map_err(|refused| match refused {
            types::ConfigError::Malformed(text) => SetupError::Malformed(shown(&text, MAX_SUMMARY)),
            types::ConfigError::Invalid(text) => SetupError::Invalid(shown(&text, MAX_SUMMARY)),
        })
    }

    /// Linear memory that it has now, bytes.
    pub fn memory(&self) -> usize {
        self.store.data().limits.used()
    }

    /// Calls so far.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// The plan of the last `update`.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    #[inline]
    fn call<T>(
        &mut self,
        hook: &'static str,
        budget: &'static Budget,
        call: impl FnOnce(&Scheduler, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        if self.dead {
            return Err(after_death());
        }
        self.store.data_mut().watch.start(budget);
        self.store.set_epoch_deadline(1);
        self.ticker.begin(&self.lane);
        let result = call(&self.guest, &mut self.store);
        self.ticker.end(&self.lane);
        match result {
            Ok(value) => Ok(value),
            Err(error) => {
                self.dead = true;
                Err(failure_of(&error, hook))
            }
        }
    }
}

impl Policy for SchedulerInstance {
    fn update(&mut self, servers: &Arc<[Server]>) -> Result<Plan, Failure> {
        // The same list again, as when a worker takes over an instance that was prepared for it.
        if let Some(plan) = &self.plan
            && Arc::ptr_eq(&self.store.data().servers, servers)
        {
            return Ok(plan.clone());
        }
        self.plan = None;
        self.store.data_mut().servers = Arc::clone(servers);
        let list: Vec<scheduling::Server> = servers.iter().map(Into::into).collect();
        let said = self.call("update", &Budget::UPDATE, |guest, store| {
            guest.weir_policy_scheduling().call_update(store, &list)
        })?;
        let plan = match said {
            scheduling::Plan::Table(rows) => Plan::table(rows, servers.len()),
            scheduling::Plan::Cycle(steps) => Plan::cycle(steps, servers.len()),
            scheduling::Plan::PerRequest => Ok(Plan::PerRequest),
            scheduling::Plan::Fallback => Ok(Plan::Fallback),
        }
        .map_err(|e| Failure::Invalid(format!("{e} (from `update`)")))?;
        self.plan = Some(plan.clone());
        Ok(plan)
    }

    #[inline]
    fn pick(&mut self, request: Request) -> Result<Choice, Failure> {
        // A plugin that gave a plan does not expect the question; for a moment, while a new version is put to use, it may come.
        if !matches!(self.plan, Some(Plan::PerRequest)) {
            return Ok(Choice::Fallback);
        }
        self.call("pick", &Budget::PICK, |guest, store| {
            guest.weir_policy_scheduling().call_pick(store, request.into())
        })
        .map(Into::into)
    }

    fn wants_results(&self) -> bool {
        self.on_result.is_some()
    }

    fn on_result(&mut self, server: u32, outcome: Outcome, latency: Duration) -> Result<(), Failure> {
        let Some(on_result) = self.on_result else { return Ok(()) };
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.call("on-result", &Budget::PICK, |_, store| {
            on_result.call(store, (server, outcome.into(), micros))
        })
    }
}

/// Finds the optional `on-result`.
pub(crate) fn feedback(
    store: &mut Store<Host>,
    instance: &wasmtime::component::Instance,
) -> wasmtime::Result<Option<OnResult>> {
    let Some(interface) = instance.get_export_index(&mut *store, None, FEEDBACK) else { return Ok(None) };
    let Some(function) = instance.get_export_index(&mut *store, Some(&interface), "on-result") else {
        return Ok(None);
    };
    instance.get_typed_func(store, function).map(Some)
}

#[cold]
fn after_death() -> Failure {
    Failure::Trap("it was called after it had failed".into())
}

/// A wasmtime error as the ordinary event that it is.
#[cold]
fn failure_of(error: &wasmtime::Error, hook: &'static str) -> Failure {
    if let Some(over) = error.downcast_ref::<watch::Overrun>() {
        return Failure::Deadline(over.limit);
    }
    if let Some(refused) = error.downcast_ref::<limits::Refused>() {
        return Failure::Memory(refused.to_string());
    }
    let frame = error.downcast_ref::<wasmtime::WasmBacktrace>().and_then(|trace| {
        let name = trace.frames().first()?.func_name()?;
        Some(format!(" in {}", shown(name, MAX_NAME)))
    });
    let frame = frame.unwrap_or_default();
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => Failure::Trap(format!("{trap} (`{hook}`{frame})")),
        None => Failure::Trap(format!("{} (`{hook}`{frame})", brief(&format!("{error:#}")))),
    }
}

/// The first line, escaped and cut.
pub(crate) fn brief(text: &str) -> String {
    shown(text.lines().next().unwrap_or_default(), 512)
}

/// Escaped and cut to this many bytes.
fn shown(text: &str, max: usize) -> String {
    let mut text = crate::imports::escaped(text);
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text
}
