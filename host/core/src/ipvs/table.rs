//! All services, as they shall be.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::{Forwarding, Key, Service};
use crate::maglev::{Family, MAX_WEIGHT};

/// All services. What is in it makes sense to the kernel; it may still lack a module. Written as a list of services.
///
/// A copy shares its services with the original, so that of two tables of which one was made from the other it is known at once
/// what differs, however large they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Service>")]
pub struct Table {
    services: BTreeMap<Key, Arc<Service>>,
}

/// Why services make no table. All are faults of who made the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A service is there twice.
    #[error("service {0} is there twice")]
    Service(Key),
    /// A destination is there twice.
    #[error("service {service}: destination {endpoint} is there twice")]
    Destination {
        /// Its service.
        service: Key,
        /// The destination.
        endpoint: SocketAddr,
    },
    /// The weight is more than the kernel takes.
    #[error(
        "service {service}: the weight of {endpoint} is over {MAX_WEIGHT}, the largest that the kernel takes"
    )]
    Weight {
        /// Its service.
        service: Key,
        /// The destination.
        endpoint: SocketAddr,
    },
    /// The lower limit is over the upper one.
    #[error("service {service}: the lower threshold of {endpoint} is over the upper one")]
    Thresholds {
        /// Its service.
        service: Key,
        /// The destination.
        endpoint: SocketAddr,
    },
    /// Only a tunnel leads from one address family to the other.
    #[error("service {service}: {endpoint} is of the other address family, which only a tunnel can reach")]
    Family {
        /// Its service.
        service: Key,
        /// The destination.
        endpoint: SocketAddr,
    },
    /// Persistence by an impossible prefix.
    #[error("service {service}: persistence by a prefix of {prefix} bits, which its addresses do not have")]
    Prefix {
        /// The service.
        service: Key,
        /// The prefix.
        prefix: u8,
    },
    /// The kernel has services for port 0 only with persistence.
    #[error("service {0}: a service for all ports must have persistence")]
    AllPorts(Key),
}

impl Table {
    /// No service.
    pub const fn new() -> Self {
        Self { services: BTreeMap::new() }
    }

    /// A table of these.
    ///
    /// # Errors
    /// The first thing that the kernel would refuse, or that would make two things of one.
    pub fn of(services: impl IntoIterator<Item = Service>) -> Result<Self, TableError> {
        let mut table = Self::new();
        for service in services {
            check(&service)?;
            let key = service.key;
            if table.services.insert(key, Arc::new(service)).is_some() {
                return Err(TableError::Service(key));
            }
        }
        Ok(table)
    }

    /// A service comes, or takes the place of the one with its key. One that is the same as before changes nothing.
    ///
    /// # Errors
    /// What the kernel would refuse; the table is as it was then.
    pub fn put(&mut self, service: Service) -> Result<(), TableError> {
        check(&service)?;
        if self.get(&service.key) != Some(&service) {
            self.services.insert(service.key, Arc::new(service));
        }
        Ok(())
    }

    /// A service goes. Says whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        self.services.remove(key).is_some()
    }

    /// As they are shared with copies.
    pub(super) const fn shared(&self) -> &BTreeMap<Key, Arc<Service>> {
        &self.services
    }

    /// All services, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.services.values().map(|service| &**service)
    }

    /// The one with this key.
    pub fn get(&self, key: &Key) -> Option<&Service> {
        self.services.get(key).map(|service| &**service)
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }
}

impl TryFrom<Vec<Service>> for Table {
    type Error = TableError;

    fn try_from(services: Vec<Service>) -> Result<Self, TableError> {
        Self::of(services)
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

fn check(service: &Service) -> Result<(), TableError> {
    let key = service.key;
    let bits = if key.family() == Family::V4 { 32 } else { 128 };
    if let Some(persistence) = service.settings.persistence
        && !(1..=bits).contains(&persistence.prefix)
    {
        return Err(TableError::Prefix { service: key, prefix: persistence.prefix });
    }
    if matches!(key, Key::Address { port: 0, .. }) && service.settings.persistence.is_none() {
        return Err(TableError::AllPorts(key));
    }
    let mut seen = HashSet::with_capacity(service.destinations.len());
    for one in &service.destinations {
        let endpoint = one.endpoint;
        if !seen.insert(endpoint) {
            return Err(TableError::Destination { service: key, endpoint });
        }
        if one.weight.get() > MAX_WEIGHT {
            return Err(TableError::Weight { service: key, endpoint });
        }
        if one.thresholds.lower > one.thresholds.upper {
            return Err(TableError::Thresholds { service: key, endpoint });
        }
        let same = endpoint.is_ipv4() == (key.family() == Family::V4);
        if !same && !matches!(one.forwarding, Forwarding::Tunnel(_)) {
            return Err(TableError::Family { service: key, endpoint });
        }
    }
    Ok(())
}
