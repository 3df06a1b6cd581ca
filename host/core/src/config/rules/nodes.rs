//! Rules of nodes, their roles and their own listeners.

use super::Rules;
use crate::config::source::at;
use crate::config::{Fleet, Node, Role};

pub(super) fn check(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    if rules.source.names("nodes").next().is_none() && !rules.source.is_thinned(at![]) {
        let message = "the file has no node: add a section such as [nodes.NAME] with `roles = [\"l7\"]`";
        rules.key(at!["nodes"], message.to_owned());
    }
    for (name, node) in &fleet.nodes {
        roles(name, node, rules);
    }
    let (metrics, agent) = (fleet.metrics.listen, fleet.agent.listen);
    let same_address =
        metrics.ip() == agent.ip() || metrics.ip().is_unspecified() || agent.ip().is_unspecified();
    if fleet.metrics.enabled && metrics.port() == agent.port() && metrics.port() != 0 && same_address {
        let written = if rules.source.has(at!["metrics", "listen"]) { "metrics" } else { "agent" };
        let message = format!("metrics.listen and agent.listen are both on port {}", metrics.port());
        rules.value(at![written, "listen"], message);
    }
}

fn roles(name: &str, node: &Node, rules: &mut Rules<'_, '_, '_>) {
    let path = at!["nodes", name, "roles"];
    if node.roles.is_empty() && !rules.source.is_thinned(path) {
        rules.value(
            path,
            "a node without a role does nothing: write \"l4\", \"l7\", \"dns\" or \"agent\"".to_owned(),
        );
    }
    if node.has(Role::L4) && node.has(Role::L7) {
        let message = "a node cannot be l4 and l7: IPVS would schedule again what the tunnel has just delivered; \
                       use two nodes";
        rules.value(path, message.to_owned());
    }
    for (i, role) in node.roles.iter().enumerate() {
        let element = at!["nodes", name, "roles", i];
        if node.roles.iter().take(i).any(|earlier| earlier == role) {
            rules.value(element, format!("the role \"{}\" is written twice", role.as_str()));
        }
    }
}
