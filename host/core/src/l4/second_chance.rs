//! What becomes of packets that reach an l7 node and belong to none of its connections: they go on to the l7 node that has them.
//!
//! An l4 node keeps no record that another one could have, and spreads connections by a table that changes when l7 nodes join, leave, fail
//! and come back. So a connection that a router moves to another l4 node may reach the wrong l7 node, whose kernel would end it. Here it is
//! told instead where the connection would be *without this node*:
//!
//! | the connection began while | the row of its flow is of | it goes to |
//! |---|---|---|
//! | this node was away | this node | who stood in for it: the service for the mark has this node take nothing |
//! | another node was there that has left or is drained, and still has it | that node | that node, which takes as long as it answers |
//! | other nodes were in the fleet file | whoever had it by the file before | that one: the file before counts for a while |
//!
//! Whoever was asked so looks no further: what comes out of a tunnel of the *other* kind is not looked at again, so nothing goes in circles.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::members::Member;
use super::table::{settings, shape};
use crate::config::{AddressFamily, Encapsulation, Fleet, Name};
use crate::desired::{Desired, Redirect, Sysctl, TunnelKind};
use crate::ipvs::{
    Checksum, Destination, Forwarding, Key, Marks, Ownership, Service, Table, Thresholds, Timeouts, Tunnel,
    Wanted,
};
use crate::maglev::Family;

/// Below the marks: "WF" in the upper half.
const FIRST: u32 = 0x5746_0000;

/// All marks that a packet may get for a second chance: one for each port. Nothing else on an l7 node may use them.
pub const REDIRECT_MARKS: Marks = Marks { first: FIRST + 1, last: FIRST + 0xffff };

/// What an l7 node relies on for it.
const SYSCTLS: &[(&str, &str)] = &[
    // What is redirected begins in the middle.
    ("net/ipv4/vs/sloppy_tcp", "1"),
    // An ICMP error for what was redirected goes the same way.
    ("net/ipv4/vs/schedule_icmp", "1"),
    ("net/ipv4/vs/pmtu_disc", "1"),
    // A client's port that is used again is a new connection, also while the old one is still closing.
    ("net/ipv4/vs/conn_reuse_mode", "3"),
    ("net/ipv4/vs/expire_nodest_conn", "1"),
    ("net/ipv4/vs/conntrack", "0"),
];

/// For so long, in seconds, the kernel sends what it has handed on the same way without looking at marks. It looks its connections up before
/// marks, and by addresses and ports only: a connection of this node's own that has those of one that was handed on would be led away.
/// Nothing is lost with an entry, for the next packet makes it anew; so it is as short as it can be.
const TIMEOUTS: Timeouts = Timeouts { tcp: NonZeroU32::MIN, tcp_fin: NonZeroU32::MIN, udp: NonZeroU32::MIN };

/// The other l7 nodes that do not answer, by family.
pub(super) type Silent = BTreeSet<(Name, AddressFamily)>;

/// How packets travel between l7 nodes: not as between the tiers, so that it is seen which ones were looked at before.
pub(super) const fn encapsulation(fleet: &Fleet) -> Encapsulation {
    match fleet.l4.tunnel {
        Encapsulation::Ipip => Encapsulation::Gre,
        Encapsulation::Gre => Encapsulation::Ipip,
    }
}

/// The kind of a tunnel.
pub(super) const fn kind(wrapped: Encapsulation, family: AddressFamily) -> TunnelKind {
    match (wrapped, family) {
        (Encapsulation::Ipip, AddressFamily::Ipv4) => TunnelKind::Ipip,
        (Encapsulation::Ipip, AddressFamily::Ipv6) => TunnelKind::Ip6tnl,
        (Encapsulation::Gre, AddressFamily::Ipv4) => TunnelKind::Gre,
        (Encapsulation::Gre, AddressFamily::Ipv6) => TunnelKind::Ip6gre,
    }
}

/// Whether there is any for this fleet: only where it is foretold who has a connection.
pub(super) fn is_given(fleet: &Fleet) -> bool {
    fleet.l4.second_chance.enabled && settings(&fleet.l4).is_maglev()
}

/// What of the kernel's balancer is any node's that is no l4 node, so that what an earlier process made is removed.
pub(super) fn ownership() -> Ownership {
    Ownership { marks: Some(REDIRECT_MARKS), ..Ownership::default() }
}

/// Adds to what an l7 node wants what it takes, with connections spread over `members`.
pub(super) fn give(desired: &mut Desired, fleet: &Fleet, node: &str, members: &[Member], silent: &Silent) {
    let mut table = Table::new();
    for (family, port) in ports(fleet) {
        let Some(mark) = NonZeroU32::new(FIRST + u32::from(port)) else { continue };
        let destination = |member: &Member| {
            Some(Destination {
                endpoint: SocketAddr::new(member.address(family)?, port),
                weight: shape(0, member.weight),
                taking: member.node.as_str() != node && !silent.contains(&(member.node.clone(), family)),
                forwarding: Forwarding::Tunnel(match encapsulation(fleet) {
                    Encapsulation::Ipip => Tunnel::Ipip,
                    Encapsulation::Gre => Tunnel::Gre { checksum: Checksum::Absent },
                }),
                thresholds: Thresholds::default(),
            })
        };
        let destinations: Vec<Destination> = members.iter().filter_map(destination).collect();
        // With nobody to ask the packet is answered here, which ends the connection at once.
        if !destinations.iter().any(|one| one.taking) {
            continue;
        }
        let key = match family {
            AddressFamily::Ipv4 => Key::Mark { family: Family::V4, mark },
            AddressFamily::Ipv6 => Key::Mark { family: Family::V6, mark },
        };
        // What the fleet files let in has each address once, and small weights.
        if table.put(Service { key, settings: settings(&fleet.l4), destinations }).is_ok() {
            desired.redirects.push(Redirect { from: kind(fleet.l4.tunnel, family), port, mark });
        }
    }
    let ownership = std::mem::take(&mut desired.ipvs.ownership);
    desired.ipvs = Wanted { table, ownership, timeouts: Some(TIMEOUTS), ..Wanted::default() };
    desired.sysctls.extend(SYSCTLS.iter().map(|(name, value)| Sysctl::new(*name, *value)));
}

/// The ports of all services, by the families of their addresses.
pub(super) fn ports(fleet: &Fleet) -> BTreeSet<(AddressFamily, u16)> {
    let of = |service: &crate::config::Service| {
        let port = service.port;
        let families = service.addresses.iter().map(move |address| (AddressFamily::of(*address), port));
        families.collect::<Vec<_>>()
    };
    fleet.services.values().flat_map(of).collect()
}

/// Where each family's nodes are asked whether they answer: at one port that all of them have.
pub(super) fn asked_at(fleet: &Fleet) -> BTreeMap<AddressFamily, u16> {
    ports(fleet).into_iter().rev().collect()
}
