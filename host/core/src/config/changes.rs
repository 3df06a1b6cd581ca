//! What differs between two fleet files for one node, and what it takes to apply it.
//!
//! Both files are compared as the trees that they would be written as, not field by field in code: a field that
//! is added to a section later is compared without anybody having to think of it, and is named as an operator
//! knows it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

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
/// Sections that the node does not use are left out: other nodes, and pools, services and plugins on a node without the
/// role `l7`. Live are pools, servers, checks, plugins, the log level, how to drain, and services on ports that
/// the node listens to; all else needs a restart.
pub fn changes(old: &Fleet, new: &Fleet, node: &str) -> Changes {
    let mut changes = Changes::default();
    let (before, after) = (old.nodes.get(node), new.nodes.get(node));
    let has = |role: Role| [before, after].into_iter().flatten().any(|node| node.has(role));

    let restart = &mut changes.restart_needed;
    difference(&format!("nodes.{node}"), &tree(&before), &tree(&after), restart);
    difference("paths", &tree(&old.paths), &tree(&new.paths), restart);
    difference("log.access", &tree(&old.log.access), &tree(&new.log.access), restart);
    difference("metrics", &tree(&old.metrics), &tree(&new.metrics), restart);
    difference("drain", &tree(&old.drain), &tree(&new.drain), &mut changes.live);
    difference("log.level", &tree(&old.log.level), &tree(&new.log.level), &mut changes.live);
    if has(Role::Agent) || has(Role::L7) {
        difference("agent", &tree(&old.agent), &tree(&new.agent), &mut changes.restart_needed);
    }
    if has(Role::L7) {
        difference("plugins", &tree(&old.plugins), &tree(&new.plugins), &mut changes.live);
        difference("pools", &tree(&old.pools), &tree(&new.pools), &mut changes.live);
        services(old, new, &mut changes);
    }
    changes
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
