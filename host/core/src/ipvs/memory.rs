//! What a process remembers of the kernel's table that a dump does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{
    Change, Key, Observed, ObservedDestination, ObservedService, Plan, Refusal, Settings, Table, Timeouts,
    Wanted,
};

/// The table as it was last seen or left, with the last weights, and the services that are this process's to remove.
///
/// The order of calls: [`Memory::see`] a dump, then [`Memory::plan`], then [`Memory::done`] for each change that the kernel
/// has confirmed, then [`Memory::agree`]. Without a foreign hand in between the next plan needs no dump, and looks only at services
/// that are wanted otherwise.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    known: Observed,
    /// Services that this process made, or found as it wanted them: an earlier process may have made those.
    made: BTreeSet<Key>,
    /// What is known was found to be as this wants it, every service of it.
    agreed: Table,
}

impl Memory {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table as it is known.
    pub const fn known(&self) -> &Observed {
        &self.known
    }

    /// Takes in a dump. Last weights that it does not show are taken over from what was known before.
    ///
    /// What this cannot notice: that somebody deleted a destination of weight 0 and added it again with weight 0, in the same
    /// place and between two dumps.
    pub fn see(&mut self, mut dump: Observed) {
        for (key, service) in &mut dump.services {
            let Some(before) = self.known.services.get(key) else { continue };
            recall(&mut service.destinations, &before.destinations);
        }
        self.known = dump;
        self.agreed = Table::new();
    }

    /// Begins to take in a dump that comes service by service: these are there. What each has is told by
    /// [`Memory::see_service`]; until then what was known before is still known. Plans may be made and carried out in between.
    pub fn see_list<'s>(
        &mut self,
        there: impl Iterator<Item = (Key, &'s Settings)>,
        timeouts: Option<Timeouts>,
    ) {
        self.known.timeouts = timeouts;
        let mut known = std::mem::take(&mut self.known.services);
        for (key, settings) in there {
            let Some(mut service) = known.remove(&key) else { continue };
            if service.settings != *settings {
                service.settings = settings.clone();
                self.agreed.remove(&key);
            }
            self.known.services.insert(key, service);
        }
        for key in known.keys() {
            self.agreed.remove(key);
        }
    }

    /// Takes in one service of a dump; `None`: it is gone.
    pub fn see_service(&mut self, key: Key, dump: Option<ObservedService>) {
        let before = self.known.services.get(&key);
        let Some(mut service) = dump else {
            self.known.services.remove(&key);
            self.agreed.remove(&key);
            return;
        };
        if let Some(before) = before {
            recall(&mut service.destinations, &before.destinations);
        }
        if before != Some(&service) {
            self.agreed.remove(&key);
            self.known.services.insert(key, service);
        }
    }

    /// What is to be done.
    pub fn plan(&self, wanted: &Wanted) -> Plan {
        Plan::of(wanted, &self.known, &self.made, &self.agreed)
    }

    /// Takes in that the kernel has made a change.
    ///
    /// # Errors
    /// Where that cannot be by what is known: somebody else changes the table, and another dump is needed.
    pub fn done(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::AddService { key, .. } => drop(self.made.insert(*key)),
            Change::RemoveService { key } => drop(self.made.remove(key)),
            _ => {}
        }
        if let Some(service) = change.service() {
            self.agreed.remove(service);
        }
        self.known.apply(change)
    }

    /// All that is wanted is known to be so: the plan was empty, or all of it is done. The next plan passes over services that are
    /// still wanted like this. From now on they are ours to remove, whoever made them.
    pub fn agree(&mut self, wanted: &Wanted) {
        self.made.extend(wanted.table.shared().keys());
        self.agreed = wanted.table.clone();
    }
}

fn recall(destinations: &mut [ObservedDestination], before: &[ObservedDestination]) {
    if destinations.iter().all(|one| one.last_weight.is_some()) {
        return;
    }
    let before: BTreeMap<SocketAddr, Option<u32>> =
        before.iter().map(|one| (one.entry.endpoint, one.last_weight)).collect();
    for one in destinations.iter_mut().filter(|one| one.last_weight.is_none()) {
        one.last_weight = before.get(&one.entry.endpoint).copied().flatten();
    }
}
