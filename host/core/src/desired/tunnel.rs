//! A tunnel as its receiver has it: one device for each other node.
//!
//! One device with `remote any` would take packets from everybody, and would need a packet filter that not every kernel has
//! and that other programs rewrite. With one device for each peer the kernel itself looks for `(remote, local)` and answers
//! anybody else with an ICMP error: who may send is a property of the tunnel.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Fault, PREFIX, SERVICE_DEVICE};

/// The longest name that the kernel gives a device, bytes.
const MAX_NAME: usize = 15;

/// Where packets that another node of the fleet wrapped come out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// Name of the device: [`PREFIX`] and what tells it from the others, 15 bytes at most.
    pub name: String,
    /// How packets are wrapped.
    pub kind: TunnelKind,
    /// This node's own address.
    pub local: IpAddr,
    /// The only address from which wrapped packets are taken.
    pub remote: IpAddr,
}

/// How packets are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelKind {
    /// IPv4 in IPv4, 20 bytes.
    Ipip,
    /// IPv6 in IPv6, 40 bytes.
    Ip6tnl,
    /// Anything in GRE in IPv4, 24 bytes.
    Gre,
    /// Anything in GRE in IPv6, 44 bytes.
    Ip6gre,
}

impl TunnelKind {
    /// The kernel's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Ip6tnl => "ip6tnl",
            Self::Gre => "gre",
            Self::Ip6gre => "ip6gre",
        }
    }

    /// How the names of the devices of this kind begin, so that one pattern stands for all of them. It holds for this kind only.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Ipip => "weir-4",
            Self::Ip6tnl => "weir-6",
            Self::Gre => "weir-g",
            Self::Ip6gre => "weir-h",
        }
    }

    /// Whether the outer packets are IPv6.
    pub const fn is_ipv6(self) -> bool {
        matches!(self, Self::Ip6tnl | Self::Ip6gre)
    }
}

impl Tunnel {
    pub(super) fn check(&self) -> Result<(), Fault> {
        let Self { name, kind, local, remote } = self;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !name.starts_with(PREFIX)
            || name == SERVICE_DEVICE
            || name.len() <= PREFIX.len()
            || name.len() > MAX_NAME
            || !name.bytes().all(plain)
        {
            return Err(Fault::Name { name: name.clone() });
        }
        let usable =
            |ip: &IpAddr| ip.is_ipv6() == kind.is_ipv6() && !ip.is_unspecified() && !ip.is_multicast();
        if !usable(local) || !usable(remote) || local == remote {
            return Err(Fault::Ends { name: name.clone(), local: *local, remote: *remote });
        }
        Ok(())
    }
}
