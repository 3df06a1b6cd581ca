//! Who the l7 nodes of a fleet are, and who they were before.
//!
//! Connections that stand were spread over those who were there when they began. An l7 node has to know that after a restart as well, so
//! this is kept in a file.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::layout::in_join_order;
use crate::config::{AddressFamily, Fleet, Name};

/// An l7 node, as far as it decides where connections go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name in the fleet file.
    pub node: Name,
    /// Where tunnels to it end.
    pub addresses: Vec<IpAddr>,
    /// Its share by the fleet file.
    pub weight: u16,
}

impl Member {
    /// Where tunnels of this family end.
    pub fn address(&self, family: AddressFamily) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| AddressFamily::of(*address) == family)
    }
}

/// All l7 nodes, in join order.
pub type Members = Vec<Member>;

/// The l7 nodes of a fleet file.
pub(super) fn members(fleet: &Fleet) -> Members {
    let member = |(name, node): (&Name, &crate::config::Node)| Member {
        node: name.clone(),
        addresses: node.addresses.clone(),
        weight: node.weight,
    };
    in_join_order(fleet).into_iter().map(member).collect()
}

/// Who the l7 nodes are, and who they were before the last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// By the fleet file in force.
    now: Members,
    /// By the one before it.
    before: Members,
    /// When `now` came into force, in seconds since 1970.
    changed: u64,
}

impl History {
    /// What a node knows that has just started, at `time`.
    ///
    /// Where nothing was kept, the node with the largest join number is new to the fleet: before it came, the others were all that there
    /// were. A list that changed while no process was here to see it is taken for an old one: connections that stand were spread over it.
    pub(super) fn begin(kept: Option<&Self>, now: Members, node: &str, time: u64) -> Self {
        if let Some(kept) = kept.filter(|kept| kept.now == now) {
            return kept.clone();
        }
        let is_new = kept.is_none() && now.last().is_some_and(|newest| newest.node.as_str() == node);
        let before = now.iter().filter(|member| !is_new || member.node.as_str() != node).cloned().collect();
        Self { now, before, changed: time }
    }

    /// Another fleet file. Says whether its l7 nodes are others, or stand otherwise.
    pub(super) fn take(&mut self, members: Members, time: u64) -> bool {
        if members == self.now {
            return false;
        }
        self.before = std::mem::replace(&mut self.now, members);
        self.changed = time;
        true
    }

    /// Those over which connections were spread that another node may have: the ones before, for `remember` seconds.
    pub(super) fn spread_over(&self, time: u64, remember: u64) -> &Members {
        let is_remembered = time < self.changed.saturating_add(remember);
        if is_remembered { &self.before } else { &self.now }
    }

    /// All but this node that are, or that were and are remembered, each once. An address that somebody else has by now is that one's.
    pub(super) fn others(&self, node: &str, time: u64, remember: u64) -> impl Iterator<Item = &Member> {
        let is_gone = |one: &&Member| {
            let same = |member: &Member| {
                member.node == one.node
                    || member.addresses.iter().any(|address| one.addresses.contains(address))
            };
            !self.now.iter().any(same)
        };
        let before = self.spread_over(time, remember).iter().filter(is_gone);
        self.now.iter().chain(before.collect::<Vec<_>>()).filter(move |member| member.node.as_str() != node)
    }
}
