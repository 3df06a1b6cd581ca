//! The difference between what shall be and what is, as commands.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use super::{
    Change, Destination, Key, Observed, ObservedDestination, ObservedService, Order, Service, Table, Wanted,
};
use crate::maglev::{self, Size};

/// A service whose destinations are not in join order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disorder {
    /// Which one.
    pub service: Key,
    /// How many destinations have to be deleted and added again.
    pub readded: usize,
    /// How many rows of its table get another owner by all changes to it. `None` where that cannot be foretold.
    pub moved: Option<u32>,
    /// How many rows it has.
    pub rows: u32,
}

/// What is to be done, and what else was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Commands, in order. Every prefix is safe: nothing is taken away before what replaces it is there, and of a service that
    /// is put in order one destination at a time is missing.
    pub changes: Vec<Change>,
    /// Services out of order, whether they are restored or not.
    pub disorder: Vec<Disorder>,
    /// Services of somebody else, which are left alone.
    pub foreign: Vec<Key>,
    /// Destinations whose weight is stated again, since it is 0 and nobody here knows what it was.
    pub restated: usize,
}

impl Plan {
    /// What makes `observed` into what is wanted. `made` are the services that whoever asks has made or adopted, which are his to
    /// remove as well. Services that `agreed` shares with what is wanted are known to be as they shall be.
    pub fn of(wanted: &Wanted, observed: &Observed, made: &BTreeSet<Key>, agreed: &Table) -> Self {
        let mut draft = Draft::default();
        if let Some(timeouts) = wanted.timeouts
            && observed.timeouts != Some(timeouts)
        {
            draft.first.push(Change::SetTimeouts(timeouts));
        }
        for (key, service) in wanted.table.shared() {
            if agreed.shared().get(key).is_some_and(|same| Arc::ptr_eq(same, service)) {
                continue;
            }
            match observed.services.get(key) {
                None => draft.add(service),
                Some(has) => draft.compare(service, has, wanted),
            }
        }
        for key in observed.services.keys().filter(|key| wanted.table.get(key).is_none()) {
            if wanted.ownership.includes(key) || made.contains(key) {
                draft.services.push(Change::RemoveService { key: *key });
            } else {
                draft.plan.foreign.push(*key);
            }
        }
        draft.finish()
    }

    /// Whether the kernel has what is wanted.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Changes by when they are safe.
#[derive(Default)]
struct Draft {
    /// What adds and sets.
    first: Vec<Change>,
    /// What puts services in order: pairs of delete and add.
    order: Vec<Change>,
    /// Destinations that left.
    destinations: Vec<Change>,
    /// Services that left.
    services: Vec<Change>,
    plan: Plan,
}

impl Draft {
    fn finish(mut self) -> Plan {
        self.plan.changes = self.first;
        self.plan.changes.extend(self.order);
        self.plan.changes.extend(self.destinations);
        self.plan.changes.extend(self.services);
        self.plan
    }

    fn add(&mut self, service: &Service) {
        let (key, settings) = (service.key, service.settings.clone());
        self.first.push(Change::AddService { key, settings });
        for destination in &service.destinations {
            add_destination(&mut self.first, service, destination);
        }
    }

    fn compare(&mut self, service: &Service, has: &ObservedService, wanted: &Wanted) {
        if service.settings != has.settings {
            let (key, settings) = (service.key, service.settings.clone());
            self.first.push(Change::SetService { key, settings });
        }
        let same = service.destinations.len() == has.destinations.len()
            && service.destinations.iter().zip(&has.destinations).all(|(one, is)| settled(service, one, is));
        if !same {
            self.destinations(service, has, wanted);
        }
    }

    /// The list of a service that is known to differ.
    fn destinations(&mut self, service: &Service, has: &ObservedService, wanted: &Wanted) {
        let places: HashMap<SocketAddr, usize> =
            has.destinations.iter().enumerate().map(|(at, one)| (one.entry.endpoint, at)).collect();
        let is = |one: &Destination| has.destinations.get(*places.get(&one.endpoint)?);
        let kept = prefix_in_order(service, &places);
        let rest = service.destinations.get(kept..).unwrap_or_default();
        let readded = rest.iter().filter(|one| is(one).is_some()).count();
        let disordered = service.settings.needs_order() && readded > 0;
        let restore = disordered && wanted.order == Order::Restore;
        if disordered {
            let moved = rows_moved(service, has, wanted.size);
            let rows = wanted.size.rows();
            self.plan.disorder.push(Disorder { service: service.key, readded, moved, rows });
        }

        let stays = if restore {
            service.destinations.get(..kept).unwrap_or_default()
        } else {
            &service.destinations
        };
        if !restore {
            for one in service.destinations.iter().filter(|one| is(one).is_none()) {
                add_destination(&mut self.first, service, one);
            }
        }
        // Who comes back is told before who goes, so that no prefix leaves a service without anybody who takes flows.
        for taking in [true, false] {
            for one in stays.iter().filter(|one| one.taking == taking) {
                let Some(is) = is(one) else { continue };
                self.set(service, one, is);
            }
        }
        if restore {
            for one in rest {
                if is(one).is_some() {
                    self.order
                        .push(Change::RemoveDestination { service: service.key, endpoint: one.endpoint });
                }
                add_destination(&mut self.order, service, one);
            }
        }
        let wanted: BTreeSet<SocketAddr> = service.destinations.iter().map(|one| one.endpoint).collect();
        let gone = has.destinations.iter().map(|one| one.entry.endpoint).filter(|one| !wanted.contains(one));
        let gone = gone.map(|endpoint| Change::RemoveDestination { service: service.key, endpoint });
        self.destinations.extend(gone);
    }

    fn set(&mut self, service: &Service, one: &Destination, is: &ObservedDestination) {
        if settled(service, one, is) {
            return;
        }
        let key = service.key;
        if !shaped(service, one, is) {
            self.plan.restated += usize::from(is.last_weight.is_none());
            self.first.push(Change::SetDestination { service: key, entry: one.entry(true) });
        }
        self.first.push(Change::SetDestination { service: key, entry: one.entry(one.taking) });
    }
}

/// Whether nothing is to be said about a destination.
fn settled(service: &Service, one: &Destination, is: &ObservedDestination) -> bool {
    is.entry == one.entry(one.taking) && shaped(service, one, is)
}

/// Whether a destination has the rows that it shall have, once it has the weight that it shall have.
fn shaped(service: &Service, one: &Destination, is: &ObservedDestination) -> bool {
    one.taking || !service.settings.is_maglev() || is.last_weight == Some(one.weight.get())
}

/// Adds a destination. One that takes no flows gets its rows first: only `mh` has rows that outlive a weight.
fn add_destination(to: &mut Vec<Change>, service: &Service, one: &Destination) {
    let shape_first = !one.taking && service.settings.is_maglev();
    let taking = one.taking || shape_first;
    to.push(Change::AddDestination { service: service.key, entry: one.entry(taking) });
    if shape_first {
        to.push(Change::SetDestination { service: service.key, entry: one.entry(false) });
    }
}

/// How many of the wanted destinations are in the kernel's list one after the other, from the first on. Those can stay: what is
/// added comes after them.
fn prefix_in_order(service: &Service, places: &HashMap<SocketAddr, usize>) -> usize {
    let mut next = 0;
    let in_order = service.destinations.iter().take_while(|one| match places.get(&one.endpoint) {
        Some(at) if *at >= next => {
            next = at + 1;
            true
        }
        _ => false,
    });
    in_order.count()
}

/// Rows with another owner after all changes to a service.
fn rows_moved(service: &Service, has: &ObservedService, size: Size) -> Option<u32> {
    let family = service.key.family();
    let weight = |endpoint| service.destinations.iter().find(|one| one.endpoint == endpoint);
    let before = has.list(|endpoint| weight(endpoint).map_or(0, |one| one.weight.get()));
    let before = maglev::Table::of(has.settings.scheme(family, size)?, &before).ok()?;
    let after = maglev::Table::of(service.settings.scheme(family, size)?, &service.list().ok()?).ok()?;
    let pairs = before.owners().zip(after.owners());
    let moved = pairs.filter(|(old, new)| old.map(|one| one.endpoint) != new.map(|one| one.endpoint)).count();
    u32::try_from(moved).ok()
}
