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
    /// What a node knows that has just started, at `time`. Where nothing was kept it is new to the fleet: before it came, the others were
    /// all that there were.
    pub(super) fn begin(kept: Option<Self>, now: Members, node: &str, time: u64) -> Self {
        match kept {
            Some(mut kept) => {
                kept.take(now, time);
                kept
            }
            None => {
                let before = now.iter().filter(|member| member.node.as_str() != node).cloned().collect();
                Self { now, before, changed: time }
            }
        }
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
        if self.forgotten_at(remember).is_some_and(|end| time < end) { &self.before } else { &self.now }
    }

    /// When the nodes before are forgotten, in seconds since 1970; `None`: they are the same.
    pub(super) fn forgotten_at(&self, remember: u64) -> Option<u64> {
        (self.before != self.now).then(|| self.changed.saturating_add(remember))
    }

    /// All that are or were, but this one, each once.
    pub(super) fn others(&self, node: &str) -> impl Iterator<Item = &Member> {
        let is_gone = |one: &&Member| !self.now.iter().any(|member| member.node == one.node);
        let all = self.now.iter().chain(self.before.iter().filter(is_gone));
        all.filter(move |member| member.node.as_str() != node)
    }
}
