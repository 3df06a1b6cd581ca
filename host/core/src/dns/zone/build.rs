//! Records become a zone, or the list of all that is wrong with them.
//!
//! The record that hands a name to a policy is a TXT at `_policy` below it:
//!
//! ```text
//! www          60  A    198.51.100.1      ; what is served where no policy decides
//! www          60  A    198.51.100.2
//! _policy.www  60  TXT  "web"             ; the policy `web` decides the addresses, for 60 s at most
//! ```
//!
//! Why so, and no type of its own: every tool that reads zone files reads this one, people read it as well (a
//! private-use type would be hexadecimal), and a secondary that knows nothing of Weir serves the static
//! addresses, which is what gdnsd does when all else fails. A name may also have no static address. The record
//! is published like any other: nothing in a file means something else than it says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Index, Node, PolicyRecord, Zone};
use crate::dns::name::{Name, suffixes, wire_length};
use crate::dns::record::{RecordSet, Type};

/// The label of policy records, in wire form.
const POLICY_LABEL: &[u8] = b"\x07_policy";

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

/// Something that is wrong with a zone as a whole: where, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The record that is at fault; `None` where something is missing.
    pub place: Option<Place>,
    /// One sentence.
    pub message: String,
}

/// Takes the records of a zone.
#[derive(Debug)]
pub struct Builder {
    origin: Name,
    names: HashMap<Box<[u8]>, Draft>,
    /// In the order of the file, so that the zone and its problems do not depend on the table.
    order: Vec<Box<[u8]>>,
}

#[derive(Debug)]
struct Draft {
    name: Name,
    sets: Vec<DraftSet>,
}

#[derive(Debug)]
struct DraftSet {
    kind: Type,
    ttl: u32,
    place: Place,
    records: Vec<Box<[u8]>>,
}

impl Draft {
    fn set(&self, kind: Type) -> Option<&DraftSet> {
        self.sets.iter().find(|s| s.kind == kind)
    }
}

impl Builder {
    /// A zone of this origin without records.
    pub fn new(origin: Name) -> Self {
        Self { origin, names: HashMap::new(), order: Vec::new() }
    }

    /// The origin.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// Adds a record; `data` is in wire form without compression and fits its type. Records of one set
    /// share the lowest TTL among them (RFC 2181 §5.2).
    ///
    /// # Errors
    /// What is wrong with it: it is outside of the zone, or of a type that no zone has.
    pub fn add(
        &mut self,
        owner: &Name,
        kind: Type,
        ttl: u32,
        data: Box<[u8]>,
        place: Place,
    ) -> Result<(), String> {
        if !owner.is_within(&self.origin) {
            return Err(format!(
                "{owner} is outside of the zone {}: records of it belong in its own file",
                self.origin
            ));
        }
        if kind.is_meta() {
            return Err(format!("{kind} stands in messages only, a zone cannot have it"));
        }
        if kind == Type::SOA && owner != &self.origin {
            return Err(format!("the SOA belongs to the origin, {}, and not to {owner}", self.origin));
        }
        let key = owner.key();
        let draft = self.names.entry(key.clone()).or_insert_with(|| {
            self.order.push(key);
            Draft { name: owner.clone(), sets: Vec::new() }
        });
        match draft.sets.iter_mut().find(|s| s.kind == kind) {
            Some(set) => {
                set.ttl = set.ttl.min(ttl);
                set.records.push(data);
            }
            None => draft.sets.push(DraftSet { kind, ttl, place, records: vec![data] }),
        }
        Ok(())
    }

    /// The zone.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn finish(mut self) -> Result<Zone, Vec<Problem>> {
        let mut problems = Vec::new();
        for key in &self.order {
            if let Some(draft) = self.names.get_mut(key) {
                draft.sets.iter_mut().for_each(DraftSet::drop_duplicates);
                check(draft, &self.origin, &mut problems);
            }
        }
        let policies = self.policies(&mut problems);
        let soa = self.names.get(&*self.origin.key()).and_then(|d| d.set(Type::SOA));
        let soa = soa.and_then(|set| Some((set.ttl, soa_numbers(set.records.first()?)?)));
        let Some((soa_ttl, (serial, minimum))) = soa else {
            let origin = &self.origin;
            problems.push(Problem {
                place: None,
                message: format!(
                    "the zone {origin} has no SOA: `@ SOA ns1 hostmaster 1 7200 1800 259200 900`"
                ),
            });
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let negative_ttl = soa_ttl.min(minimum);
        let mut zone =
            Zone { origin: self.origin, nodes: Vec::new(), index: Index::default(), negative_ttl, serial };
        // The origin is the first node, whatever the file starts with.
        let first = zone.origin.key();
        zone.node_for(first);
        for key in self.order {
            let Some(draft) = self.names.remove(&key) else { continue };
            zone.fill(key, draft);
        }
        for (key, policy) in policies {
            zone.hand_over(key, policy);
        }
        zone.link();
        Ok(zone)
    }

    /// Which name is handed to which policy.
    fn policies(&self, problems: &mut Vec<Problem>) -> Vec<(Box<[u8]>, PolicyRecord)> {
        let mut found = Vec::new();
        for key in &self.order {
            let (Some(target), Some(draft)) = (key.strip_prefix(POLICY_LABEL), self.names.get(key)) else {
                continue;
            };
            let Some(set) = draft.set(Type::TXT) else { continue };
            if target.len() < self.origin.as_wire().len() {
                continue;
            }
            let mut refuse =
                |message: String| problems.push(Problem { place: Some(set.place.clone()), message });
            let policy = match set.records.as_slice() {
                [one] => one.split_first().filter(|(l, text)| usize::from(**l) == text.len()),
                _ => None,
            };
            let policy =
                policy.and_then(|(_, text)| std::str::from_utf8(text).ok()).filter(|t| is_policy_name(t));
            let Some(policy) = policy else {
                refuse(format!(
                    "{} wants one TXT with one string, the name of a policy: `TXT \"web\"`",
                    draft.name
                ));
                continue;
            };
            if self.names.get(target).is_some_and(|t| t.set(Type::CNAME).is_some()) {
                refuse(
                    "a policy decides the addresses of a name, and this one has a CNAME: remove one of them"
                        .into(),
                );
                continue;
            }
            let policy = PolicyRecord { policy: policy.into(), max_ttl: set.ttl, place: set.place.clone() };
            found.push((target.into(), policy));
        }
        found
    }
}

/// As names in the fleet file are.
fn is_policy_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl DraftSet {
    /// A record that is there twice is there once (RFC 2181 §5).
    fn drop_duplicates(&mut self) {
        if self.records.len() > 1 {
            let mut seen = HashSet::new();
            self.records.retain(|r| seen.insert(r.clone()));
        }
    }
}

/// What of one name does not go together.
fn check(draft: &Draft, origin: &Name, problems: &mut Vec<Problem>) {
    let name = &draft.name;
    let at_origin = name == origin;
    for set in &draft.sets {
        let mut refuse = |message: String| problems.push(Problem { place: Some(set.place.clone()), message });
        let (kind, single) = (set.kind, matches!(set.kind, Type::CNAME | Type::DNAME | Type::SOA));
        if single && set.records.len() > 1 {
            refuse(format!("{name} has {} {kind} records, it can have one", set.records.len()));
        }
        if kind == Type::CNAME && draft.sets.len() > 1 {
            refuse(format!(
                "{name} has a CNAME and other records: an alias has nothing else (RFC 1034 §3.6.2)"
            ));
        }
        if kind == Type::DNAME && !at_origin && draft.set(Type::NS).is_some() {
            refuse(format!(
                "{name} has a DNAME and NS records: it is redirected or delegated, not both (RFC 6672 §2.3)"
            ));
        }
        let is_wildcard = name.as_wire().starts_with(b"\x01*");
        if is_wildcard && matches!(kind, Type::NS | Type::DNAME) {
            refuse(format!(
                "{name} is a wildcard, and what {kind} means there is undefined (RFC 4592 §4): name each"
            ));
        }
        if set.records.len() > usize::from(u16::MAX) {
            refuse(format!("{name} has more than 65535 {kind} records"));
        }
    }
    if at_origin && draft.set(Type::NS).is_none() {
        let place = draft.sets.first().map(|s| s.place.clone());
        problems.push(Problem {
            place,
            message: format!("the zone {origin} has no name server: `@ NS ns1.{origin}`"),
        });
    }
}

/// Serial and minimum of an SOA: the first and the last of the five numbers behind its two names.
fn soa_numbers(data: &[u8]) -> Option<(u32, u32)> {
    let behind_first = data.get(wire_length(data)?..)?;
    let numbers: &[u8; 20] = behind_first.get(wire_length(behind_first)?..)?.try_into().ok()?;
    let (serial, minimum) = (numbers.first_chunk()?, numbers.last_chunk()?);
    Some((u32::from_be_bytes(*serial), u32::from_be_bytes(*minimum)))
}

impl Zone {
    /// The number of the node of this name; it and all between it and the origin exist from now on.
    fn node_for(&mut self, key: Box<[u8]>) -> Option<usize> {
        if let Some(number) = self.index.get(&key) {
            return usize::try_from(*number).ok();
        }
        let above = suffixes(&key).nth(1).filter(|_| key.len() > self.origin.as_wire().len());
        if let Some(above) = above {
            self.node_for(above.into());
        }
        let labels = u8::try_from(suffixes(&key).count().saturating_sub(1)).ok()?;
        let number = self.nodes.len();
        self.index.insert(key, u32::try_from(number).ok()?);
        self.nodes.push(Node { labels, ..Node::default() });
        Some(number)
    }

    fn fill(&mut self, key: Box<[u8]>, draft: Draft) {
        let number = self.node_for(key);
        let Some(node) = number.and_then(|n| self.nodes.get_mut(n)) else { return };
        node.is_cut = draft.name != self.origin && draft.set(Type::NS).is_some();
        node.sets = draft
            .sets
            .into_iter()
            .map(|s| RecordSet::new(s.kind, s.ttl, s.records.iter().map(|r| &**r)))
            .collect();
    }

    fn hand_over(&mut self, key: Box<[u8]>, policy: PolicyRecord) {
        let number = self.node_for(key);
        if let Some(node) = number.and_then(|n| self.nodes.get_mut(n)) {
            node.policy = Some(Box::new(policy));
        }
    }

    /// Finds each node's wildcard, and what hides it.
    fn link(&mut self) {
        let origin = self.origin.as_wire().len();
        let mut stars = Vec::new();
        let mut shadows = Vec::new();
        for (key, number) in &self.index {
            let above = |suffix: &&[u8]| suffix.len() < key.len() && suffix.len() >= origin;
            if let Some(encloser) = key.strip_prefix(b"\x01*").filter(|e| e.len() >= origin) {
                stars.extend(self.index.get(encloser).map(|e| (*e, *number)));
            }
            // The last is the highest.
            let diverting = suffixes(key).filter(above).filter_map(|s| {
                let above = *self.index.get(s)?;
                self.node(above)?.diverts().then_some(above)
            });
            shadows.extend(diverting.last().map(|above| (*number, above)));
        }
        for (encloser, star) in stars {
            if let Some(node) = usize::try_from(encloser).ok().and_then(|n| self.nodes.get_mut(n)) {
                node.star = Some(star);
            }
        }
        for (number, above) in shadows {
            if let Some(node) = usize::try_from(number).ok().and_then(|n| self.nodes.get_mut(n)) {
                node.shadow = Some(above);
            }
        }
    }
}
