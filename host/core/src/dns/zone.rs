//! A zone, ready to be asked.
//!
//! Every name that exists is a node, also those that have no records and exist only because something is below
//! them (empty non-terminals). One table finds a node by its name, so a name that exists costs one
//! look; for one that does not, the walk goes down from the origin and stops at the first label that
//! is missing. Neither depends on how many names the zone has.

mod build;
mod set;
#[cfg(test)]
mod tests;

pub use build::{Builder, Place, Problem};

pub use set::{Zones, ZonesError};

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::name::{MAX_NAME, Name, suffixes};
use super::record::{RecordSet, Type};

/// Queries look names up and never add one, so a fixed key gives nobody the power to make names collide.
type Index<V> = HashMap<Box<[u8]>, V, FixedState>;

/// A zone, immutable.
#[derive(Debug)]
pub struct Zone {
    origin: Name,
    /// The first is the origin.
    nodes: Vec<Node>,
    index: Index<u32>,
    negative_ttl: u32,
    serial: u32,
}

/// Who decides the addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// The name of the policy in the fleet file.
    pub policy: Box<str>,
    /// Seconds: no decision is kept longer by a resolver.
    pub max_ttl: u32,
    /// Where the zone file says so.
    pub place: Place,
}

/// A name that exists.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) sets: Box<[RecordSet]>,
    pub(crate) policy: Option<Box<PolicyRecord>>,
    /// Labels of its name, without the root.
    pub(crate) labels: u8,
    /// It is not the origin and has NS records: what is below belongs to another zone.
    pub(crate) is_cut: bool,
    /// The node `*` below this one.
    star: Option<u32>,
    /// The highest node above that is a cut or has a DNAME: its word counts and not this node's.
    shadow: Option<u32>,
}

impl Node {
    pub(crate) fn set(&self, kind: Type) -> Option<&RecordSet> {
        self.sets.iter().find(|s| s.kind == kind)
    }

    fn diverts(&self) -> bool {
        self.is_cut || self.set(Type::DNAME).is_some()
    }
}

/// What a zone has for a name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'z> {
    /// The name itself.
    Exact(&'z Node),
    /// The name does not exist, and this wildcard stands for it (RFC 4592).
    Wildcard(&'z Node),
    /// The name is at or below a delegation.
    Cut(&'z Node),
    /// The name is below one that has a DNAME.
    Dname(&'z Node),
    /// The name does not exist.
    Nothing,
}

impl Zone {
    /// The name that the zone starts at.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The serial number of its SOA.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How many names exist, empty non-terminals included.
    pub fn names(&self) -> usize {
        self.nodes.len()
    }

    /// Every name whose addresses a policy decides.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyRecord> {
        self.nodes.iter().filter_map(|n| n.policy.as_deref())
    }

    /// Seconds that a resolver may believe that a name or a record does not exist: the lower of the SOA's own
    /// TTL and its last field (RFC 2308 §5).
    pub(crate) fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }

    pub(crate) fn soa(&self) -> &[u8] {
        self.nodes.first().and_then(|n| n.set(Type::SOA)).map(RecordSet::first).unwrap_or_default()
    }

    /// What there is for this name, in lower case, at or below the origin.
    pub(crate) fn find(&self, name: &[u8]) -> Found<'_> {
        if let Some(node) = self.node_at(name) {
            return match node.shadow.and_then(|s| self.node(s)) {
                Some(above) => Self::diverted(above),
                None if node.is_cut => Found::Cut(node),
                None => Found::Exact(node),
            };
        }
        let mut encloser = None;
        for suffix in from_origin_down(name, self.origin.as_wire().len()) {
            let Some(node) = self.node_at(suffix) else { break };
            if node.diverts() {
                return Self::diverted(node);
            }
            encloser = Some(node);
        }
        match encloser.and_then(|e| e.star).and_then(|s| self.node(s)) {
            Some(star) => Found::Wildcard(star),
            None => Found::Nothing,
        }
    }

    fn diverted(node: &Node) -> Found<'_> {
        if node.is_cut { Found::Cut(node) } else { Found::Dname(node) }
    }

    /// The node of exactly this name, hidden by a cut or not: addresses of name servers are taken from there.
    pub(crate) fn node_at(&self, name: &[u8]) -> Option<&Node> {
        self.index.get(name).and_then(|i| self.node(*i))
    }

    fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(number).ok()?)
    }
}

/// The ends of `name`, from the one that is `origin` bytes long to `name` itself.
fn from_origin_down(name: &[u8], origin: usize) -> impl Iterator<Item = &[u8]> {
    // A name of 255 bytes has at most 128 ends.
    let mut starts = [0u8; MAX_NAME / 2 + 1];
    let mut count = 0;
    for suffix in suffixes(name) {
        if suffix.len() < origin {
            break;
        }
        let (Some(slot), Ok(start)) = (starts.get_mut(count), u8::try_from(name.len() - suffix.len())) else {
            break;
        };
        *slot = start;
        count += 1;
    }
    (0..count).rev().filter_map(move |i| name.get(usize::from(*starts.get(i)?)..))
}
