//! What is said between two speakers. Bytes are the sidecar's: it makes these of them and them of these.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::notification::Notification;

/// What stands in the two-byte field of an `OPEN` when the AS number needs four (RFC 6793).
pub const AS_TRANS: u16 = 23456;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Who speaks, and what he can do.
    Open(Open),
    /// Routes that come and go.
    Update(Update),
    /// Why the connection ends now.
    Notification(Notification),
    /// Still here.
    Keepalive,
    /// Say it all again (RFC 2918). `None`: of a family that is not known here.
    RouteRefresh(Option<Family>),
}

/// Unicast of an address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
}

impl Family {
    /// The word in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// `OPEN`, field by field as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// 4, or somebody is from another time.
    pub version: u8,
    /// The AS number, or [`AS_TRANS`] where it needs four bytes.
    pub as_field: u16,
    /// Proposed hold time in seconds.
    pub hold_seconds: u16,
    /// BGP identifier.
    pub id: Ipv4Addr,
    /// In their order. To be sent in one optional parameter.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The AS number, of four bytes where the capability is there.
    pub fn as_number(&self) -> u32 {
        let four = self.capabilities.iter().find_map(|one| match one {
            Capability::FourOctetAs(number) => Some(*number),
            _ => None,
        });
        four.unwrap_or(u32::from(self.as_field))
    }

    /// The two-byte field for an AS number.
    pub fn as_field_of(number: u32) -> u16 {
        u16::try_from(number).unwrap_or(AS_TRANS)
    }
}

/// What a speaker can do (RFC 5492).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// 1: routes of this family.
    Multiprotocol(Family),
    /// 2: answers `ROUTE-REFRESH`.
    RouteRefresh,
    /// 65: AS numbers of four bytes everywhere; this is the speaker's.
    FourOctetAs(u32),
    /// 64: End-of-RIB, and routes may be kept over a restart (RFC 4724, 8538).
    GracefulRestart {
        /// The R bit: has restarted just now.
        restarted: bool,
        /// The N bit: also after a NOTIFICATION.
        notification: bool,
        /// Keep them so long; 12 bits.
        seconds: u16,
        /// Families, and the F bit: forwarding went on meanwhile.
        families: Vec<(Family, bool)>,
    },
    /// Any other.
    Other {
        /// Its code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

/// `UPDATE` of one family. Where one message on the wire holds both (`NLRI` and `MP_REACH_NLRI`), it is read as two of these.
///
/// IPv4 with an IPv4 next hop is `NLRI`, all else `MP_REACH_NLRI` and `MP_UNREACH_NLRI`. Empty, it is End-of-RIB of its family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Of all prefixes in it.
    pub family: Family,
    /// No longer reachable.
    pub withdrawn: Vec<Prefix>,
    /// Reachable, with the attributes that all of them share.
    pub announced: Option<(Attributes, Vec<Prefix>)>,
}

impl Update {
    /// "That was all of this family" (RFC 4724 §2).
    pub const fn end_of_rib(family: Family) -> Self {
        Self { family, withdrawn: Vec::new(), announced: None }
    }

    /// Whether it is that.
    pub fn is_end_of_rib(&self) -> bool {
        self.withdrawn.is_empty() && self.announced.is_none()
    }
}

/// An address and how many bits of it count; the others are 0. As text `198.51.100.0/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why something is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// More bits than the address has, or bits set behind the prefix.
    #[error("{address}/{length} is no prefix: the length is too large, or bits behind it are set")]
    Bits {
        /// The address.
        address: IpAddr,
        /// The length.
        length: u8,
    },
    /// Not an address, a slash and a number.
    #[error("`{0}` is no prefix: write an address, `/` and how many bits of it count")]
    Text(String),
}

impl Prefix {
    /// Refuses bits that do not count: they are a mistake of whoever wrote them, and two spellings of one prefix.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let rest = bits.checked_shl(u32::from(length)).unwrap_or(0);
        if length > width || rest != 0 {
            return Err(PrefixError::Bits { address, length });
        }
        Ok(Self { address, length })
    }

    /// Just this address.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Of the address.
    pub const fn family(self) -> Family {
        if self.address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// Bytes that it takes in a message.
    pub(super) const fn size(self) -> usize {
        1 + self.length.div_ceil(8) as usize
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let parts = text.split_once('/').and_then(|(a, l)| Some((a.parse().ok()?, l.parse().ok()?)));
        let (address, length) = parts.ok_or_else(|| PrefixError::Text(text.to_owned()))?;
        Self::new(address, length)
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
