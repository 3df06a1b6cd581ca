//! The network side of an l7 node: tunnels in which packets come, and the addresses that they are for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::layout::Layout;
use super::settings;
use crate::config::{AddressFamily, Encapsulation, Fleet, Role};
use crate::desired::{Desired, PREFIX, ServiceAddress, Tunnel, TunnelKind};

/// The largest segments that clients may send over a path of 1500 bytes, IPv4 and IPv6: room is left for the largest wrapping that a
/// packet can meet, which is GRE (24 and 44 bytes). Answers bypass the tunnel and may be larger.
pub const MAX_SEGMENT: (u16, u16) = (1500 - 24 - 40, 1500 - 44 - 60);

/// Whether a node has a network side at all: it is an l4 node, or an l7 node of a fleet with l4 nodes.
pub fn has_tunnels(fleet: &Fleet, node: &str) -> bool {
    let tier = fleet.nodes.values().any(|node| node.has(Role::L4));
    tier && fleet.nodes.get(node).is_some_and(|node| node.has(Role::L4) || node.has(Role::L7))
}

/// What an l7 node wants. Nothing at all where the fleet has no l4 nodes.
///
/// There is a tunnel for each address of each l4 node: which of them an l4 node's kernel chooses as the source is up to its
/// routes, and from anybody else nothing is taken.
pub fn receiver(fleet: &Fleet, node: &str) -> Desired {
    let mut desired = Desired { hold: fleet.l4.host_hold.get(), ..Desired::default() };
    let Some(this) = fleet.nodes.get(node).filter(|this| this.has(Role::L7) && has_tunnels(fleet, node))
    else {
        return desired;
    };
    let addresses = Layout::of(fleet).addresses();
    let families: BTreeSet<_> = addresses.iter().map(|address| AddressFamily::of(*address)).collect();
    let mut names = BTreeSet::new();
    for l4 in fleet.nodes.values().filter(|node| node.has(Role::L4)) {
        for remote in &l4.addresses {
            let family = AddressFamily::of(*remote);
            let Some(local) = this.address(family).filter(|_| families.contains(&family)) else { continue };
            let kind = match (fleet.l4.tunnel, family) {
                (Encapsulation::Ipip, AddressFamily::Ipv4) => TunnelKind::Ipip,
                (Encapsulation::Ipip, AddressFamily::Ipv6) => TunnelKind::Ip6tnl,
                (Encapsulation::Gre, AddressFamily::Ipv4) => TunnelKind::Gre,
                (Encapsulation::Gre, AddressFamily::Ipv6) => TunnelKind::Ip6gre,
            };
            desired.tunnels.push(Tunnel {
                name: name(kind, *remote, &mut names),
                kind,
                local,
                remote: *remote,
            });
        }
    }
    let v4 =
        desired.tunnels.iter().filter(|tunnel| !tunnel.kind.is_ipv6()).map(|tunnel| tunnel.name.as_str());
    desired.sysctls = settings::l7(v4);
    desired.addresses = addresses.into_iter().map(ServiceAddress).collect();
    desired
}

/// A name that stays with the other end, whoever else joins or leaves: its address in hexadecimal digits, or a hash where
/// it does not fit. Of the few that share a hash, the later ones in the file take the next number.
fn name(kind: TunnelKind, remote: IpAddr, taken: &mut BTreeSet<String>) -> String {
    let letter = match kind {
        TunnelKind::Ipip => '4',
        TunnelKind::Ip6tnl => '6',
        TunnelKind::Gre => 'g',
        TunnelKind::Ip6gre => 'h',
    };
    let mut number = match remote {
        IpAddr::V4(address) => address.to_bits(),
        // FNV-1a.
        IpAddr::V6(address) => address
            .octets()
            .iter()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)),
    };
    loop {
        let name = format!("{PREFIX}{letter}{number:08x}");
        if taken.insert(name.clone()) {
            return name;
        }
        number = number.wrapping_add(1);
    }
}
