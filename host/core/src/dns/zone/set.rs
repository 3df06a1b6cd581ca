//! All zones of a node: immutable, swapped as a whole, so a reload serves all new zones or all old ones.

use super::{Index, Zone};
use crate::dns::name::{Name, suffixes};

/// Why zones do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZonesError {
    /// Two of them have one origin.
    #[error("the zone {0} is there twice: serve it from one file")]
    Twice(Name),
}

/// The zones that are served.
#[derive(Debug, Default)]
pub struct Zones {
    by_origin: Index<Zone>,
    /// The most and the fewest labels of an origin: a name of 127 labels is not looked up 127 times.
    most: usize,
    fewest: usize,
}

impl Zones {
    /// These zones; each origin once.
    pub fn new(zones: impl IntoIterator<Item = Zone>) -> Result<Self, ZonesError> {
        let mut made = Self { by_origin: Index::default(), most: 0, fewest: usize::MAX };
        for zone in zones {
            let labels = zone.origin.labels();
            made.most = made.most.max(labels);
            made.fewest = made.fewest.min(labels);
            if let Some(twice) = made.by_origin.insert(zone.origin.key(), zone) {
                return Err(ZonesError::Twice(twice.origin));
            }
        }
        Ok(made)
    }

    /// Every zone, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Zone> {
        self.by_origin.values()
    }

    /// The zone of exactly this origin.
    pub fn get(&self, origin: &Name) -> Option<&Zone> {
        self.by_origin.get(&*origin.key())
    }

    /// The zone with the longest origin at or above `name`, which is in lower case. Of a type that belongs to the
    /// upper side of a cut (DS), the zone above the name answers where it is served here as well (RFC 4035 §3.1.4.1).
    pub(crate) fn find(&self, name: &[u8], upper_side: bool) -> Option<&Zone> {
        let labels = suffixes(name).count().saturating_sub(1);
        let mut here = None;
        for (left, suffix) in (0..=labels).rev().zip(suffixes(name)) {
            if left > self.most {
                continue;
            }
            if left < self.fewest {
                break;
            }
            if let Some(zone) = self.by_origin.get(suffix) {
                if upper_side && left == labels {
                    here = Some(zone);
                    continue;
                }
                return Some(zone);
            }
        }
        here
    }
}
