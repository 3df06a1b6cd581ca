//! The destinations of a service as the kernel keeps them: a stack, with weights that remember.

use std::net::SocketAddr;

/// The largest weight that the kernel takes: its weights are signed.
pub const MAX_WEIGHT: u32 = i32::MAX as u32;

/// One destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Address and port; the port is part of what is hashed.
    pub endpoint: SocketAddr,
    /// Weight. 0 takes no new flows.
    pub weight: u32,
    /// The latest weight that was not 0: this one shapes the table, so that a weight of 0 moves no row. 0 for a destination
    /// that was added with weight 0, which has no row at all. The kernel does not tell it: who adopts a table must remember.
    pub last_weight: u32,
    /// The kernel holds back new flows, since a connection limit is reached. Differs between nodes, so better have no limits.
    pub overloaded: bool,
}

impl Destination {
    /// Whether it takes new flows.
    pub const fn is_available(&self) -> bool {
        self.weight > 0 && !self.overloaded
    }
}

/// Why a change is none. The kernel answers the same, as `EEXIST`, `ENOENT` and `ERANGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DestinationsError {
    /// Add of what is there.
    #[error("destination {0} is there already; change its weight instead")]
    Present(SocketAddr),
    /// Change of what is not there.
    #[error("there is no destination {0}")]
    Absent(SocketAddr),
    /// A weight over [`MAX_WEIGHT`].
    #[error("weight {0} is over {MAX_WEIGHT}, the largest that the kernel takes")]
    Weight(u32),
}

/// The list, the newest first: a destination that is added comes before all others, also when it was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destinations {
    /// The oldest first, which is cheaper; turned round on reading.
    oldest_first: Vec<Destination>,
}

impl Destinations {
    /// None.
    pub const fn new() -> Self {
        Self { oldest_first: Vec::new() }
    }

    /// What a kernel has that was given these one after the other: join order.
    pub fn added(order: impl IntoIterator<Item = (SocketAddr, u32)>) -> Result<Self, DestinationsError> {
        let mut all = Self::new();
        for (endpoint, weight) in order {
            all.add(endpoint, weight)?;
        }
        Ok(all)
    }

    /// What a dump of the kernel shows, which is the newest first. The caller fills in `last_weight`.
    pub fn dumped(newest_first: impl IntoIterator<Item = Destination>) -> Self {
        let mut oldest_first: Vec<_> = newest_first.into_iter().collect();
        oldest_first.reverse();
        Self { oldest_first }
    }

    /// Number of destinations, whatever their weight.
    pub fn len(&self) -> usize {
        self.oldest_first.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.oldest_first.is_empty()
    }

    /// All, the newest first: the order in which the table is filled.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Destination> {
        self.oldest_first.iter().rev()
    }

    /// The one with this endpoint.
    pub fn get(&self, endpoint: SocketAddr) -> Option<&Destination> {
        self.oldest_first.iter().find(|one| one.endpoint == endpoint)
    }

    /// `NEW_DEST`: to the head of the list, with nothing remembered from an earlier life.
    pub fn add(&mut self, endpoint: SocketAddr, weight: u32) -> Result<(), DestinationsError> {
        if weight > MAX_WEIGHT {
            return Err(DestinationsError::Weight(weight));
        }
        if self.get(endpoint).is_some() {
            return Err(DestinationsError::Present(endpoint));
        }
        self.oldest_first.push(Destination { endpoint, weight, last_weight: weight, overloaded: false });
        Ok(())
    }

    /// `SET_DEST`: where it is, with the last weight kept when the new one is 0.
    pub fn set_weight(&mut self, endpoint: SocketAddr, weight: u32) -> Result<(), DestinationsError> {
        if weight > MAX_WEIGHT {
            return Err(DestinationsError::Weight(weight));
        }
        let one = self
            .oldest_first
            .iter_mut()
            .find(|one| one.endpoint == endpoint)
            .ok_or(DestinationsError::Absent(endpoint))?;
        one.weight = weight;
        if weight != 0 {
            one.last_weight = weight;
        }
        Ok(())
    }

    /// `DEL_DEST`.
    pub fn remove(&mut self, endpoint: SocketAddr) -> Result<Destination, DestinationsError> {
        let at = self.oldest_first.iter().position(|one| one.endpoint == endpoint);
        at.map(|at| self.oldest_first.remove(at)).ok_or(DestinationsError::Absent(endpoint))
    }
}
