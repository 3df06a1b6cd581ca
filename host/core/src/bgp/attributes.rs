//! Path attributes that an announcer sends.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// `ORIGIN`. What this speaker announces is its own, hence [`Origin::Igp`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Its own.
    #[default]
    Igp,
    /// Of the old days.
    Egp,
    /// Anything else.
    Incomplete,
}

/// A community of RFC 1997, `65535:0` in two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Community(pub u16, pub u16);

impl Community {
    /// Send traffic elsewhere, this path will be gone soon (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(65535, 0);
}

/// A large community of RFC 8092.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LargeCommunity(pub u32, pub u32, pub u32);

/// Where traffic for a prefix is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// The address.
    pub address: IpAddr,
    /// Beside an IPv6 address, where the neighbor is on the same link: `MP_REACH_NLRI` then has 32 bytes (RFC 2545).
    pub link_local: Option<Ipv6Addr>,
}

/// All that prefixes of one `UPDATE` share. Ordered, so that prefixes can be grouped by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// `ORIGIN`.
    pub origin: Origin,
    /// `AS_PATH`: one `AS_SEQUENCE`, the latest first; empty within an AS. A neighbor without the four-byte capability gets 23456
    /// for large ones, and `AS4_PATH` beside it: a matter of the bytes, see `Negotiated::four_octet_as`.
    pub as_path: Vec<u32>,
    /// `NEXT_HOP`, or the one in `MP_REACH_NLRI`.
    pub next_hop: NextHop,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`, only within an AS.
    pub local_preference: Option<u32>,
    /// `COMMUNITIES`, sorted, each once.
    pub communities: Vec<Community>,
    /// `LARGE_COMMUNITY`, sorted, each once.
    pub large_communities: Vec<LargeCommunity>,
    /// `EXTENDED_COMMUNITIES`, as their eight bytes.
    pub extended_communities: Vec<[u8; 8]>,
}

impl Attributes {
    /// Bytes that they take in a message at most, with the frame of `MP_REACH_NLRI`.
    pub(super) fn size(&self) -> usize {
        // ORIGIN 4, NEXT_HOP 7, MED 7, LOCAL_PREF 7, MP_REACH_NLRI 4 + 5 + 32; a path may be there twice (AS4_PATH).
        66 + 2 * (6 + 4 * self.as_path.len())
            + (4 + 4 * self.communities.len())
            + (4 + 12 * self.large_communities.len())
            + (4 + 8 * self.extended_communities.len())
    }
}

/// The link bandwidth community: share traffic in this proportion. A neighbor in another AS does not hand it on.
pub(super) fn link_bandwidth(local_as: u32, bytes_per_second: f32) -> [u8; 8] {
    let [high, low] = super::Open::as_field_of(local_as).to_be_bytes();
    let [a, b, c, d] = bytes_per_second.to_be_bytes();
    [0x40, 0x04, high, low, a, b, c, d]
}
