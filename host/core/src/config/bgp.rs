//! How l4 nodes announce service addresses.

use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default;
use super::value::{AbsolutePath, Community, LargeCommunity, Name, Period};
use crate::bgp;

/// The most neighbors of a fleet.
pub const MAX_NEIGHBORS: usize = 256;

/// BGP. Without this section l4 nodes announce nothing, and routers have to be told another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bgp {
    /// The AS number of the l4 nodes.
    #[serde(rename = "as", deserialize_with = "super::value::within::<_, _, 1, { u32::MAX as u64 }>")]
    #[schemars(range(min = 1))]
    pub autonomous_system: u32,
    /// After so long without a word from the other end a session is over; the smaller proposal of both ends is used. `"0s"`: never, else
    /// whole seconds from 3.
    #[serde(default = "hold")]
    pub hold: Period,
    /// Communities of every announcement, such as `"65000:100"`.
    #[serde(default)]
    pub communities: Vec<Community>,
    /// Large communities of every announcement, such as `"4200000001:1:2"`.
    #[serde(default)]
    pub large_communities: Vec<LargeCommunity>,
    /// `MULTI_EXIT_DISC`: routers prefer the smaller one of a neighboring AS. Absent: not sent.
    #[serde(default, deserialize_with = "number")]
    #[schemars(range(max = u32::MAX))]
    pub med: Option<u32>,
    /// `LOCAL_PREF` within the AS: the larger one is preferred.
    #[serde(
        default = "local_preference",
        deserialize_with = "super::value::within::<_, _, 0, { u32::MAX as u64 }>"
    )]
    pub local_preference: u32,
    /// How long a node that is taken out goes on announcing with the community GRACEFUL_SHUTDOWN, before it withdraws: as long as
    /// routers need to choose other ways.
    #[serde(default = "fade")]
    pub fade: Period,
    /// How long a node that ends keeps its sessions after it has withdrawn: as long as packets may still come.
    #[serde(default = "drain")]
    pub drain: Period,
    /// Routers and route reflectors.
    #[serde(default)]
    pub neighbors: Vec<Neighbor>,
}

impl Bgp {
    /// The two pauses of a node that leaves.
    pub fn pauses(&self) -> bgp::Pauses {
        bgp::Pauses { fade: self.fade.get(), drain: self.drain.get() }
    }
}

fn hold() -> Period {
    default::BGP_HOLD
}

fn fade() -> Period {
    default::BGP_FADE
}

fn drain() -> Period {
    default::BGP_DRAIN
}

fn local_preference() -> u32 {
    default::BGP_LOCAL_PREFERENCE
}

fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    super::value::within::<_, _, 0, { u32::MAX as u64 }>(from).map(Some)
}

/// A router or route reflector that l4 nodes announce to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Neighbor {
    /// Its name, unique among the neighbors.
    pub name: Name,
    /// Its address. Sessions come from the first address of the l4 node of the same family.
    #[serde(deserialize_with = "super::value::host")]
    #[schemars(with = "super::value::Host")]
    pub address: IpAddr,
    /// Its AS number.
    #[serde(rename = "as", deserialize_with = "super::value::within::<_, _, 1, { u32::MAX as u64 }>")]
    #[schemars(range(min = 1))]
    pub autonomous_system: u32,
    /// The l4 nodes that have this neighbor. Absent: all.
    pub nodes: Option<Vec<Name>>,
    /// What it is told. Absent: the addresses of its own family.
    pub families: Option<Vec<AddressFamily>>,
    /// Its TCP port.
    #[serde(default = "port", deserialize_with = "super::value::within::<_, _, 1, 65535>")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Wait for the neighbor to connect.
    #[serde(default)]
    pub passive: bool,
    /// File whose first line is the secret of TCP-MD5 (RFC 2385), the same at both ends. Absent: none.
    pub password_file: Option<AbsolutePath>,
    /// Take packets only from as near as the neighbor is (RFC 5082); the neighbor has to be told as well.
    #[serde(default)]
    pub gtsm: bool,
    /// How many hops away it may be. Absent: on the same link, or anywhere if it is in the same AS and `gtsm` is off.
    #[serde(default, deserialize_with = "hops")]
    #[schemars(range(min = 2))]
    pub multihop: Option<u8>,
    /// Fast detection of a neighbor that is gone (RFC 5880). Absent: the hold time has to do.
    pub bfd: Option<Bfd>,
}

impl Neighbor {
    /// What it is told.
    pub fn families(&self) -> Vec<AddressFamily> {
        self.families.clone().unwrap_or_else(|| vec![AddressFamily::of(self.address)])
    }

    /// Whether the l4 node of this name has this neighbor.
    pub fn is_of(&self, node: &str) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.iter().any(|name| name.as_str() == node))
    }
}

fn port() -> u16 {
    default::BGP_PORT
}

fn hops<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u8>, D::Error> {
    super::value::within::<_, _, 2, 255>(from).map(Some)
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddressFamily {
    /// IPv4 unicast.
    Ipv4,
    /// IPv6 unicast.
    Ipv6,
}

impl AddressFamily {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The name that people use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// Bidirectional forwarding detection: both ends send small packets all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Bfd {
    /// How often packets are sent, and can be taken. The slower end decides.
    pub interval: Period,
    /// After so many intervals without a packet the other end is gone.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, 255>")]
    #[schemars(range(min = 1))]
    pub multiplier: u8,
}

impl Default for Bfd {
    fn default() -> Self {
        Self { interval: default::BFD_INTERVAL, multiplier: default::BFD_MULTIPLIER }
    }
}

impl Bfd {
    /// After this long the other end is gone, if it sends as often.
    pub fn detection(&self) -> Duration {
        self.interval.get() * u32::from(self.multiplier)
    }
}
