//! Where the kernel puts a flow: IPVS's `mh` scheduler, row by row.
//!
//! A node of the L4 tier keeps no state that another node could ask for, so it has to *know* where any other one sends a flow.
//! The kernel's table is a pure function of the destinations, their weights and **the order in which they were added**;
//! [`Destinations`] is that list with the kernel's rules of change, [`Table`] what the kernel makes of it, and [`Change`] the
//! question that is asked before anything is changed: what would move.
//!
//! This follows `net/netfilter/ipvs/ip_vs_mh.c` of Linux 4.18 and later to the letter, on a 64-bit kernel (a 32-bit one hashes
//! differently); `maglev/kernel.txt` holds placements that a kernel made, and the tests compare with them. What looks odd here
//! (the second hash of the fallback, weights cut to six bits) is odd there.

mod change;
mod destinations;
mod hash;
mod table;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use change::{Change, ChangeError, Effect};
pub use destinations::{Destination, Destinations, DestinationsError, MAX_WEIGHT};
pub use table::{Placement, Table, TooMany};

/// Rows of a table: compiled into a kernel and not to be read from outside (`CONFIG_IP_VS_MH_TAB_INDEX`), hence a setting.
/// Written as the number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Size {
    index: u8,
    rows: u32,
}

impl Size {
    /// 4093 rows, what every distribution compiles in. Enough for about 40 destinations of equal weight.
    pub const DEFAULT: Self = Self { index: 12, rows: 4093 };

    /// The primes that a kernel can be compiled with, by index from 8.
    const PRIMES: [u32; 10] = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131_071];

    /// The size of a kernel with this `CONFIG_IP_VS_MH_TAB_INDEX`, 8 to 17.
    pub fn from_index(index: u8) -> Option<Self> {
        let rows = *Self::PRIMES.get(usize::from(index.checked_sub(8)?))?;
        Some(Self { index, rows })
    }

    /// The size with this number of rows, which must be one of the ten primes that a kernel can have.
    pub fn from_rows(rows: u32) -> Option<Self> {
        (8..18).filter_map(Self::from_index).find(|size| size.rows == rows)
    }

    /// Number of rows.
    pub const fn rows(self) -> u32 {
        self.rows
    }

    /// Weights are cut to so many bits, so that one heavy destination does not take a table's worth of turns.
    const fn weight_bits(self) -> u32 {
        self.index as u32 / 2
    }
}

/// No kernel has tables of so many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no kernel has tables of {0} rows: it is one of the primes 251, 509, 1021, 2039, 4093 ... 131071")]
pub struct NoSize(pub u32);

impl TryFrom<u32> for Size {
    type Error = NoSize;

    fn try_from(rows: u32) -> Result<Self, NoSize> {
        Self::from_rows(rows).ok_or(NoSize(rows))
    }
}

impl From<Size> for u32 {
    fn from(size: Size) -> Self {
        size.rows
    }
}

impl Default for Size {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Address family of a service. It decides how much of an address is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Service addresses are IPv4.
    V4,
    /// Service addresses are IPv6.
    V6,
}

/// How a service is scheduled: what must be equal on two nodes, beside the destinations, for their tables to be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheme {
    /// Family of the service.
    pub family: Family,
    /// Rows of the kernel's tables.
    pub size: Size,
    /// `mh-port` (0x10): the source port is hashed as well. Without it all flows of a client are one.
    pub port: bool,
    /// `mh-fallback` (0x8): a flow whose destination is not available goes to another one. Without it, it is refused.
    pub fallback: bool,
}

impl Scheme {
    /// What Weir programs: both flags, default size.
    pub const fn of(family: Family) -> Self {
        Self { family, size: Size::DEFAULT, port: true, fallback: true }
    }
}
