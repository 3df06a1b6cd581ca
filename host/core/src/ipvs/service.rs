//! A service: what clients connect to, and how its flows are spread.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::Destination;
use crate::maglev::{Destinations, DestinationsError, Family, Scheme, Size};

/// Protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// The number in an IP header.
    pub const fn number(self) -> u16 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The one with this number, where the balancer knows it.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }
}

/// What a service is known by. The kernel has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Key {
    /// What is sent to an address and port.
    Address {
        /// Protocol.
        protocol: Protocol,
        /// Service address.
        address: IpAddr,
        /// Port. 0 is every port, which the kernel takes with persistence only.
        port: u16,
    },
    /// What carries this firewall mark.
    Mark {
        /// Family of the packets.
        family: Family,
        /// The mark.
        mark: NonZeroU32,
    },
}

impl Key {
    /// A TCP service.
    pub const fn tcp(at: SocketAddr) -> Self {
        Self::Address { protocol: Protocol::Tcp, address: at.ip(), port: at.port() }
    }

    /// Family of what clients send.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address: IpAddr::V4(_), .. } => Family::V4,
            Self::Address { address: IpAddr::V6(_), .. } => Family::V6,
            Self::Mark { family, .. } => *family,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address, port } => {
                let protocol = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                    Protocol::Sctp => "sctp",
                };
                write!(f, "{protocol} {}", SocketAddr::new(*address, *port))
            }
            Self::Mark { family: Family::V4, mark } => write!(f, "mark {mark}"),
            Self::Mark { family: Family::V6, mark } => write!(f, "mark {mark} (IPv6)"),
        }
    }
}

/// A name that the kernel takes for a scheduler or a persistence engine: 1 to 15 bytes of printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

/// This is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name that the kernel takes: 1 to 15 printable characters without blanks")]
pub struct NoName(pub String);

impl Name {
    /// A name.
    ///
    /// # Errors
    /// Where it is empty, longer than 15 bytes, or holds anything but printable ASCII.
    pub fn new(name: impl Into<String>) -> Result<Self, NoName> {
        let name = name.into();
        let fits = (1..=15).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(name.into())) } else { Err(NoName(name)) }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NoName;

    fn try_from(name: String) -> Result<Self, NoName> {
        Self::new(name)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Flags of a service that its owner may choose; those that the kernel keeps for itself are never in it. Written as a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub struct Flags(u32);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every packet is scheduled by itself (UDP).
    pub const ONE_PACKET: Self = Self(0x4);
    /// `mh`: a flow whose destination takes none goes to another one. Also called `flag-1`; `sh` has the same.
    pub const MH_FALLBACK: Self = Self(0x8);
    /// `mh`: the source port is hashed as well. Also called `flag-2`; `sh` has the same.
    pub const MH_PORT: Self = Self(0x10);
    /// `flag-3`, which no scheduler of today uses.
    pub const THIRD: Self = Self(0x20);

    /// Those of these bits that are flags.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0x3c)
    }

    /// As the kernel has them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of those are here.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl From<u32> for Flags {
    fn from(bits: u32) -> Self {
        Self::from_bits(bits)
    }
}

impl From<Flags> for u32 {
    fn from(flags: Flags) -> Self {
        flags.0
    }
}

/// Flows of one client stay with one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// For how many seconds after the last of them.
    pub seconds: NonZeroU32,
    /// How many leading bits of the source make a client: 1 to 32, or to 128.
    pub prefix: u8,
}

/// How the flows of a service are spread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of a scheduler that the kernel has.
    pub scheduler: Name,
    /// What the scheduler is told.
    pub flags: Flags,
    /// Whether, and how long, a client is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// Persistence engine, such as `sip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Name>,
}

impl Settings {
    /// Maglev hashing over source address and port, with a fallback: what Weir's own services have.
    pub fn maglev() -> Self {
        Self {
            scheduler: Name("mh".into()),
            flags: Flags::MH_FALLBACK.with(Flags::MH_PORT),
            persistence: None,
            engine: None,
        }
    }

    /// The scheduler is the one that [`crate::maglev`] foretells: it also keeps the rows of a destination of weight 0.
    pub fn is_maglev(&self) -> bool {
        self.scheduler.as_str() == "mh"
    }

    /// The scheduler's table depends on the order of the destinations.
    pub fn needs_order(&self) -> bool {
        matches!(self.scheduler.as_str(), "mh" | "sh" | "dh")
    }

    /// How to foretell a service of that family; `None` with another scheduler, or where clients are remembered.
    pub fn scheme(&self, family: Family, size: Size) -> Option<Scheme> {
        let foretold = self.is_maglev() && self.persistence.is_none();
        foretold.then(|| Scheme {
            family,
            size,
            port: self.flags.has(Flags::MH_PORT),
            fallback: self.flags.has(Flags::MH_FALLBACK),
        })
    }
}

/// A service with its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What it is known by.
    pub key: Key,
    /// How its flows are spread.
    pub settings: Settings,
    /// Who gets them, in join order: the oldest member first, a new one at the end.
    pub destinations: Vec<Destination>,
}

impl Service {
    /// The list that the kernel has once this is programmed, for [`crate::maglev::Table`].
    ///
    /// # Errors
    /// Where a destination is there twice or its weight is too large, which a [`super::Table`] does not let in.
    pub fn list(&self) -> Result<Destinations, DestinationsError> {
        let mut list =
            Destinations::added(self.destinations.iter().map(|one| (one.endpoint, one.weight.get())))?;
        for one in self.destinations.iter().filter(|one| !one.taking) {
            list.set_weight(one.endpoint, 0)?;
        }
        Ok(list)
    }
}
