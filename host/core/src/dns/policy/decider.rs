//! How a decision comes about: repeated, chosen by a plugin, or by the host.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::instance::Instance;
use super::networks::Networks;
use super::repeat::{Kept, Repeats};
use super::table::{Policy, Table};
use crate::dns::answer::choose::{By, Choice, Labels, Question, Settled};
use crate::dns::answer::{Asked, Decision, MAX_ADDRESSES, Policies};
use crate::time::Moment;

/// How the last decision came about, for logs and explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Who chose the addresses.
    pub by: By,
    /// Whether it was decided earlier, for this client's network.
    pub repeated: bool,
}

/// Makes the decisions of one thread.
pub struct Deciders {
    worker: usize,
    /// `None` only while a decision is made.
    table: Option<Arc<Table>>,
    now: Moment,
    repeats: Repeats,
    /// By the name of a policy; each with the generation of its plugin for which decisions are kept.
    instances: HashMap<Arc<str>, (Instance, u64)>,
    no_labels: Labels,
    dice: u64,
    /// The addresses of the decision that was given last.
    given: Vec<IpAddr>,
    origin: Option<Origin>,
}

impl fmt::Debug for Deciders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deciders").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Deciders {
    /// Decides on the thread with this number, under this table. `seed` is another one for each thread, so that
    /// they do not all shuffle alike.
    pub fn new(worker: usize, table: Arc<Table>, seed: u64) -> Self {
        Self {
            worker,
            table: Some(table),
            now: Moment::ZERO,
            repeats: Repeats::default(),
            instances: HashMap::new(),
            no_labels: Arc::new([]),
            dice: seed,
            given: Vec::with_capacity(MAX_ADDRESSES),
            origin: None,
        }
    }

    /// It is `now`, and this is the table. What was decided under another one is forgotten.
    pub fn at(&mut self, now: Moment, table: &Arc<Table>) {
        self.now = now;
        if self.table.as_ref().is_some_and(|before| Arc::ptr_eq(before, table)) {
            return;
        }
        self.repeats.clear();
        if let Some(before) = self.table.replace(Arc::clone(table)) {
            // A plugin that is another one, or none any more, has nothing more to say.
            self.instances.retain(|name, _| same_source(&before, table, name));
        }
    }

    /// How the decision since the last call came about; of several, the last. `None` where none was asked for.
    pub fn take_origin(&mut self) -> Option<Origin> {
        self.origin.take()
    }

    /// Decides without repeating what was decided earlier, and keeps nothing: for explanations. The addresses, in their order, and
    /// what holds for them.
    pub fn decide_now(&mut self, policy: &Policy, asked: &Asked<'_>) -> (&[IpAddr], Settled) {
        let networks = self.table.as_ref().and_then(|table| table.networks().cloned());
        let settled = self.choose(networks.as_deref(), policy, asked);
        (&self.given, settled)
    }

    /// Decides, and leaves the addresses in `given`: TTL and scope.
    fn settle(&mut self, table: &Table, number: u32, policy: &Policy, asked: &Asked<'_>) -> (u32, u8) {
        if let Some(source) = &policy.source {
            let generation = source.generation();
            if self.instances.get(&policy.name).is_none_or(|(_, known)| *known != generation) {
                self.instances.entry(Arc::clone(&policy.name)).or_default().1 = generation;
                self.repeats.clear();
            }
            let client = cut(asked.client, asked.prefix);
            if let Some(kept) = self.repeats.find(number, asked.kind, client, asked.prefix, self.now) {
                self.given.clear();
                self.given.extend_from_slice(&kept.addresses);
                self.origin = Some(Origin { by: kept.by, repeated: true });
                return (kept.ttl, kept.scope);
            }
        }
        let networks = table.networks().map(|networks| &**networks);
        let Settled { by, ttl, scope, lifetime } = self.choose(networks, policy, asked);
        self.origin = Some(Origin { by, repeated: false });
        if !lifetime.is_zero() {
            let until = self.now.after(lifetime);
            let kept = Kept { addresses: self.given.as_slice().into(), by, ttl, scope, until };
            self.repeats.keep(number, asked.kind, cut(asked.client, asked.prefix), asked.prefix, kept);
        }
        (ttl, scope)
    }

    /// Asks the plugin, where there is one, and makes addresses of what it says.
    fn choose(&mut self, networks: Option<&dyn Networks>, policy: &Policy, asked: &Asked<'_>) -> Settled {
        let choice = match &policy.source {
            None => Choice::Fallback,
            Some(source) => {
                let client = cut(asked.client, asked.prefix);
                let labels =
                    networks.map_or_else(|| Arc::clone(&self.no_labels), |networks| networks.labels(client));
                let question = Question { name: 0, kind: asked.kind, client, prefix: asked.prefix, labels };
                let (instance, _) = self.instances.entry(Arc::clone(&policy.name)).or_default();
                instance.choose(&**source, self.worker, policy, question, self.now)
            }
        };
        self.settled(&choice, policy, asked)
    }

    fn settled(&mut self, choice: &Choice, policy: &Policy, asked: &Asked<'_>) -> Settled {
        // The shuffle makes of any two numbers two orders, so that counting is enough.
        self.dice = self.dice.wrapping_add(1);
        let rules = policy.rules(asked.kind);
        Settled::of(choice, asked.kind, &policy.addresses, rules, self.dice, &mut self.given)
    }
}

fn same_source(before: &Table, after: &Table, name: &str) -> bool {
    let source = |table: &Table| table.find(name).and_then(|(_, policy)| policy.source.clone());
    match (source(before), source(after)) {
        (Some(a), Some(b)) => Arc::ptr_eq(&a, &b),
        _ => false,
    }
}

/// The address with nothing but its first `bits`.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl Policies for Deciders {
    fn decide(&mut self, asked: &Asked<'_>) -> Option<Decision<'_>> {
        // Taken out and put back, since the count of a clone would be written by all threads.
        let table = self.table.take()?;
        let settled = table
            .find(&asked.record.policy)
            .map(|(number, policy)| self.settle(&table, number, policy, asked));
        self.table = Some(table);
        settled.map(|(ttl, scope)| Decision { addresses: &self.given, ttl, scope })
    }
}

#[cfg(test)]
mod tests;
