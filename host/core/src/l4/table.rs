//! Standings to IPVS.

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::layout::{Layout, Row};
use super::standing::Standing;
use super::way;
use crate::config::{AllNodesDown, ConnectionTimeouts, Encapsulation, Fleet, L4, NODE_WEIGHT, Period};
use crate::ipvs::{
    Checksum, Destination, Flags, Forwarding, Key, Name as KernelName, Ownership, Service, Settings, Table,
    Thresholds, Timeouts, Tunnel, Wanted,
};

/// Who takes new connections of a service: one flag for each member, in their order.
pub(super) fn takers(l4: &L4, row: &Row, standings: &[Standing]) -> impl Iterator<Item = bool> {
    let standing = |target: usize| standings.get(target).copied().unwrap_or_default();
    let members = row.members.iter().map(move |member| standing(member.target));
    let desperate = l4.all_down == AllNodesDown::Keep && !members.clone().any(|standing| standing.taking);
    members.map(move |standing| if desperate { !standing.taken_out } else { standing.taking })
}

/// The whole of it.
pub(super) fn wanted(fleet: &Fleet, layout: &Layout, standings: &[Standing]) -> Wanted {
    let services = layout.rows.iter().map(|row| service(fleet, row, standings));
    let ways = way::services(fleet, layout);
    Wanted {
        // What the fleet file lets in is a table: each address and port once, each node once, weights small.
        table: Table::of(services.chain(ways.iter().cloned())).unwrap_or_default(),
        ownership: Ownership {
            addresses: layout.addresses().into_iter().collect(),
            marks: Some(way::MARKS),
            ..Ownership::default()
        },
        timeouts: Some(timeouts(&fleet.l4.timeouts)),
        ..Wanted::default()
    }
}

/// The part of it that a target is behind, which is like this now.
pub(super) fn update(
    wanted: &mut Wanted,
    fleet: &Fleet,
    layout: &Layout,
    standings: &[Standing],
    target: usize,
) {
    for row in layout.rows_of(target) {
        // As above: it was let in, and only standings are others.
        let _ = wanted.table.put(service(fleet, row, standings));
    }
}

/// A service with its destinations in join order.
pub(super) fn service(fleet: &Fleet, row: &Row, standings: &[Standing]) -> Service {
    let takers = takers(&fleet.l4, row, standings);
    let destination = |(member, taking): (&super::layout::Member, bool)| {
        let said = standings.get(member.target).map_or(0, |standing| standing.weight);
        Destination {
            endpoint: member.endpoint,
            weight: shape(said, member.weight),
            taking,
            forwarding: forwarding(&fleet.l4),
            thresholds: Thresholds::default(),
        }
    };
    Service {
        key: Key::tcp(row.at),
        settings: settings(&fleet.l4),
        destinations: row.members.iter().zip(takers).map(destination).collect(),
    }
}

/// How packets get to l7 nodes.
pub(super) fn forwarding(l4: &L4) -> Forwarding {
    Forwarding::Tunnel(match l4.tunnel {
        Encapsulation::Ipip => Tunnel::Ipip,
        Encapsulation::Gre => Tunnel::Gre { checksum: Checksum::Absent },
    })
}

/// The weight that shapes the table. A weight of 0 takes a node out and moves no row, so 0 shapes as what was there before it.
pub(super) fn shape(said: u16, written: u16) -> NonZeroU32 {
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

/// One number for the tables of all services: where it is the same, every flow goes to the same node. 0 where the scheduler is not
/// foretold. FNV-1a over all that decides where a flow goes, since to fill a thousand tables takes longer than an operator, or
/// whoever asks for metrics, may keep a node from deciding.
pub(super) fn digest(wanted: &Wanted) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let at = |add: &mut dyn FnMut(&[u8]), ip: IpAddr, port: u16| {
        match ip {
            IpAddr::V4(address) => add(&address.octets()),
            IpAddr::V6(address) => add(&address.octets()),
        }
        add(&port.to_be_bytes());
    };
    for service in wanted.table.iter() {
        // The ways of checks move no client.
        let Key::Address { address, port, .. } = service.key else { continue };
        if service.settings.scheme(service.key.family(), wanted.size).is_none() {
            return 0;
        }
        at(&mut add, address, port);
        add(&service.settings.flags.bits().to_be_bytes());
        for one in &service.destinations {
            at(&mut add, one.endpoint.ip(), one.endpoint.port());
            add(&one.weight.get().to_be_bytes());
            add(&[one.taking.into()]);
        }
    }
    digest
}
