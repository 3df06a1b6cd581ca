//! What differs between two things that are wanted, so that a small change is a small message and little work.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Destination, Key, Order, Ownership, Service, TableError, Timeouts, Wanted};
use crate::maglev::Size;

/// What makes one [`Wanted`] out of another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delta {
    /// Services that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Key>,
    /// Services that come, or whose settings or members are others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<Service>,
    /// What changes in services that keep their settings and members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Changed>,
    /// All but the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
}

/// A service that keeps its settings and members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changed {
    /// Which one.
    pub service: Key,
    /// Each takes the place of the one with its endpoint.
    pub destinations: Vec<Destination>,
}

/// All of a [`Wanted`] but the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    ownership: Ownership,
    order: Order,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeouts: Option<Timeouts>,
    size: Size,
}

/// A difference that was not made for what it is applied to, or that nobody would make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A service changes or goes that is not there.
    #[error("service {0} is not there")]
    NoService(Key),
    /// A destination changes that is not there.
    #[error("service {service}: destination {endpoint} is not there")]
    NoDestination {
        /// Its service.
        service: Key,
        /// The destination.
        endpoint: SocketAddr,
    },
    /// What came of it is no table.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Delta {
    /// What makes `after` out of `before`. Services that the two share cost nothing.
    pub fn between(before: &Wanted, after: &Wanted) -> Self {
        let (old, new) = (before.table.shared(), after.table.shared());
        let mut delta = Self::default();
        delta.removed.extend(old.keys().filter(|key| !new.contains_key(key)));
        for (key, service) in new {
            match old.get(key) {
                Some(was) if Arc::ptr_eq(was, service) => {}
                Some(was) => delta.compare(was, service),
                None => delta.put.push((**service).clone()),
            }
        }
        delta.rest = (Rest::of(before) != Rest::of(after)).then(|| Rest::of(after));
        delta
    }

    fn compare(&mut self, was: &Service, service: &Service) {
        let pairs = || was.destinations.iter().zip(&service.destinations);
        let alike = was.settings == service.settings
            && was.destinations.len() == service.destinations.len()
            && pairs().all(|(old, new)| old.endpoint == new.endpoint);
        if !alike {
            self.put.push(service.clone());
            return;
        }
        let destinations: Vec<_> = pairs().filter(|(old, new)| old != new).map(|(_, new)| *new).collect();
        if !destinations.is_empty() {
            self.set.push(Changed { service: service.key, destinations });
        }
    }

    /// Whether the two are the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What comes out of `before`.
    ///
    /// # Errors
    /// Where it was made for something else, or came from somebody who is not to be trusted.
    pub fn apply(self, before: &Wanted) -> Result<Wanted, Unfit> {
        let mut wanted = before.clone();
        for key in self.removed {
            if !wanted.table.remove(&key) {
                return Err(Unfit::NoService(key));
            }
        }
        for service in self.put {
            wanted.table.put(service)?;
        }
        for Changed { service: key, destinations } in self.set {
            let mut service = wanted.table.get(&key).ok_or(Unfit::NoService(key))?.clone();
            for new in destinations {
                let place = service.destinations.iter_mut().find(|one| one.endpoint == new.endpoint);
                *place.ok_or(Unfit::NoDestination { service: key, endpoint: new.endpoint })? = new;
            }
            wanted.table.put(service)?;
        }
        if let Some(Rest { ownership, order, timeouts, size }) = self.rest {
            wanted = Wanted { table: wanted.table, ownership, order, timeouts, size };
        }
        Ok(wanted)
    }
}

impl Rest {
    fn of(wanted: &Wanted) -> Self {
        let Wanted { table: _, ownership, order, timeouts, size } = wanted;
        Self { ownership: ownership.clone(), order: *order, timeouts: *timeouts, size: *size }
    }
}
