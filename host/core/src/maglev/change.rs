//! What would move if the destinations were changed.

use std::net::SocketAddr;

use super::{Destinations, DestinationsError, Scheme, Table, TooMany};

/// A change of the destinations of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A planned join: one insert at the head.
    Add {
        /// Who joins.
        endpoint: SocketAddr,
        /// With this weight.
        weight: u32,
    },
    /// A planned removal.
    Remove(SocketAddr),
    /// Weight 0, as a failed check sets: no row moves, its flows go elsewhere.
    Drain(SocketAddr),
    /// Another weight; from 0 it is the end of a drain.
    Weight {
        /// Of whom.
        endpoint: SocketAddr,
        /// The new weight.
        weight: u32,
    },
}

/// Why a change cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It does not fit these destinations.
    #[error(transparent)]
    Destinations(#[from] DestinationsError),
    /// The table would be too small.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// What a change does to flows that the kernel has no connection for, or that meet another node after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Rows of the table.
    pub rows: u32,
    /// Rows with another owner after it.
    pub moved: u32,
    /// Of those, rows that go from one who stays to one who was there before: what a perfect table would not move.
    pub shuffled: u32,
    /// Share of flows, 0 to 1, that go elsewhere, with fallback and availability counted in. From a sample: ± 0.004.
    pub flows_moved: f64,
    /// Share of flows, 0 to 1, that nobody takes after it. From the same sample.
    pub flows_refused: f64,
}

impl Effect {
    /// Words of the sample. Rows are a hash of the word, so consecutive ones are as good as any.
    const SAMPLE: u32 = 1 << 16;

    /// From one table to another, of the same size.
    pub fn between(before: &Table, after: &Table) -> Self {
        let endpoint = |one: Option<&super::Destination>| one.map(|one| one.endpoint);
        let (mut moved, mut shuffled) = (0, 0);
        let had: std::collections::HashSet<_> = before.owners().map(endpoint).collect();
        let has: std::collections::HashSet<_> = after.owners().map(endpoint).collect();
        for (old, new) in before.owners().map(endpoint).zip(after.owners().map(endpoint)) {
            moved += u32::from(old != new);
            shuffled += u32::from(old != new && has.contains(&old) && had.contains(&new));
        }
        let (mut elsewhere, mut refused) = (0_u32, 0_u32);
        for word in 0..Self::SAMPLE {
            let (old, new) = (endpoint(before.choose(word)), endpoint(after.choose(word)));
            elsewhere += u32::from(old != new);
            refused += u32::from(new.is_none());
        }
        let share = |count: u32| f64::from(count) / f64::from(Self::SAMPLE);
        Self {
            rows: before.scheme().size.rows(),
            moved,
            shuffled,
            flows_moved: share(elsewhere),
            flows_refused: share(refused),
        }
    }

    /// Share of rows that get another owner, 0 to 1.
    pub fn share(&self) -> f64 {
        f64::from(self.moved) / f64::from(self.rows)
    }
}

impl Change {
    /// Makes it, as the kernel would.
    pub fn apply(self, destinations: &mut Destinations) -> Result<(), DestinationsError> {
        match self {
            Self::Add { endpoint, weight } => destinations.add(endpoint, weight),
            Self::Remove(endpoint) => destinations.remove(endpoint).map(|_| ()),
            Self::Drain(endpoint) => destinations.set_weight(endpoint, 0),
            Self::Weight { endpoint, weight } => destinations.set_weight(endpoint, weight),
        }
    }

    /// The table after it, and what it does.
    pub fn effect(self, scheme: Scheme, destinations: &Destinations) -> Result<(Table, Effect), ChangeError> {
        let before = Table::of(scheme, destinations)?;
        let mut changed = destinations.clone();
        self.apply(&mut changed)?;
        let after = Table::of(scheme, &changed)?;
        let effect = Effect::between(&before, &after);
        Ok((after, effect))
    }
}
