//! How the addresses of all policies stand, and the table that is made of it.
//!
//! Checks, the state file and reloads tell it what is new, each from a thread of its own; it publishes a table with every
//! change that answers could depend on. A policy that has not changed is the same value in the next table, so that its plugin
//! need not be told again. One that is new in the fleet file, or another, is held back until it is released: a table has it as it was, or
//! not at all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_core::config::{DnsPolicy, Name, Unlisted};
use weir_core::dns::answer::choose::ChooserSource;
use weir_core::dns::policy::table::inherited;
use weir_core::dns::policy::{Candidate, Networks, Policy, StateFile, Table};
use weir_core::health::{CheckHealth, Status};
use weir_core::model::State;
use weir_dns::Tables;
use weir_dns::state_file::Outcome;
use weir_probe::watch::Watch;

/// Everything that is known of addresses.
pub(super) struct Standing {
    known: Mutex<Known>,
    tables: Tables,
    changed: Arc<Notify>,
}

struct Known {
    file: StateFile,
    /// What is wrong with the file; what it said before counts then.
    file_fault: Option<String>,
    unlisted: Unlisted,
    policies: BTreeMap<Name, OfPolicy>,
    networks: Option<Arc<dyn Networks>>,
}

struct OfPolicy {
    config: DnsPolicy,
    source: Option<Arc<dyn ChooserSource>>,
    watch: Arc<Watch>,
    statuses: BTreeMap<Arc<str>, Status>,
    /// As it is in the table; `None` before it is in one.
    made: Option<Arc<Policy>>,
    /// It stays as it is in the table.
    is_held: bool,
}

impl OfPolicy {
    /// Whether every address that is checked has been checked once.
    fn is_settled(&self) -> bool {
        let settled =
            |status: &Status| status.bits.check != Some(CheckHealth::Unknown) || status.state == State::Maint;
        self.statuses.len() == self.config.addresses.len() && self.statuses.values().all(settled)
    }
}

impl Standing {
    /// Nothing is known yet.
    pub(super) fn new(tables: Tables, changed: Arc<Notify>) -> Arc<Self> {
        let known = Known {
            file: StateFile::default(),
            file_fault: None,
            unlisted: Unlisted::Up,
            policies: BTreeMap::new(),
            networks: None,
        };
        Arc::new(Self { known: Mutex::new(known), tables, changed })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the state file says now, or what is wrong with it.
    pub(super) fn state_file(&self, outcome: Outcome) {
        let mut known = self.lock();
        match outcome {
            Ok(file) => {
                if known.file_fault.take().is_some() || known.file != file {
                    tracing::info!("the state file was taken in");
                }
                known.file = file;
            }
            Err(fault) => {
                tracing::error!("the state file is not taken in, what it said before counts: {fault}");
                known.file_fault = Some(fault);
            }
        }
        let is_new = known.tell_all();
        self.publish(&known, is_new);
    }

    /// What addresses are that the state file does not name.
    pub(super) fn unlisted(&self, unlisted: Unlisted) {
        let mut known = self.lock();
        known.unlisted = unlisted;
        let is_new = known.tell_all();
        self.publish(&known, is_new);
    }

    /// A policy as the fleet file has it now. Where that is new, it is held.
    pub(super) fn policy(
        &self,
        name: &Name,
        config: &DnsPolicy,
        source: Option<Arc<dyn ChooserSource>>,
        watch: &Arc<Watch>,
    ) {
        let mut known = self.lock();
        let names: Vec<Arc<str>> = config.addresses.iter().map(|a| a.address.to_string().into()).collect();
        let (mut statuses, made, is_held) = match known.policies.remove(name) {
            Some(old) => (old.statuses, old.made, old.config != *config || old.is_held),
            None => (BTreeMap::new(), None, true),
        };
        statuses.retain(|address, _| names.contains(address));
        let of =
            OfPolicy { config: config.clone(), source, watch: Arc::clone(watch), statuses, made, is_held };
        known.policies.insert(name.clone(), of);
        let is_new = known.make(name);
        self.publish(&known, is_new);
    }

    /// The addresses of a policy are watched from now: tells the watch what the state file says of them.
    pub(super) fn inherit(&self, name: &Name) {
        self.lock().tell_watch(name);
    }

    /// What is known of clients' networks from now on.
    pub(super) fn networks(&self, networks: Option<Arc<dyn Networks>>) {
        let mut known = self.lock();
        let is_new = known.networks.is_some() || networks.is_some();
        known.networks = networks;
        self.publish(&known, is_new);
    }

    /// Publishes the policies that are held and whose addresses have been checked once. True where none is held any more.
    pub(super) fn release_settled(&self) -> bool {
        let mut known = self.lock();
        let is_new = known.release(OfPolicy::is_settled);
        self.publish(&known, is_new);
        known.policies.values().all(|of| !of.is_held)
    }

    /// Publishes all policies that are held.
    pub(super) fn release(&self) {
        let mut known = self.lock();
        let is_new = known.release(|_| true);
        self.publish(&known, is_new);
    }

    /// These policies there are, and no others.
    pub(super) fn keep_only(&self, wanted: &BTreeMap<Name, DnsPolicy>) {
        let mut known = self.lock();
        let before = known.policies.len();
        known.policies.retain(|name, _| wanted.contains_key(name));
        let is_new = known.policies.len() != before;
        self.publish(&known, is_new);
    }

    /// How an address stands now.
    pub(super) fn status(&self, policy: &Name, address: &Arc<str>, status: &Status) {
        let mut known = self.lock();
        let Some(of) = known.policies.get_mut(policy) else { return };
        if !of.config.addresses.iter().any(|a| a.address.to_string() == **address) {
            return;
        }
        let before = of.statuses.insert(Arc::clone(address), status.clone());
        log(policy, address, before.as_ref(), status);
        let is_new = known.make(policy);
        self.publish(&known, is_new);
        self.changed.notify_one();
    }

    /// Whether every address that is checked has been checked once.
    pub(super) fn is_settled(&self) -> bool {
        let known = self.lock();
        known.policies.values().all(OfPolicy::is_settled)
    }

    /// What is wrong with the state file.
    pub(super) fn file_fault(&self) -> Option<String> {
        self.lock().file_fault.clone()
    }

    /// The status of every address of a policy, by address.
    pub(super) fn statuses(&self, policy: &str) -> BTreeMap<IpAddr, Status> {
        let known = self.lock();
        let statuses = known.policies.get(policy).map(|of| &of.statuses);
        let statuses = statuses.into_iter().flatten();
        statuses.filter_map(|(address, status)| Some((address.parse().ok()?, status.clone()))).collect()
    }

    /// Called with the lock held, so that tables are published in the order in which they were made.
    fn publish(&self, known: &Known, is_new: bool) {
        if is_new {
            let table = Table::new(known.policies.values().filter_map(|of| of.made.clone()));
            self.tables.publish(table.with_networks(known.networks.clone()));
        }
    }
}

impl Known {
    /// Tells all checks what the state file says, and makes all policies anew: a TTL may have changed without any state.
    fn tell_all(&mut self) -> bool {
        let names: Vec<Name> = self.policies.keys().cloned().collect();
        let mut is_new = false;
        for name in &names {
            self.tell_watch(name);
            is_new |= self.make(name);
        }
        is_new
    }

    /// Holds those no longer of which this is true, and makes them anew.
    fn release(&mut self, may_go: impl Fn(&OfPolicy) -> bool) -> bool {
        let held = self.policies.iter_mut().filter(|(_, of)| of.is_held && may_go(of));
        let released = held.map(|(name, of)| {
            of.is_held = false;
            name.clone()
        });
        let released: Vec<Name> = released.collect();
        let mut is_new = false;
        for name in &released {
            is_new |= self.make(name);
        }
        is_new
    }

    /// Makes the policy anew. False where nothing of it has changed, or it is held.
    fn make(&mut self, name: &Name) -> bool {
        let Some(of) = self.policies.get_mut(name).filter(|of| !of.is_held) else { return false };
        let candidate = |configured: &weir_core::config::DnsAddress| {
            let status = of.statuses.get(configured.address.to_string().as_str());
            Candidate::new(&of.config, configured, status, &self.file)
        };
        let candidates: Vec<Candidate> = of.config.addresses.iter().map(candidate).collect();
        let mut policy = Policy::new(name.shared(), &of.config, candidates, of.source.clone());
        let before = of.made.as_deref();
        let same_plugin = before.is_some_and(|before| same_source(&policy, before));
        let same_addresses = before.filter(|before| policy.addresses == before.addresses);
        if let Some(before) = same_addresses {
            // The same list costs its plugin nothing.
            policy.addresses = Arc::clone(&before.addresses);
            let same_rest = policy.is_ruled_as(before) && policy.candidates == before.candidates;
            if same_plugin && same_rest {
                return false;
            }
        }
        if let Some(source) = of.source.as_ref().filter(|_| !(same_addresses.is_some() && same_plugin)) {
            source.names(Arc::new([(Arc::clone(&policy.name), Arc::clone(&policy.addresses))]));
        }
        of.made = Some(Arc::new(policy));
        true
    }

    /// Tells the checks of a policy what the state file says of its addresses.
    fn tell_watch(&self, name: &Name) {
        let Some(of) = self.policies.get(name) else { return };
        for address in &of.config.addresses {
            let state = inherited(&self.file, address.address, self.unlisted);
            of.watch.inherit(&address.address.to_string(), state);
        }
    }
}

fn same_source(a: &Policy, b: &Policy) -> bool {
    match (&a.source, &b.source) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// A change of state is news; what leads up to one is for whoever looks closer. A load that cannot be read is told when that begins.
fn log(policy: &Name, address: &str, before: Option<&Status>, status: &Status) {
    if let (Some(fault), None) = (&status.load_fault, before.and_then(|b| b.load_fault.as_ref())) {
        tracing::warn!(%policy, address, "{fault}");
    }
    let (state, reason) = (status.state.as_str(), &status.reason);
    let note = status.note.as_deref().unwrap_or_default();
    match before {
        Some(before) if before.state == status.state => {
            tracing::debug!(%policy, address, state, %reason, note, "address");
        }
        Some(_) if status.state == State::Down => {
            tracing::warn!(%policy, address, state, %reason, note, "address");
        }
        _ => tracing::info!(%policy, address, state, %reason, note, "address"),
    }
}
