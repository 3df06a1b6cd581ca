//! What differs between two fleet files for one node, and what it takes to apply it.

use super::Fleet;

/// The differences that concern a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Differences that are applied to the running node, one sentence each.
    pub live: Vec<String>,
    /// Differences that need a restart, one sentence each.
    pub restart_needed: Vec<String>,
}

impl Changes {
    /// Whether nothing differs for this node.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart_needed.is_empty()
    }
}

/// Compares two files for the node with this name.
pub fn changes(old: &Fleet, new: &Fleet, node: &str) -> Changes {
    let mut changes = Changes::default();
    if old.nodes.get(node) != new.nodes.get(node) {
        changes.restart_needed.push(format!("node {node}"));
    }
    changes
}
