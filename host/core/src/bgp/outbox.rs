//! Adj-RIB-Out: what a neighbor was told, and the least that is to be said when something else shall be true.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::message::{Family, Prefix, Update};

/// The largest message. Nobody is asked for larger ones.
const MAX_MESSAGE: usize = 4096;
/// Header and the two lengths of an `UPDATE`, and the frame of `MP_UNREACH_NLRI`.
const FRAME: usize = 19 + 4 + 7;

/// What the other end of a session knows. A new session knows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    told: BTreeMap<Prefix, Attributes>,
}

impl Outbox {
    /// What was told.
    pub const fn told(&self) -> &BTreeMap<Prefix, Attributes> {
        &self.told
    }

    /// Forgets, with the session.
    pub fn clear(&mut self) {
        self.told.clear();
    }

    /// The updates that make `wanted` true: withdrawals first, then each set of attributes with all its prefixes; split so that
    /// each fits a message. A prefix whose attributes change is announced again, never withdrawn in between.
    pub fn set(&mut self, wanted: BTreeMap<Prefix, Attributes>) -> Vec<Update> {
        let gone = self.told.keys().filter(|prefix| !wanted.contains_key(prefix)).copied();
        let mut updates = withdrawals(gone);
        updates
            .extend(announcements(wanted.iter().filter(|(prefix, new)| self.told.get(prefix) != Some(new))));
        self.told = wanted;
        updates
    }

    /// All that was told of a family, once more.
    pub fn repeat(&self, family: Family) -> Vec<Update> {
        announcements(self.told.iter().filter(|(prefix, _)| prefix.family() == family))
    }
}

fn withdrawals(prefixes: impl Iterator<Item = Prefix>) -> Vec<Update> {
    let mut families: BTreeMap<Family, Vec<Prefix>> = BTreeMap::new();
    prefixes.for_each(|prefix| families.entry(prefix.family()).or_default().push(prefix));
    let mut updates = Vec::new();
    for (family, prefixes) in families {
        updates.extend(split(prefixes, MAX_MESSAGE - FRAME).map(|withdrawn| Update {
            family,
            withdrawn,
            announced: None,
        }));
    }
    updates
}

fn announcements<'a>(routes: impl Iterator<Item = (&'a Prefix, &'a Attributes)>) -> Vec<Update> {
    let mut groups: BTreeMap<(Family, &Attributes), Vec<Prefix>> = BTreeMap::new();
    for (prefix, attributes) in routes {
        groups.entry((prefix.family(), attributes)).or_default().push(*prefix);
    }
    let mut updates = Vec::new();
    for ((family, attributes), prefixes) in groups {
        let room = MAX_MESSAGE.saturating_sub(FRAME + attributes.size());
        updates.extend(split(prefixes, room).map(|prefixes| Update {
            family,
            withdrawn: Vec::new(),
            announced: Some((attributes.clone(), prefixes)),
        }));
    }
    updates
}

/// Lists of at most `room` bytes, none empty; a prefix that alone is too large stands alone.
fn split(prefixes: Vec<Prefix>, room: usize) -> impl Iterator<Item = Vec<Prefix>> {
    let mut rest = prefixes.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        let mut used = first.size();
        let mut list = vec![first];
        while let Some(next) = rest.next_if(|next| used + next.size() <= room) {
            used += next.size();
            list.push(next);
        }
        Some(list)
    })
}
