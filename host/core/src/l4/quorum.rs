//! Which addresses may be announced.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::layout::Layout;
use super::standing::Standing;
use super::table::takers;
use crate::config::{AllNodesDown, L4};

/// An address, and how many l7 nodes take its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Support {
    /// Whether it may be announced.
    pub(super) announced: bool,
    /// Nodes that take connections: of several services on one address, of the best one. An address that serves one of its
    /// services is better announced than not: whoever withdraws it takes that one away too.
    pub(super) taking: usize,
    /// Nodes behind it.
    pub(super) nodes: usize,
}

/// Every service address, with its support. Remembers what was announced, for the hysteresis.
#[derive(Debug, Clone, Default)]
pub(super) struct Supports(BTreeMap<IpAddr, Support>);

impl Supports {
    /// Takes these addresses for announced, until they are counted.
    pub(super) fn inherit(&mut self, addresses: BTreeSet<IpAddr>) {
        let announced = Support { announced: true, ..Support::default() };
        self.0.extend(addresses.into_iter().map(|address| (address, announced)));
    }

    /// Counts anew.
    pub(super) fn count(&mut self, l4: &L4, layout: &Layout, standings: &[Standing]) {
        let mut counted: BTreeMap<IpAddr, Support> = BTreeMap::new();
        for row in &layout.rows {
            let taking = takers(l4, row, standings).filter(|taking| *taking).count();
            let support = counted.entry(row.at.ip()).or_default();
            support.taking = support.taking.max(taking);
            support.nodes = support.nodes.max(row.members.len());
        }
        for (address, support) in &mut counted {
            let before = self.0.get(address).is_some_and(|before| before.announced);
            support.announced = match l4.all_down {
                AllNodesDown::Keep => support.taking > 0,
                AllNodesDown::Withdraw => support.taking >= needed(l4, before),
            };
        }
        self.0 = counted;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, Support)> {
        self.0.iter().map(|(address, support)| (*address, *support))
    }
}

/// How many nodes it takes.
pub(super) fn needed(l4: &L4, announced: bool) -> usize {
    let quorum = l4.quorum;
    usize::from(if announced { quorum.fall } else { quorum.rise })
}
