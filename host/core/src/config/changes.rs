//! What differs between two fleet files for one node, and what it takes to apply it.
//!
//! Both files are compared as the trees that they would be written as, not field by field in code: a field that
//! is added to a section later is compared without anybody having to think of it, and is named as an operator
//! knows it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Fleet, Role};

/// The longest value that is shown in a difference, characters.
const MAX_SHOWN: usize = 60;

/// The differences that concern a node, one line each, such as `pools.web.retries: 2 -> 3`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// Can be applied to the running node.
    pub live: Vec<String>,
    /// Need a restart.
    pub restart_needed: Vec<String>,
}

impl Changes {
    /// Whether nothing differs for this node.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart_needed.is_empty()
    }
}

/// Compares two files for the node with this name.
///
/// Sections that the node does not use are left out: pools without the role `l7`, services without `l7` or `l4`, `l4` and `bgp` without
/// `l4`, `dns` without `dns`, plugins without any of them, and other nodes but those at the other ends of tunnels. Live are pools,
/// servers, checks, plugins, the log level, how to drain, services on ports that the node listens to, all of the L4 tier, and
/// most of `dns`; all else needs a restart.
pub fn changes(old: &Fleet, new: &Fleet, node: &str) -> Changes {
    let mut changes = Changes::default();
    let (before, after) = (old.nodes.get(node), new.nodes.get(node));
    let has = |role: Role| [before, after].into_iter().flatten().any(|node| node.has(role));

    let has_tier = |fleet: &Fleet| fleet.nodes.values().any(|node| node.has(Role::L4));
    let tier = has_tier(old) || has_tier(new);
    if has(Role::L7) && !has(Role::L4) && !has_tier(old) && has_tier(new) {
        // The processes of a node without a network side have no power over the network.
        let line = "the first l4 node of the fleet: tunnels and service addresses of this node";
        changes.restart_needed.push(line.to_owned());
    }
    nodes(old, new, node, tier && (has(Role::L4) || has(Role::L7)), &mut changes);
    let restart = &mut changes.restart_needed;
    difference("paths", &tree(&old.paths), &tree(&new.paths), restart);
    difference("log.access", &tree(&old.log.access), &tree(&new.log.access), restart);
    difference("metrics", &tree(&old.metrics), &tree(&new.metrics), restart);
    difference("drain", &tree(&old.drain), &tree(&new.drain), &mut changes.live);
    difference("log.level", &tree(&old.log.level), &tree(&new.log.level), &mut changes.live);
    if has(Role::Agent) || has(Role::L7) {
        difference("agent", &tree(&old.agent), &tree(&new.agent), &mut changes.restart_needed);
    }
    if has(Role::Dns) {
        dns(&tree(&old.dns), &tree(&new.dns), &mut changes);
    }
    if has(Role::L4) || has(Role::L7) || has(Role::Dns) {
        difference("plugins", &tree(&old.plugins), &tree(&new.plugins), &mut changes.live);
    }
    if has(Role::L4) {
        for (section, was, is) in [
            ("services", tree(&old.services), tree(&new.services)),
            ("l4", tree(&old.l4), tree(&new.l4)),
            ("bgp", tree(&old.bgp), tree(&new.bgp)),
        ] {
            difference(section, &was, &is, &mut changes.live);
        }
    }
    if has(Role::L7) {
        if tier {
            // Of the rest of the section an l7 node has little use.
            for (name, was, is) in [
                ("l4.tunnel", tree(&old.l4.tunnel), tree(&new.l4.tunnel)),
                ("l4.second-chance", tree(&old.l4.second_chance), tree(&new.l4.second_chance)),
            ] {
                difference(name, &was, &is, &mut changes.live);
            }
        }
        difference("pools", &tree(&old.pools), &tree(&new.pools), &mut changes.live);
        services(old, new, &mut changes);
    }
    changes
}

/// What nodes are: roles and threads last as long as the process, the network side is made anew with each change. Of other nodes only
/// those at the other ends of tunnels concern a node, and only where it has tunnels (`tunnels`).
fn nodes(old: &Fleet, new: &Fleet, node: &str, tunnels: bool, changes: &mut Changes) {
    let (was, is) = (tree(&old.nodes.get(node)), tree(&new.nodes.get(node)));
    match (&was, &is) {
        (Value::Object(fields), Value::Object(_)) => {
            for name in fields.keys() {
                let lines = match name.as_str() {
                    "addresses" | "join" | "weight" | "router-id" => &mut changes.live,
                    _ => &mut changes.restart_needed,
                };
                let side = |node: &Value| node.get(name).cloned().unwrap_or_default();
                difference(&format!("nodes.{node}.{name}"), &side(&was), &side(&is), lines);
            }
        }
        _ => difference(&format!("nodes.{node}"), &was, &is, &mut changes.restart_needed),
    }
    if !tunnels {
        return;
    }
    let names: BTreeSet<_> =
        old.nodes.keys().chain(new.nodes.keys()).filter(|name| name.as_str() != node).collect();
    for name in names {
        let has_end = |fleet: &Fleet| {
            fleet.nodes.get(name).filter(|node| node.has(Role::L4) || node.has(Role::L7)).cloned()
        };
        difference(&format!("nodes.{name}"), &tree(&has_end(old)), &tree(&has_end(new)), &mut changes.live);
    }
}

/// Threads of the DNS server have their sockets and their log for as long as they live; all else is swapped under them.
fn dns(old: &Value, new: &Value, changes: &mut Changes) {
    let names = old.as_object().into_iter().flat_map(|section| section.keys());
    for name in names {
        let side = |section: &Value| section.get(name).cloned().unwrap_or_default();
        match (name.as_str(), side(old), side(new)) {
            ("tls", Value::Object(was), Value::Object(is)) => tls(&was, &is, changes),
            ("tls", was, is) => difference("dns.tls", &was, &is, &mut changes.restart_needed),
            ("listen" | "tcp" | "query-log", was, is) => {
                difference(&format!("dns.{name}"), &was, &is, &mut changes.restart_needed);
            }
            (_, was, is) => difference(&format!("dns.{name}"), &was, &is, &mut changes.live),
        }
    }
}

/// Certificates are swapped under the listeners.
fn tls(old: &Map<String, Value>, new: &Map<String, Value>, changes: &mut Changes) {
    for (name, was) in old {
        let lines = match name.as_str() {
            "certificate" | "key" => &mut changes.live,
            _ => &mut changes.restart_needed,
        };
        difference(&format!("dns.tls.{name}"), was, new.get(name).unwrap_or(&Value::Null), lines);
    }
}

fn services(old: &Fleet, new: &Fleet, changes: &mut Changes) {
    let ports =
        |fleet: &Fleet| fleet.services.values().map(|service| service.port).collect::<BTreeSet<u16>>();
    let (before, after) = (ports(old), ports(new));
    for port in after.difference(&before) {
        changes.restart_needed.push(format!("port {port}: a listener has to be opened"));
    }
    for port in before.difference(&after) {
        changes.restart_needed.push(format!("port {port}: the listener stays open until then"));
    }
    let names: BTreeSet<_> = old.services.keys().chain(new.services.keys()).collect();
    for name in names {
        let (was, is) = (old.services.get(name), new.services.get(name));
        // Nobody can be served on a port without a listener, so nothing of such a service is live.
        let listened = is.is_none_or(|service| before.contains(&service.port));
        let lines = if listened { &mut changes.live } else { &mut changes.restart_needed };
        difference(&format!("services.{name}"), &tree(&was), &tree(&is), lines);
    }
}

/// The value as it would be written. Sections are plain data, for which writing cannot fail.
fn tree(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Adds a line for each leaf that differs.
fn difference(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(was), Value::Object(is)) => {
            let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for name in names {
                let side = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                difference(&format!("{path}.{name}"), &side(was), &side(is), lines);
            }
        }
        (Value::Array(was), Value::Array(is)) => match (by_name(was), by_name(is)) {
            (Some(was), Some(is)) => {
                let known: Vec<&str> = was.iter().map(|(name, _)| *name).collect();
                let kept = |list: &[(&str, &Value)], other: &BTreeMap<&str, &Value>| {
                    list.iter()
                        .map(|(name, _)| (*name).to_owned())
                        .filter(|n| other.contains_key(n.as_str()))
                        .collect::<Vec<_>>()
                };
                let (was_map, is_map): (BTreeMap<_, _>, BTreeMap<_, _>) =
                    (was.iter().copied().collect(), is.iter().copied().collect());
                if kept(&was, &is_map) != kept(&is, &was_map) {
                    lines.push(format!("{path}: another order"));
                }
                let added = is.iter().map(|(name, _)| *name).filter(|name| !was_map.contains_key(name));
                for name in known.into_iter().chain(added) {
                    let side =
                        |map: &BTreeMap<&str, &Value>| map.get(name).map_or(Value::Null, |v| (*v).clone());
                    difference(&format!("{path}.{name}"), &side(&was_map), &side(&is_map), lines);
                }
            }
            _ => lines.push(leaf(path, old, new)),
        },
        (Value::Null, Value::Object(_)) => lines.push(format!("{path}: added")),
        (Value::Object(_), Value::Null) => lines.push(format!("{path}: removed")),
        _ => lines.push(leaf(path, old, new)),
    }
}

/// A list of things that have a name, by name.
fn by_name(list: &[Value]) -> Option<Vec<(&str, &Value)>> {
    list.iter().map(|value| Some((value.get("name")?.as_str()?, value))).collect()
}

fn leaf(path: &str, old: &Value, new: &Value) -> String {
    let show = |value: &Value| match value {
        Value::Null => "absent".to_owned(),
        value => value.to_string(),
    };
    let (was, is) = (show(old), show(new));
    if was.chars().count().max(is.chars().count()) > MAX_SHOWN {
        format!("{path}: changed")
    } else {
        format!("{path}: {was} -> {is}")
    }
}
