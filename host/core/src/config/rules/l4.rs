//! Rules of the L4 tier: who needs which address, and what must be known of every l7 node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::{Rules, checks};
use crate::config::source::{Step, at};
use crate::config::{AddressFamily, CheckType, Fleet, L4, Name, Node, Period, Role, Service, Through};
use crate::desired::{MAX_ENTRIES, ServiceAddress};
use crate::l4::MAX_JOIN;

/// A host says every half second that it lives: a shorter hold would be over in between.
const MIN_HOST_HOLD: Duration = Duration::from_secs(2);

pub(super) fn check(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let l4: Vec<_> = with(fleet, Role::L4).collect();
    for (name, node) in &fleet.nodes {
        misplaced(name, node, rules);
    }
    addresses(fleet, rules);
    joins(fleet, !l4.is_empty(), rules);
    if l4.is_empty() {
        if rules.source.has(at!["l4"]) && !rules.source.is_thinned(at!["nodes"]) {
            let message = "the file has no l4 node: give one the role \"l4\", or take this section out";
            rules.key(at!["l4"], message.to_owned());
        }
        return;
    }
    tier(fleet, rules);
    settings(fleet, rules);
}

fn with(fleet: &Fleet, role: Role) -> impl Iterator<Item = (&Name, &Node)> {
    fleet.nodes.iter().filter(move |(_, node)| node.has(role))
}

/// Fields that mean nothing to a node of its roles. A node whose roles are wrong has been complained of.
fn misplaced(name: &str, node: &Node, rules: &mut Rules<'_, '_, '_>) {
    if rules.source.is_thinned(at!["nodes", name]) || rules.source.is_thinned(at!["nodes", name, "roles"]) {
        return;
    }
    for (field, role) in [("join", Role::L7), ("router-id", Role::L4)] {
        let path = at!["nodes", name, field];
        if rules.source.has(path) && !node.has(role) {
            let message = format!("`{field}` is for nodes with the role \"{}\": take it out", role.as_str());
            rules.key(path, message);
        }
    }
}

/// No address belongs to two: neither to two nodes, nor to a node and a service.
fn addresses(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let services: BTreeMap<IpAddr, &Name> = fleet
        .services
        .iter()
        .flat_map(|(name, service)| service.addresses.iter().map(move |address| (*address, name)))
        .collect();
    let l4 = with(fleet, Role::L4).next().is_some();
    let mut nodes: BTreeMap<IpAddr, &Name> = BTreeMap::new();
    for (name, node) in &fleet.nodes {
        for (i, address) in node.addresses.iter().enumerate() {
            let path = at!["nodes", name.as_str(), "addresses", i];
            if let Some(other) = nodes.insert(*address, name) {
                rules.value(path, format!("{address} is written twice; it is an address of node `{other}`"));
            }
            if let Some(service) = services.get(address).filter(|_| l4) {
                let message = format!(
                    "{address} is an address of service `{service}`, which every l4 and l7 node has: a node needs one of its own"
                );
                rules.value(path, message);
            }
        }
    }
}

/// Join numbers: every l7 node of a fleet with l4 nodes has one, and no two have the same.
fn joins(fleet: &Fleet, needed: bool, rules: &mut Rules<'_, '_, '_>) {
    let mut taken: BTreeMap<u32, &Name> = BTreeMap::new();
    let mut l7: Vec<_> = with(fleet, Role::L7).collect();
    // The later one in the file is the one to complain of.
    l7.sort_by_key(|(name, _)| rules.source.key(at!["nodes", name.as_str()]).start);
    let free = l7.iter().filter_map(|(_, node)| node.join).max().unwrap_or(0).saturating_add(1);
    for (name, node) in l7 {
        let path = at!["nodes", name.as_str(), "join"];
        match node.join {
            Some(join) => match taken.get(&join) {
                Some(other) => rules.value(
                    path,
                    format!("join number {join} is that of node `{other}`: every l7 node has its own, for ever; {free} is free"),
                ),
                None => {
                    taken.insert(join, name);
                }
            },
            None if needed && !rules.source.is_thinned(at!["nodes", name.as_str()]) => rules.key(
                path,
                format!("the l7 node `{name}` has no join number, by which l4 nodes keep the same order: write `join = {free}`"),
            ),
            None => {}
        }
    }
}

/// What the services of a fleet with l4 nodes ask of nodes.
fn tier(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let (mut families, mut announced) = (BTreeSet::new(), BTreeSet::new());
    for (name, service) in &fleet.services {
        let path = at!["services", name.as_str(), "addresses"];
        let thinned =
            rules.source.is_thinned(at!["services", name.as_str()]) || rules.source.is_thinned(path);
        if service.addresses.is_empty() && !thinned {
            let message = format!(
                "service `{name}` has no addresses: l4 nodes have to know what to announce; write `addresses`"
            );
            rules.key(path, message);
        }
        for (i, address) in service.addresses.iter().enumerate() {
            announced.insert(*address);
            if ServiceAddress(*address).check().is_err() {
                let message =
                    format!("{address} is not routed, and l4 nodes announce what is: write another address");
                rules.value(at!["services", name.as_str(), "addresses", i], message);
            }
        }
        families.extend(service.addresses.iter().map(|address| AddressFamily::of(*address)));
        health_path(fleet, name, service, rules);
    }
    if announced.len() > MAX_ENTRIES {
        let message = format!("{} addresses: an l4 node announces at most {MAX_ENTRIES}", announced.len());
        rules.key(at!["services"], message);
    }
    let nodes_are_whole = !rules.source.is_thinned(at!["nodes"]);
    if with(fleet, Role::L7).next().is_none() && nodes_are_whole {
        let message = "there are l4 nodes, but no l7 node that they could send connections to";
        rules.key(at!["nodes"], message.to_owned());
    }
    for (name, node) in fleet.nodes.iter().filter(|(_, node)| node.has(Role::L4) || node.has(Role::L7)) {
        let path = at!["nodes", name.as_str(), "addresses"];
        if rules.source.is_thinned(at!["nodes", name.as_str()]) || rules.source.is_thinned(path) {
            continue;
        }
        for family in families.iter().filter(|family| node.address(**family).is_none()) {
            let family = family.as_str();
            let message = format!(
                "node `{name}` has no {family} address, and there are services with {family} addresses: tunnels need one at both ends"
            );
            rules.key(path, message);
        }
    }
}

/// A check over HTTP has something to ask for.
fn health_path(fleet: &Fleet, name: &str, service: &Service, rules: &mut Rules<'_, '_, '_>) {
    let check = &fleet.l4.check;
    if check.kind == CheckType::Http && check.path.is_none() && service.healthcheck.path().is_none() {
        let message =
            "l4 nodes ask l7 nodes for this: write a path, or `path` in [l4.check], or type = \"tcp\" there";
        rules.value(at!["services", name, "healthcheck"], message.to_owned());
    }
}

fn settings(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let L4 { judge, quorum, timeouts, check, .. } = &fleet.l4;
    if let Some(judge) = judge {
        rules.refers(at!["l4", "judge"], judge, "plugins");
    }
    checks::check(at!["l4", "check"], &check.as_check(), rules);
    if check.through == Through::Tunnel {
        for (name, _) in fleet.nodes.iter().filter(|(_, node)| node.join.is_some_and(|join| join > MAX_JOIN))
        {
            let message = format!("checks through the tunnel take join numbers up to {MAX_JOIN} only");
            rules.value(at!["nodes", name.as_str(), "join"], message);
        }
    }
    if quorum.fall > quorum.rise {
        let message = format!(
            "an address would be announced with {} healthy nodes and withdrawn with fewer than {}: `fall` is at most `rise`",
            quorum.rise, quorum.fall
        );
        rules.value(at!["l4", "quorum", "fall"], message);
    }
    let nodes = with(fleet, Role::L7).count();
    if usize::from(quorum.rise) > nodes && nodes > 0 && !rules.source.is_thinned(at!["nodes"]) {
        let message = format!(
            "{} healthy l7 nodes are asked for, and there are {nodes}: nothing would be announced",
            quorum.rise
        );
        rules.value(at!["l4", "quorum", "rise"], message);
    }
    if *fleet.l4.host_hold < MIN_HOST_HOLD {
        let message = format!(
            "{} is over between two signs of life of a healthy node: write at least \"2s\"",
            fleet.l4.host_hold
        );
        rules.value(at!["l4", "host-hold"], message);
    }
    for (field, time) in [("tcp", timeouts.tcp), ("tcp-fin", timeouts.tcp_fin), ("udp", timeouts.udp)] {
        whole_seconds(at!["l4", "timeouts", field], time, rules);
    }
}

/// The kernel takes whole seconds, and 0 for "as before".
fn whole_seconds(path: &[Step<'_>], time: Period, rules: &mut Rules<'_, '_, '_>) {
    if *time < Duration::from_secs(1) || time.subsec_nanos() > 0 {
        rules.value(path, format!("{time} are no whole seconds: the kernel takes 1s, 2s and so on"));
    }
}
