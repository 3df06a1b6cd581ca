//! A plugin that chooses addresses: `answering`.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use wasmtime::Store;
use weir_core::dns::answer::choose::{Address, Choice, Chooser, Question};
use weir_core::schedule::Failure;

use super::{Budget, Guest, Instance, SetupError};
use crate::bindings::{DnsAnswers, answering, types};
use crate::check::Checked;
use crate::engine::Engines;
use crate::imports::Host;

impl Guest for DnsAnswers {
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

/// A chooser, for one worker.
#[derive(Debug)]
pub struct ChooserInstance {
    instance: Instance<DnsAnswers>,
    numbers: HashMap<Arc<str>, u32>,
    /// What the plugin was told last of each name, by number.
    told: Vec<Arc<[Address]>>,
}

impl Deref for ChooserInstance {
    type Target = Instance<DnsAnswers>;

    fn deref(&self) -> &Self::Target {
        &self.instance
    }
}

impl DerefMut for ChooserInstance {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.instance
    }
}

impl ChooserInstance {
    /// Makes one, see [`Instance::new`].
    ///
    /// # Errors
    /// As of [`Instance::new`].
    pub fn new(engines: &Engines, checked: &Checked, host: Host) -> Result<Self, SetupError> {
        let instance = Instance::new(engines, checked, host)?;
        Ok(Self { instance, numbers: HashMap::new(), told: Vec::new() })
    }

    /// The number of a name, once it was told of it.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }
}

impl Chooser for ChooserInstance {
    fn update(&mut self, name: &Arc<str>, addresses: &Arc<[Address]>) -> Result<u32, Failure> {
        let known = self.numbers.get(name).copied();
        let told = known.and_then(|number| self.told.get_mut(usize::try_from(number).ok()?));
        if let (Some(number), Some(told)) = (known, &told)
            && Arc::ptr_eq(told, addresses)
        {
            return Ok(number);
        }
        let list: Vec<answering::Address> = addresses.iter().map(Into::into).collect();
        self.instance.call("update", &Budget::UPDATE, |guest, store| {
            guest.weir_policy_answering().call_update(store, name, &list)
        })?;
        if let (Some(number), Some(told)) = (known, told) {
            *told = Arc::clone(addresses);
            return Ok(number);
        }
        // As the plugin counts: the first name that it was told of is 0.
        let number = u32::try_from(self.told.len()).unwrap_or(u32::MAX);
        self.told.push(Arc::clone(addresses));
        self.numbers.insert(Arc::clone(name), number);
        Ok(number)
    }

    fn decide(&mut self, question: &Question) -> Result<Choice, Failure> {
        // A number that `update` did not give: there is nothing to ask about.
        let Some(addresses) = usize::try_from(question.name).ok().and_then(|at| self.told.get(at)) else {
            return Ok(Choice::Fallback);
        };
        let asked = question.into();
        let said = self.instance.call("decide", &Budget::PICK, |guest, store| {
            guest.weir_policy_answering().call_decide(store, &asked)
        })?;
        Choice::from(said).checked(question, addresses)
    }
}
