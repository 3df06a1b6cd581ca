//! What the kernel has: as a dump shows it, and as a change leaves it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::{Change, Entry, Key, Settings, Timeouts};
use crate::maglev;

/// A destination as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ObservedDestination {
    /// What a dump shows.
    pub entry: Entry,
    /// The latest weight that was not 0, which shapes an `mh` table. `None` where it is not known: the weight is 0 and nobody
    /// here saw it become so. `Some(0)` where it was added with weight 0.
    pub last_weight: Option<u32>,
}

impl ObservedDestination {
    /// As a dump shows it, to somebody who has seen nothing before.
    pub fn dumped(entry: Entry) -> Self {
        Self { entry, last_weight: (entry.weight != 0).then_some(entry.weight) }
    }
}

/// A service as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedService {
    /// How its flows are spread.
    pub settings: Settings,
    /// Its destinations, the one that was added first at the beginning: a dump read backwards.
    pub destinations: Vec<ObservedDestination>,
}

impl ObservedService {
    /// The list for [`maglev::Table`]. Where the last weight is not known, `assumed` is asked.
    pub fn list(&self, mut assumed: impl FnMut(SocketAddr) -> u32) -> maglev::Destinations {
        let newest_first = self.destinations.iter().rev().map(|one| maglev::Destination {
            endpoint: one.entry.endpoint,
            weight: one.entry.weight,
            last_weight: one.last_weight.unwrap_or_else(|| assumed(one.entry.endpoint)),
            overloaded: false,
        });
        maglev::Destinations::dumped(newest_first)
    }

    fn position(&self, endpoint: SocketAddr) -> Option<usize> {
        self.destinations.iter().position(|one| one.entry.endpoint == endpoint)
    }
}

/// All that the kernel has, of one network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Services.
    pub services: BTreeMap<Key, ObservedService>,
    /// Timeouts, where they were asked for.
    pub timeouts: Option<Timeouts>,
}

/// What the kernel answers to a change that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `EEXIST`
    #[error("it is there already")]
    Present,
    /// `ESRCH`
    #[error("there is no such service")]
    NoService,
    /// `ENOENT`
    #[error("there is no such destination")]
    NoDestination,
}

impl Observed {
    /// Makes a change as the kernel does.
    ///
    /// # Errors
    /// What the kernel refuses, and nothing is changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::SetTimeouts(timeouts) => self.timeouts = Some(*timeouts),
            Change::AddService { key, settings } => {
                if self.services.contains_key(key) {
                    return Err(Refusal::Present);
                }
                let service = ObservedService { settings: settings.clone(), destinations: Vec::new() };
                self.services.insert(*key, service);
            }
            Change::SetService { key, settings } => {
                self.service(key)?.settings = settings.clone();
            }
            Change::RemoveService { key } => {
                self.services.remove(key).ok_or(Refusal::NoService)?;
            }
            Change::AddDestination { service, entry } => {
                let service = self.service(service)?;
                if service.position(entry.endpoint).is_some() {
                    return Err(Refusal::Present);
                }
                let last_weight = Some(entry.weight);
                service.destinations.push(ObservedDestination { entry: *entry, last_weight });
            }
            Change::SetDestination { service, entry } => {
                let destinations = &mut self.service(service)?.destinations;
                let known = destinations.iter_mut().find(|one| one.entry.endpoint == entry.endpoint);
                let known = known.ok_or(Refusal::NoDestination)?;
                known.entry = *entry;
                if entry.weight != 0 {
                    known.last_weight = Some(entry.weight);
                }
            }
            Change::RemoveDestination { service, endpoint } => {
                let service = self.service(service)?;
                let at = service.position(*endpoint).ok_or(Refusal::NoDestination)?;
                service.destinations.remove(at);
            }
        }
        Ok(())
    }

    fn service(&mut self, key: &Key) -> Result<&mut ObservedService, Refusal> {
        self.services.get_mut(key).ok_or(Refusal::NoService)
    }
}
