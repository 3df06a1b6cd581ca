//! A destination: who gets flows, how many, and how packets reach it.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};

use serde::{Deserialize, Serialize};

/// Checksums of a tunnel's outer packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// None.
    #[default]
    Absent,
    /// Computed by the sender.
    Full,
    /// Left to the receiver (GUE).
    Remote,
}

/// How packets are wrapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// GRE.
    Gre {
        /// Outer checksum.
        checksum: Checksum,
    },
    /// GUE, over UDP.
    Gue {
        /// UDP port of the receiver.
        port: NonZeroU16,
        /// Outer checksum.
        checksum: Checksum,
    },
}

/// How packets reach a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Forwarding {
    /// Address translation; answers come back through this node.
    Masquerade,
    /// The destination is this node.
    Local,
    /// Wrapped.
    Tunnel(Tunnel),
    /// Sent to its link address as they are ("direct routing").
    Route,
    /// Past the balancer.
    Bypass,
    /// What this version of Weir does not know. Seen, never asked for.
    #[serde(skip_deserializing)]
    Other {
        /// The kernel's number of the method.
        method: u32,
        /// The kernel's number of the tunnel type.
        tunnel: u8,
    },
}

/// Limits on the connections that *this* node sends to a destination. Since each L4 node counts only its own, they let nodes
/// disagree on where a flow goes: a last guard, not a tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// From so many on it gets no new ones. 0 is no limit.
    pub upper: u32,
    /// Below so many it gets some again. At most `upper`; 0 is three quarters of it.
    pub lower: u32,
}

/// A destination as it shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Address and port. Both are hashed by `mh`.
    pub endpoint: SocketAddr,
    /// Its share. It shapes the table, whether flows are taken or not, so that what all nodes have does not depend on what
    /// failed when. At most [`crate::maglev::MAX_WEIGHT`].
    pub weight: NonZeroU32,
    /// Whether it takes new flows. A node that failed or drains does not, keeps its rows, and keeps its connections.
    pub taking: bool,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Limits.
    #[serde(default)]
    pub thresholds: Thresholds,
}

impl Destination {
    /// One that takes flows, through a plain tunnel.
    pub const fn tunneled(endpoint: SocketAddr, weight: NonZeroU32) -> Self {
        Self {
            endpoint,
            weight,
            taking: true,
            forwarding: Forwarding::Tunnel(Tunnel::Ipip),
            thresholds: Thresholds { upper: 0, lower: 0 },
        }
    }

    /// What the kernel is told, with its weight or with 0.
    pub(super) const fn entry(&self, taking: bool) -> Entry {
        Entry {
            endpoint: self.endpoint,
            weight: if taking { self.weight.get() } else { 0 },
            forwarding: self.forwarding,
            thresholds: self.thresholds,
        }
    }
}

/// A destination as the kernel is told it, and as it tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Entry {
    /// Address and port.
    pub endpoint: SocketAddr,
    /// Weight now.
    pub weight: u32,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Limits.
    pub thresholds: Thresholds,
}
