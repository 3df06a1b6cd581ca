//! The way of a check that goes where clients' packets go: to a service address, through the tunnel to one l7 node.
//!
//! The service address is local on the l4 node, and the balancer would choose any l7 node. So the check's packets carry a firewall
//! mark, and a service of the balancer for that mark has this l7 node as its only destination. The mark is the node's join number
//! above [`FIRST`], the same on all l4 nodes. The socket is bound to the l4 node's own address, so that the answer, which comes from
//! the l7 node directly, finds its way; it comes from an address that is local here, which `accept_local` allows.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::layout::Layout;
use super::table::{forwarding, settings};
use crate::config::{Fleet, NodeCheck, Through};
use crate::desired::Sysctl;
use crate::ipvs::{Destination, Key, Marks, Service, Table, Thresholds};
use crate::maglev::Family;

/// Below the first mark: "WE" in the upper half.
const FIRST: u32 = 0x5745_0000;

/// The largest join number of a node that is checked through its tunnel.
pub const MAX_JOIN: u32 = 0xffff;

/// All marks that a check may carry. Nothing else on an l4 node may use them.
pub const MARKS: Marks = Marks { first: FIRST + 1, last: FIRST + MAX_JOIN };

/// What an l4 node relies on beside that: answers come from a service address, which is local.
const SYSCTLS: &[(&str, &str)] = &[
    ("net/ipv4/conf/all/accept_local", "1"),
    // Of `all` and the device the larger counts: a strict 1 of the device would drop the answers, 2 does not.
    ("net/ipv4/conf/all/rp_filter", "2"),
];

/// Where a check through a tunnel leaves the way of all other packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The l7 node's end of the tunnel.
    pub end: IpAddr,
    /// What its packets carry.
    pub mark: NonZeroU32,
}

impl Way {
    /// To the node with this join number; `None` where it has a larger one than there are marks.
    pub(super) fn new(end: IpAddr, join: u32) -> Option<Self> {
        let mark = NonZeroU32::new(FIRST + Some(join).filter(|join| (1..=MAX_JOIN).contains(join))?)?;
        Some(Self { end, mark })
    }

    fn key(self) -> Key {
        let family = if self.end.is_ipv4() { Family::V4 } else { Family::V6 };
        Key::Mark { family, mark: self.mark }
    }
}

/// The settings that checks rely on: none where they go to the nodes' own addresses.
pub(super) fn sysctls(check: &NodeCheck) -> Vec<Sysctl> {
    let all = match check.through {
        Through::Node => &[][..],
        Through::Tunnel => SYSCTLS,
    };
    all.iter().map(|(name, value)| Sysctl::new(*name, *value)).collect()
}

/// The services for all ways of a layout: none where checks go to the nodes' own addresses.
pub(super) fn services(fleet: &Fleet, layout: &Layout) -> Table {
    let mut table = Table::new();
    for way in layout.targets.iter().filter_map(|target| target.way) {
        let only = Destination {
            // Whatever port was asked for: a tunnel changes none.
            endpoint: SocketAddr::new(way.end, 0),
            weight: NonZeroU32::MIN,
            // Also of a node that is down, or nobody would ever know that it is back.
            taking: true,
            forwarding: forwarding(&fleet.l4),
            thresholds: Thresholds::default(),
        };
        let service = Service { key: way.key(), settings: settings(&fleet.l4), destinations: vec![only] };
        // One destination that is as every other: nothing that a kernel would refuse.
        let _ = table.put(service);
    }
    table
}
