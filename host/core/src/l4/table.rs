//! Standings to IPVS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::layout::{Layout, Row};
use super::standing::Standing;
use crate::config::{AllNodesDown, ConnectionTimeouts, Encapsulation, Fleet, L4, NODE_WEIGHT, Name, Period};
use crate::ipvs::{
    Checksum, Destination, Flags, Forwarding, Key, Name as KernelName, Ownership, Service, Settings, Table,
    Thresholds, Timeouts, Tunnel, Wanted,
};
use crate::maglev::{self, Family, Size};

/// Who takes new connections of a service: one flag for each member, in their order.
pub(super) fn takers(l4: &L4, row: &Row, standings: &[Standing]) -> Vec<bool> {
    let standing = |target: usize| standings.get(target).copied().unwrap_or_default();
    let members = || row.members.iter().map(|member| standing(member.target));
    if l4.all_down == AllNodesDown::Keep && !members().any(|standing| standing.taking) {
        return members().map(|standing| !standing.taken_out).collect();
    }
    members().map(|standing| standing.taking).collect()
}

/// The whole of it.
pub(super) fn wanted(fleet: &Fleet, layout: &Layout, standings: &[Standing]) -> Wanted {
    let services = layout.rows.iter().map(|row| service(fleet, row, standings));
    Wanted {
        // What the fleet file lets in is a table: each address and port once, each node once, weights small.
        table: Table::of(services).unwrap_or_default(),
        ownership: Ownership { addresses: layout.addresses().into_iter().collect(), ..Ownership::default() },
        timeouts: Some(timeouts(&fleet.l4.timeouts)),
        ..Wanted::default()
    }
}

/// A service with its destinations in join order.
pub(super) fn service(fleet: &Fleet, row: &Row, standings: &[Standing]) -> Service {
    let takers = takers(&fleet.l4, row, standings);
    let forwarding = Forwarding::Tunnel(match fleet.l4.tunnel {
        Encapsulation::Ipip => Tunnel::Ipip,
        Encapsulation::Gre => Tunnel::Gre { checksum: Checksum::Absent },
    });
    let destination = |(member, taking): (&super::layout::Member, bool)| {
        let said = standings.get(member.target).map_or(0, |standing| standing.weight);
        Destination {
            endpoint: member.endpoint,
            weight: shape(fleet, &member.node, said),
            taking,
            forwarding,
            thresholds: Thresholds::default(),
        }
    };
    Service {
        key: Key::tcp(row.at),
        settings: settings(&fleet.l4),
        destinations: row.members.iter().zip(takers).map(destination).collect(),
    }
}

/// The weight that shapes the table. A weight of 0 takes a node out and moves no row, so 0 shapes as what was there before it.
fn shape(fleet: &Fleet, node: &Name, said: u16) -> NonZeroU32 {
    let written = fleet.nodes.get(node).map_or(0, |node| node.weight);
    let shaping = [said, written].into_iter().find_map(|weight| NonZeroU32::new(weight.into()));
    shaping.unwrap_or(NonZeroU32::MIN.saturating_add(u32::from(NODE_WEIGHT) - 1))
}

/// How connections are spread.
pub(super) fn settings(l4: &L4) -> Settings {
    let maglev = Settings::maglev();
    match KernelName::new(&*l4.scheduler) {
        Ok(name) if name == maglev.scheduler => maglev,
        // `sh` has the flags of `mh` under other names; no other scheduler has flags.
        Ok(name) if name.as_str() == "sh" => Settings { scheduler: name, ..maglev },
        Ok(name) => Settings { scheduler: name, flags: Flags::NONE, persistence: None, engine: None },
        Err(_) => maglev,
    }
}

fn timeouts(timeouts: &ConnectionTimeouts) -> Timeouts {
    let seconds = |time: Period| {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN)
    };
    Timeouts { tcp: seconds(timeouts.tcp), tcp_fin: seconds(timeouts.tcp_fin), udp: seconds(timeouts.udp) }
}

/// One number for the tables of all services, which is the same wherever every flow goes to the same node. 0 where the scheduler is not
/// foretold. Services with the same members in the same standing have one table, which is made once.
pub(super) fn digest(fleet: &Fleet, layout: &Layout, standings: &[Standing]) -> u64 {
    /// Endpoint, weight, and whether it takes new connections.
    type Member = (SocketAddr, u32, bool);
    let mut known: HashMap<(Family, Vec<Member>), u64> = HashMap::new();
    let mut all = 0_u64;
    for row in &layout.rows {
        let service = service(fleet, row, standings);
        let family = service.key.family();
        let Some(scheme) = service.settings.scheme(family, Size::DEFAULT) else { return 0 };
        let members: Vec<Member> =
            service.destinations.iter().map(|one| (one.endpoint, one.weight.get(), one.taking)).collect();
        let digest = *known.entry((family, members)).or_insert_with(|| {
            let table = service.list().ok().and_then(|list| maglev::Table::of(scheme, &list).ok());
            table.map_or(0, |table| table.digest())
        });
        // The rows come in the order of names, which all nodes share.
        all = all.rotate_left(1).wrapping_mul(0x0100_0000_01b3) ^ digest;
    }
    all
}
