//! What a process remembers of the kernel's table that a dump does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{Change, Key, Observed, ObservedDestination, Plan, Refusal, Wanted};

/// The table as it was last seen or left, with the last weights, and the services that this process made.
///
/// The order of calls: [`Memory::see`] a dump, then [`Memory::plan`], then [`Memory::done`] for each change that the kernel
/// has confirmed. Without a foreign hand in between the next plan needs no dump.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    known: Observed,
    made: BTreeSet<Key>,
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
    }

    /// What is to be done.
    pub fn plan(&self, wanted: &Wanted) -> Plan {
        Plan::of(wanted, &self.known, &self.made)
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
        self.known.apply(change)
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
