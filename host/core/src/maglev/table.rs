//! The table: which destination has which row, and which row a flow has.

use std::net::SocketAddr;

use super::hash::{FIRST, SECOND, hash, word};
use super::{Destination, Destinations, Scheme, Size};

/// A row that nobody has: no destination has ever had a weight.
const NOBODY: u16 = u16::MAX;

/// There are more destinations than rows; the kernel refuses as well, with `EINVAL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{destinations} destinations do not fit in a table of {limit} rows; remove some or use a kernel with larger tables"
)]
pub struct TooMany {
    /// How many there are.
    pub destinations: usize,
    /// How many there may be.
    pub limit: usize,
}

/// Where a flow goes, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Its row.
    pub row: u32,
    /// Who has that row.
    pub owner: Option<SocketAddr>,
    /// Who gets the flow: the owner, another one where the owner is not available, or nobody: the flow is refused.
    pub destination: Option<SocketAddr>,
}

/// What the kernel has in memory for a service. Immutable: a change makes another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    scheme: Scheme,
    /// The newest first; rows point into it.
    destinations: Box<[Destination]>,
    rows: Box<[u16]>,
}

/// A destination while the table is filled.
struct Filler {
    at: u16,
    row: u32,
    skip: u32,
    turns: u32,
}

impl Filler {
    /// The next free row of its walk. There must be one: steps and rows have no common divisor, so it meets them all.
    fn take(&mut self, rows: &mut [u16]) {
        let size = rows.len() as u32;
        loop {
            match rows.get_mut(self.row as usize) {
                Some(free) if *free == NOBODY => {
                    *free = self.at;
                    return;
                }
                _ => self.row = (self.row + self.skip) % size,
            }
        }
    }
}

impl Table {
    /// The table that the kernel makes of these.
    pub fn of(scheme: Scheme, destinations: &Destinations) -> Result<Self, TooMany> {
        let limit = (scheme.size.rows() as usize).min(usize::from(NOBODY));
        if destinations.len() > limit {
            return Err(TooMany { destinations: destinations.len(), limit });
        }
        let destinations: Box<[Destination]> = destinations.iter().copied().collect();
        let rows = fill(scheme, &destinations);
        Ok(Self { scheme, destinations, rows })
    }

    /// How it is scheduled.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The row of flows from here. The service's own address and port play no part.
    pub fn row(&self, source: SocketAddr) -> u32 {
        hash(self.word(source), FIRST) % self.scheme.size.rows()
    }

    /// Who has this row.
    pub fn owner(&self, row: u32) -> Option<&Destination> {
        self.destinations.get(usize::from(*self.rows.get(row as usize)?))
    }

    /// Owners of all rows, from row 0.
    pub fn owners(&self) -> impl ExactSizeIterator<Item = Option<&Destination>> {
        self.rows.iter().map(|at| self.destinations.get(usize::from(*at)))
    }

    /// How many rows this one has.
    pub fn rows_of(&self, endpoint: SocketAddr) -> usize {
        self.owners().flatten().filter(|owner| owner.endpoint == endpoint).count()
    }

    /// Where a flow from here goes that the kernel has no connection for.
    pub fn place(&self, source: SocketAddr) -> Placement {
        let word = self.word(source);
        let row = hash(word, FIRST) % self.scheme.size.rows();
        Placement {
            row,
            owner: self.owner(row).map(|owner| owner.endpoint),
            destination: self.choose(word).map(|chosen| chosen.endpoint),
        }
    }

    /// A number that two nodes with equal tables share, so that they can compare without sending them. FNV-1a over the owners'
    /// endpoints and what else decides where a flow goes.
    pub fn digest(&self) -> u64 {
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        add(&[self.scheme.port.into(), self.scheme.fallback.into()]);
        for owner in self.owners() {
            match owner {
                None => add(&[0]),
                Some(one) => {
                    match one.endpoint.ip() {
                        std::net::IpAddr::V4(address) => add(&address.octets()),
                        std::net::IpAddr::V6(address) => add(&address.octets()),
                    }
                    add(&one.endpoint.port().to_be_bytes());
                    add(&[one.is_available().into()]);
                }
            }
        }
        digest
    }

    fn word(&self, source: SocketAddr) -> u32 {
        word(self.scheme.family, source.ip(), if self.scheme.port { source.port() } else { 0 })
    }

    /// Who gets the flow that hashes as this word. The fallback hashes again for every step, starting the count at the row it
    /// found, until it meets somebody who is available.
    pub(super) fn choose(&self, word: u32) -> Option<&Destination> {
        let size = self.scheme.size.rows();
        let row = hash(word, FIRST) % size;
        let owner = self.owner(row)?;
        if owner.is_available() {
            return Some(owner);
        }
        if !self.scheme.fallback {
            return None;
        }
        (0..size)
            .map(|step| hash(word.wrapping_add((step + row) % size), FIRST) % size)
            .filter_map(|row| self.owner(row))
            .find(|other| other.is_available())
    }
}

/// Each destination in turn takes as many free rows of its own walk as it has turns, until no row is free.
fn fill(scheme: Scheme, destinations: &[Destination]) -> Box<[u16]> {
    let size = scheme.size.rows();
    let mut rows = vec![NOBODY; size as usize].into_boxed_slice();
    let mut fillers = fillers(scheme, destinations);
    let mut free = size;
    while free > 0 && !fillers.is_empty() {
        for filler in &mut fillers {
            let turns = filler.turns.min(free);
            for _ in 0..turns {
                filler.take(&mut rows);
            }
            free -= turns;
        }
    }
    rows
}

fn fillers(scheme: Scheme, destinations: &[Destination]) -> Vec<Filler> {
    let size = scheme.size.rows();
    let weights = destinations.iter().map(|one| one.last_weight);
    let divisor = weights.clone().fold(0, gcd);
    let shift = weights.max().map_or(0, |heaviest| shift(scheme.size, heaviest, divisor));
    // Those without a turn are left out: the kernel steps over them.
    (0..NOBODY)
        .zip(destinations)
        .filter(|(_, one)| one.last_weight > 0)
        .map(|(at, one)| {
            let word = word(scheme.family, one.endpoint.ip(), one.endpoint.port());
            Filler {
                at,
                row: hash(word, FIRST) % size,
                skip: hash(word, SECOND) % (size - 1) + 1,
                turns: ((one.last_weight / divisor) >> shift).max(1),
            }
        })
        .collect()
}

/// By how many bits weights are shortened.
fn shift(size: Size, heaviest: u32, divisor: u32) -> u32 {
    let bits = heaviest.checked_div(divisor).map_or(0, |most| u32::BITS - most.leading_zeros());
    bits.saturating_sub(size.weight_bits())
}

/// The greatest common divisor, where 0 is divided by everything.
fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
