//! One plugin in one Store, for one thread: calls with deadlines, answers checked, failures in words.
//!
//! [`Instance`] is what all worlds have: making one, `describe`, `configure`, a call. On top of it each world asks its own
//! questions: [`SchedulerInstance`], [`JudgeInstance`], [`ChooserInstance`].
//!
//! The hot path is [`Instance::call`]: one exchange on the instance's own [`Lane`], a few stores, the call. The
//! deadline costs nothing but that: no clock is read until the first tick passes inside a call (see [`Watch`]).

mod agent_check;
mod dns_answers;
mod limits;
mod scheduler;
mod watch;

pub use agent_check::JudgeInstance;
pub use dns_answers::ChooserInstance;
pub use limits::Limits;
pub use scheduler::{SchedulerGuest, SchedulerInstance};
pub use watch::{Budget, Watch};

use std::sync::Arc;

use wasmtime::Store;
use weir_core::schedule::Failure;

use crate::bindings::types;
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
    /// There are as many instances as there is room for. Nobody's fault but the host's, which is told of plugins only when it starts.
    #[error("there is no room for another instance, restart the node to make some: {0}")]
    NoRoom(String),
    /// It could not be made: the plugin wants more than it may have.
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

/// The bindings of one world, over one instance of a component.
pub trait Guest: Sized + Send + 'static {
    /// Looks every export up.
    ///
    /// # Errors
    /// An export that has another type than the contract says.
    fn find(store: &mut Store<Host>, made: &wasmtime::component::Instance) -> wasmtime::Result<Self>;

    /// `describe` of `lifecycle`.
    ///
    /// # Errors
    /// The plugin's failure.
    fn call_describe(&self, store: &mut Store<Host>) -> wasmtime::Result<types::Description>;

    /// `configure` of `lifecycle`.
    ///
    /// # Errors
    /// The plugin's failure.
    fn call_configure(
        &self,
        store: &mut Store<Host>,
        config: &str,
    ) -> wasmtime::Result<Result<(), types::ConfigError>>;
}

/// A plugin that can be called.
pub struct Instance<G> {
    store: Store<Host>,
    guest: G,
    ticker: Arc<Ticker>,
    lane: Arc<Lane>,
    /// A guest that failed must not be entered again.
    dead: bool,
}

impl<G> std::fmt::Debug for Instance<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("dead", &self.dead).finish_non_exhaustive()
    }
}

impl<G: Guest> Instance<G> {
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
        let made = checked.instantiate(&mut store).and_then(|made| G::find(&mut store, &made));
        ticker.end(&lane);
        let no_room = |error: &wasmtime::Error| error.is::<wasmtime::PoolConcurrencyLimitError>();
        let failed = |error: &wasmtime::Error| match failure_of(error, "start") {
            _ if no_room(error) => SetupError::NoRoom(brief(&format!("{error:#}"))),
            Failure::Trap(_) if error.downcast_ref::<wasmtime::Trap>().is_none() => {
                SetupError::Instantiate(brief(&format!("{error:#}")))
            }
            failure => SetupError::Call { hook: "start", failure },
        };
        let guest = made.map_err(|e| failed(&e))?;
        Ok(Self { store, guest, ticker, lane, dead: false })
    }

    /// Who it is.
    ///
    /// # Errors
    /// A failure of the plugin.
    pub fn describe(&mut self) -> Result<Description, SetupError> {
        let said = self
            .call("describe", &Budget::UPDATE, |guest, store| guest.call_describe(store))
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
        self.call("configure", &Budget::CONFIGURE, |guest, store| guest.call_configure(store, config))
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

    /// One call with a deadline. After a failure the guest is not entered again.
    #[inline]
    fn call<T>(
        &mut self,
        hook: &'static str,
        budget: &'static Budget,
        call: impl FnOnce(&G, &mut Store<Host>) -> wasmtime::Result<T>,
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
