//! Rules of BGP: neighbors that can be reached, and told something.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Rules;
use crate::bgp::{AS_TRANS, MAX_COMMUNITIES};
use crate::config::source::at;
use crate::config::{Bgp, Fleet, MAX_NEIGHBORS, Name, Neighbor, Period, Role};

/// Faster than this the timers of a busy machine are not exact enough, and nobody is gone who is called so.
const MIN_BFD: Duration = Duration::from_millis(10);

/// The longest pause of a node that leaves: whoever waits an hour has forgotten that it goes on.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

pub(super) fn check(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let Some(bgp) = &fleet.bgp else { return };
    let l4: Vec<&Name> =
        fleet.nodes.iter().filter(|(_, node)| node.has(Role::L4)).map(|(name, _)| name).collect();
    if l4.is_empty() && !rules.source.is_thinned(at!["nodes"]) {
        let message =
            "l4 nodes speak BGP, and the file has none: give one the role \"l4\", or take this section out";
        rules.key(at!["bgp"], message.to_owned());
    }
    settings(bgp, rules);
    let mut names = BTreeMap::new();
    let mut addresses: BTreeMap<IpAddr, &Name> = BTreeMap::new();
    for (i, neighbor) in bgp.neighbors.iter().enumerate() {
        if names.insert(&neighbor.name, i).is_some() {
            let message = format!("a second neighbor `{}`", neighbor.name);
            rules.value(at!["bgp", "neighbors", i, "name"], message);
        }
        if let Some(other) = addresses.insert(neighbor.address, &neighbor.name) {
            let message = format!("{} is the address of neighbor `{other}` already", neighbor.address);
            rules.value(at!["bgp", "neighbors", i, "address"], message);
        }
        nodes(fleet, i, neighbor, rules);
        families(fleet, i, neighbor, rules);
        reach(bgp, i, neighbor, rules);
    }
    identifiers(fleet, bgp, rules);
}

fn settings(bgp: &Bgp, rules: &mut Rules<'_, '_, '_>) {
    not_reserved(at!["bgp", "as"], bgp.autonomous_system, rules);
    let hold = bgp.hold.get();
    let whole = hold.subsec_nanos() == 0 && hold.as_secs() <= u64::from(u16::MAX);
    if !whole || (hold > Duration::ZERO && hold < Duration::from_secs(3)) {
        let message = format!(
            "a hold time of {} cannot be proposed: write \"0s\", or whole seconds from \"3s\"",
            bgp.hold
        );
        rules.value(at!["bgp", "hold"], message);
    }
    let communities = bgp.communities.len() + bgp.large_communities.len();
    if communities > MAX_COMMUNITIES {
        let message = format!("{communities} communities: an announcement has at most {MAX_COMMUNITIES}");
        rules.key(at!["bgp", "communities"], message);
    }
    for (field, pause) in [("fade", bgp.fade), ("drain", bgp.drain)] {
        if pause.get() > MAX_PAUSE {
            rules.value(at!["bgp", field], format!("{pause} is longer than an hour"));
        }
    }
    if bgp.neighbors.len() > MAX_NEIGHBORS {
        let message = format!("{} neighbors: at most {MAX_NEIGHBORS} are allowed", bgp.neighbors.len());
        rules.key(at!["bgp", "neighbors"], message);
    }
    if bgp.neighbors.is_empty() && !rules.source.is_thinned(at!["bgp", "neighbors"]) {
        rules
            .key(at!["bgp", "neighbors"], "there is nobody to announce to: add [[bgp.neighbors]]".to_owned());
    }
}

fn not_reserved(path: &[crate::config::source::Step<'_>], number: u32, rules: &mut Rules<'_, '_, '_>) {
    if number == u32::from(AS_TRANS) || number == u32::MAX || number == u32::from(u16::MAX) {
        rules.value(path, format!("AS {number} is reserved and belongs to nobody"));
    }
}

/// The nodes of a neighbor exist, are l4 nodes and can connect to it.
fn nodes(fleet: &Fleet, i: usize, neighbor: &Neighbor, rules: &mut Rules<'_, '_, '_>) {
    not_reserved(at!["bgp", "neighbors", i, "as"], neighbor.autonomous_system, rules);
    let path = at!["bgp", "neighbors", i, "nodes"];
    let Some(nodes) = &neighbor.nodes else { return };
    if nodes.is_empty() && !rules.source.is_thinned(path) {
        rules.value(
            path,
            "no node has this neighbor: write the names of l4 nodes, or leave it out for all".to_owned(),
        );
    }
    for (j, name) in nodes.iter().enumerate() {
        let place = at!["bgp", "neighbors", i, "nodes", j];
        if nodes.iter().take(j).any(|earlier| earlier == name) {
            rules.value(place, format!("node `{name}` is written twice"));
            continue;
        }
        rules.refers(place, name, "nodes");
        if fleet.nodes.get(name).is_some_and(|node| !node.has(Role::L4))
            && !rules.source.is_thinned(at!["nodes", name.as_str()])
        {
            rules.value(place, format!("node `{name}` has not the role \"l4\", so it announces nothing"));
        }
    }
}

/// What a neighbor is told has a next hop on every node that tells it, and the session has an end there.
fn families(fleet: &Fleet, i: usize, neighbor: &Neighbor, rules: &mut Rules<'_, '_, '_>) {
    let path = at!["bgp", "neighbors", i, "families"];
    let families = neighbor.families();
    if families.is_empty() && !rules.source.is_thinned(path) {
        rules.value(path, "a neighbor that is told nothing: write \"ipv4\", \"ipv6\" or both".to_owned());
    }
    let mut needed = families.clone();
    needed.push(crate::config::AddressFamily::of(neighbor.address));
    needed.sort_unstable();
    needed.dedup();
    if families.len() > 2 || (families.len() == 2 && families.first() == families.last()) {
        rules.value(path, "a family is written twice".to_owned());
    }
    for (name, node) in fleet.nodes.iter().filter(|(name, node)| node.has(Role::L4) && neighbor.is_of(name)) {
        if rules.source.is_thinned(at!["nodes", name.as_str()])
            || rules.source.is_thinned(at!["nodes", name.as_str(), "addresses"])
        {
            continue;
        }
        for family in needed.iter().filter(|family| node.address(**family).is_none()) {
            let message = format!(
                "node `{name}` has no {} address for neighbor `{}`: add one, or leave the node or the family out there",
                family.as_str(),
                neighbor.name
            );
            rules.key(at!["nodes", name.as_str(), "addresses"], message);
        }
    }
}

/// Distance and detection fit together.
fn reach(bgp: &Bgp, i: usize, neighbor: &Neighbor, rules: &mut Rules<'_, '_, '_>) {
    let Some(bfd) = &neighbor.bfd else { return };
    if neighbor.multihop.is_some() {
        let message = "BFD here is for a neighbor on the same link: take `multihop` or `bfd` out";
        rules.key(at!["bgp", "neighbors", i, "bfd"], message.to_owned());
    }
    if bfd.interval.get() < MIN_BFD || bfd.interval.get() > Duration::from_secs(60) {
        let message = format!("{} between packets of BFD: write 10ms to 60s", bfd.interval);
        rules.value(at!["bgp", "neighbors", i, "bfd", "interval"], message);
    } else if bgp.hold > Period::ZERO && bfd.detection() >= bgp.hold.get() {
        let message = format!(
            "BFD would take {:?}, no less than the hold time, {}: make it faster, or take it out",
            bfd.detection(),
            bgp.hold
        );
        rules.value(at!["bgp", "neighbors", i, "bfd"], message);
    }
}

/// Every node that speaks has an identifier, and no two the same.
fn identifiers(fleet: &Fleet, bgp: &Bgp, rules: &mut Rules<'_, '_, '_>) {
    let mut taken = BTreeMap::new();
    let speaks = |name: &str| bgp.neighbors.iter().any(|neighbor| neighbor.is_of(name));
    for (name, node) in fleet.nodes.iter().filter(|(name, node)| node.has(Role::L4) && speaks(name)) {
        let thinned = rules.source.is_thinned(at!["nodes", name.as_str()])
            || rules.source.is_thinned(at!["nodes", name.as_str(), "addresses"]);
        match node.router_id() {
            None if thinned => {}
            None => {
                let message = format!(
                    "node `{name}` has no IPv4 address that could be its BGP identifier: write `router-id`, any IPv4 address that no other has"
                );
                rules.key(at!["nodes", name.as_str(), "router-id"], message);
            }
            Some(id) if id.is_unspecified() => {
                rules.value(at!["nodes", name.as_str(), "router-id"], "0.0.0.0 identifies nobody".to_owned());
            }
            Some(id) => {
                if let Some(other) = taken.insert(id, name) {
                    let message = format!("{id} is the BGP identifier of node `{other}` already");
                    rules.value(at!["nodes", name.as_str(), "router-id"], message);
                }
            }
        }
    }
}
