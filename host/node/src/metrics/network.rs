//! Numbers of the network side: sidecar, announcements, neighbors.

use std::fmt::Error;

use weir_core::bgp;
use weir_core::desired::Part;
use weir_core::desired::speaker::NeighborStatus;
use weir_core::l4::CheckStatus;
use weir_core::model::State;

use super::{Out, float};
use crate::status::NodeStatus;

const PARTS: [Part; 6] =
    [Part::Sysctl, Part::Tunnel, Part::Address, Part::Ipvs, Part::Redirect, Part::Speaker];

pub(super) fn encode(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    sidecar(out, status)?;
    balancing(out, status)?;
    neighbors(out, status)
}

fn sidecar(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    let network = status.network.as_ref();
    let observed = network.and_then(|n| n.observed.as_ref());
    let answers = network.map(|n| (vec![], yes(n.sidecar.is_none())));
    out.gauges("sidecar_connected", "Whether the sidecar answers", answers)?;
    let differences = observed.into_iter().flat_map(|o| {
        let count = |part: Part| o.differences.iter().filter(|d| d.part == part).count() as u64;
        PARTS.map(|part| (vec![("part", part.as_str())], float(count(part))))
    });
    out.gauges(
        "network_differences",
        "What is otherwise than it should be, and cannot be changed",
        differences,
    )?;
    let changes = observed.into_iter().flat_map(|o| {
        let c = &o.counters;
        [("wanted", c.changed), ("corrected", c.corrected), ("refused", c.refused)]
            .map(|(kind, value)| (vec![("kind", kind)], value))
    });
    out.counters("network_changes", "Changes of the kernel since the sidecar started", changes)?;
    let handed_on = observed.map(|o| (vec![], o.counters.handed_on));
    out.counters(
        "handed_on_packets",
        "Packets of no connection of this node that were handed on to another L7 node",
        handed_on,
    )
}

fn balancing(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    let Some(l4) = &status.l4 else {
        out.gauges("l4_announced", ANNOUNCED, [])?;
        out.gauges("l4_nodes_taking", TAKING, [])?;
        out.gauges("l4_check_up", CHECK_UP, [])?;
        return out.gauges("l4_check_untried", CHECK_UNTRIED, []);
    };
    let addresses: Vec<_> = l4.addresses.iter().map(|a| (a.address.to_string(), a)).collect();
    let each = |value: fn(&weir_core::l4::AddressStatus) -> f64| {
        addresses.iter().map(move |(name, a)| (vec![("address", name.as_str())], value(a)))
    };
    out.gauges("l4_announced", ANNOUNCED, each(|a| yes(a.announced)))?;
    out.gauges("l4_nodes_taking", TAKING, each(|a| float(a.taking as u64)))?;
    let checks = |value: fn(&CheckStatus) -> bool| {
        l4.nodes.iter().flat_map(move |node| {
            node.checks.iter().map(move |check| {
                let labels = vec![("node", node.name.as_str()), ("target", check.target.as_str())];
                (labels, yes(value(check)))
            })
        })
    };
    out.gauges("l4_check_up", CHECK_UP, checks(|check| check.state == State::Up))?;
    out.gauges("l4_check_untried", CHECK_UNTRIED, checks(|check| check.untried))
}

const ANNOUNCED: &str = "Whether routers are to be told of the address";
const TAKING: &str = "L7 nodes that take connections to the address";
const CHECK_UNTRIED: &str = "Whether the last check of the L7 node could not even be tried";
const CHECK_UP: &str = "Whether the L7 node takes connections as far as this check of it goes";

fn neighbors(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    let observed = status.network.as_ref().and_then(|n| n.observed.as_ref());
    let neighbors: &[NeighborStatus] =
        observed.and_then(|o| o.speaker.as_ref()).map(|s| s.neighbors.as_slice()).unwrap_or_default();
    let name = |n: &NeighborStatus| n.name.clone();
    let names: Vec<String> = neighbors.iter().map(name).collect();
    let each = |value: fn(&NeighborStatus) -> u64| {
        names.iter().zip(neighbors).map(move |(name, n)| (vec![("neighbor", name.as_str())], value(n)))
    };
    let up = each(|n| u64::from(n.state == bgp::State::Established)).map(|(labels, up)| (labels, float(up)));
    out.gauges("bgp_session_up", "Whether the session is established", up)?;
    let told = each(|n| (n.announced_v4 + n.announced_v6) as u64).map(|(labels, told)| (labels, float(told)));
    out.gauges("bgp_prefixes_announced", "Prefixes that the neighbor was told", told)?;
    out.counters("bgp_session_downs", "Established sessions that ended", each(|n| n.downs))?;
    out.counters(
        "bfd_downs",
        "Times that BFD found the neighbor gone",
        each(|n| n.bfd.map_or(0, |b| b.downs)),
    )
}

fn yes(is: bool) -> f64 {
    f64::from(u8::from(is))
}
