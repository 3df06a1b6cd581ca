//! A scheduler that can be asked: `scheduling`, and `feedback` where it has that.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::TypedFunc;
use weir_core::model::Server;
use weir_core::schedule::{Choice, Failure, Outcome, Plan, Policy, Request};

use super::{Budget, Guest, Instance, SetupError};
use crate::bindings::{self, FEEDBACK, Scheduler, scheduling, types};
use crate::check::Checked;
use crate::engine::Engines;
use crate::imports::Host;

type OnResult = TypedFunc<(u32, bindings::Outcome, u32), ()>;

/// The bindings, with `on-result` where the plugin has one.
pub struct SchedulerGuest {
    world: Scheduler,
    on_result: Option<OnResult>,
}

impl Guest for SchedulerGuest {
    fn find(store: &mut Store<Host>, made: &wasmtime::component::Instance) -> wasmtime::Result<Self> {
        Ok(Self { world: Scheduler::new(&mut *store, made)?, on_result: feedback(store, made)? })
    }

    fn call_describe(&self, store: &mut Store<Host>) -> wasmtime::Result<types::Description> {
        self.world.weir_policy_lifecycle().call_describe(store)
    }

    fn call_configure(
        &self,
        store: &mut Store<Host>,
        config: &str,
    ) -> wasmtime::Result<Result<(), types::ConfigError>> {
        self.world.weir_policy_lifecycle().call_configure(store, config)
    }
}

/// Finds the optional `on-result`.
fn feedback(
    store: &mut Store<Host>,
    instance: &wasmtime::component::Instance,
) -> wasmtime::Result<Option<OnResult>> {
    let Some(interface) = instance.get_export_index(&mut *store, None, FEEDBACK) else { return Ok(None) };
    let Some(function) = instance.get_export_index(&mut *store, Some(&interface), "on-result") else {
        return Ok(None);
    };
    instance.get_typed_func(store, function).map(Some)
}

/// A scheduler, for one worker.
pub struct SchedulerInstance {
    instance: Instance<SchedulerGuest>,
    /// Of the last `update`.
    plan: Option<Plan>,
}

impl std::fmt::Debug for SchedulerInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plan = self.plan.as_ref().map(Plan::as_str);
        f.debug_struct("SchedulerInstance").field("plan", &plan).field("instance", &self.instance).finish()
    }
}

impl Deref for SchedulerInstance {
    type Target = Instance<SchedulerGuest>;

    fn deref(&self) -> &Self::Target {
        &self.instance
    }
}

impl DerefMut for SchedulerInstance {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.instance
    }
}

impl SchedulerInstance {
    /// Makes one, see [`Instance::new`].
    ///
    /// # Errors
    /// As of [`Instance::new`].
    pub fn new(engines: &Engines, checked: &Checked, host: Host) -> Result<Self, SetupError> {
        Ok(Self { instance: Instance::new(engines, checked, host)?, plan: None })
    }

    /// The plan of the last `update`.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }
}

impl Policy for SchedulerInstance {
    fn update(&mut self, servers: &Arc<[Server]>) -> Result<Plan, Failure> {
        // The same list again, as when a worker takes over an instance that was prepared for it.
        if let Some(plan) = &self.plan
            && Arc::ptr_eq(&self.instance.store.data().servers, servers)
        {
            return Ok(plan.clone());
        }
        self.plan = None;
        self.instance.store.data_mut().servers = Arc::clone(servers);
        let list: Vec<scheduling::Server> = servers.iter().map(Into::into).collect();
        let said = self.instance.call("update", &Budget::UPDATE, |guest, store| {
            guest.world.weir_policy_scheduling().call_update(store, &list)
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
        self.instance
            .call("pick", &Budget::PICK, |guest, store| {
                guest.world.weir_policy_scheduling().call_pick(store, request.into())
            })
            .map(Into::into)
    }

    fn wants_results(&self) -> bool {
        self.instance.guest.on_result.is_some()
    }

    fn on_result(&mut self, server: u32, outcome: Outcome, latency: Duration) -> Result<(), Failure> {
        let Some(on_result) = self.instance.guest.on_result else { return Ok(()) };
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.instance.call("on-result", &Budget::PICK, |_, store| {
            on_result.call(store, (server, outcome.into(), micros))
        })
    }
}
