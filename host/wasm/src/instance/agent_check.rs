//! A plugin that judges observations: `checking`.

use std::ops::{Deref, DerefMut};

use wasmtime::Store;
use weir_core::health::{AgentReport, Observation, Said, Subject};
use weir_core::schedule::Failure;

use super::{Budget, Guest, Instance, MAX_SUMMARY, SetupError, shown};
use crate::bindings::{AgentCheck, types};
use crate::check::Checked;
use crate::engine::Engines;
use crate::imports::Host;

impl Guest for AgentCheck {
    fn find(store: &mut Store<Host>, made: &wasmtime::component::Instance) -> wasmtime::Result<Self> {
        Self::new(store, made)
    }

    fn call_describe(&self, store: &mut Store<Host>) -> wasmtime::Result<types::Description> {
        self.weir_policy_lifecycle().call_describe(store)
    }

    fn call_configure(
        &self,
        store: &mut Store<Host>,
        config: &str,
    ) -> wasmtime::Result<Result<(), types::ConfigError>> {
        self.weir_policy_lifecycle().call_configure(store, config)
    }
}

/// A judge, for one thread.
#[derive(Debug)]
pub struct JudgeInstance(Instance<AgentCheck>);

impl Deref for JudgeInstance {
    type Target = Instance<AgentCheck>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for JudgeInstance {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl JudgeInstance {
    /// Makes one, see [`Instance::new`].
    ///
    /// # Errors
    /// As of [`Instance::new`].
    pub fn new(engines: &Engines, checked: &Checked, host: Host) -> Result<Self, SetupError> {
        Instance::new(engines, checked, host).map(Self)
    }

    /// What this observation means: within its bounds whatever the plugin says, or its own error, printable and cut.
    ///
    /// # Errors
    /// A failure of the plugin.
    pub fn evaluate(
        &mut self,
        subject: &Subject,
        observation: Observation,
    ) -> Result<Result<AgentReport, String>, Failure> {
        let (node, observation) = (subject.into(), observation.into());
        let said = self.0.call("evaluate", &Budget::UPDATE, |guest, store| {
            guest.weir_policy_checking().call_evaluate(store, &node, &observation)
        })?;
        Ok(said.map(|verdict| Said::from(verdict).report()).map_err(|text| shown(&text, MAX_SUMMARY)))
    }
}
