//! The network side of a node as text: what it announces, who serves, and whom it speaks with.

use std::fmt::Write;

use weir_core::bgp;
use weir_core::desired::speaker;
use weir_core::l4::{self, Announcing};
use weir_core::model::State;

use super::{duration, table};
use crate::status::{JudgeStatus, NetworkStatus, NodeStatus};

/// Everything about it, for `weir status`.
pub(super) fn text(out: &mut String, status: &NodeStatus) {
    if let Some(l4) = &status.l4 {
        balancing(out, l4, status.l4_judge.as_ref());
    }
    let Some(network) = &status.network else { return };
    let Some(observed) = &network.observed else { return };
    out.push('\n');
    let (done, differ) = (observed.counters.changed, observed.differences.len());
    let mode = if observed.observe_only { ", changes nothing" } else { "" };
    let _ = writeln!(
        out,
        "sidecar{mode}: {done} changes, {} corrections, {} refusals, {differ} differences",
        observed.counters.corrected, observed.counters.refused
    );
    if observed.counters.handed_on > 0 {
        let count = observed.counters.handed_on;
        let _ = writeln!(
            out,
            "second chance: {count} packets of no connection of this node handed on to another l7 node"
        );
    }
    if let Some(speaker) = &observed.speaker {
        neighbors(out, speaker);
    }
}

fn balancing(out: &mut String, l4: &l4::Status, judge: Option<&JudgeStatus>) {
    out.push('\n');
    let rows = l4.addresses.iter().map(|a| {
        let said = if a.announced { "announced" } else { "not announced" };
        vec![
            a.address.to_string(),
            said.to_owned(),
            format!("{} of {}", a.taking, a.nodes),
            a.needed.to_string(),
        ]
    });
    table(out, &["service address", "routers", "l7 nodes", "needed"], rows);
    out.push('\n');
    let rows = l4.nodes.iter().flat_map(|node| {
        node.checks.iter().map(|check| {
            let state = match check.state {
                State::Up => "up".to_owned(),
                state => state.as_str().to_uppercase(),
            };
            let takes = if check.taking { "takes connections" } else { "TAKES NONE" };
            vec![
                node.name.clone(),
                node.join.to_string(),
                node.weight.to_string(),
                check.target.strip_prefix(&node.name).unwrap_or(&check.target).trim_start().to_owned(),
                check.through.as_str().to_owned(),
                state,
                takes.to_owned(),
                check.judge.clone().unwrap_or_else(|| "-".to_owned()),
                check.why.clone(),
            ]
        })
    });
    let head = ["l7 node", "join", "weight", "checked", "through", "state", "", "judge", "why"];
    table(out, &head, rows);
    if let Some(judge) = judge {
        let _ = writeln!(
            out,
            "judge {}: {} observations decided, {} failed, {} decided without it",
            judge.plugin, judge.decided, judge.failed, judge.nobody
        );
    }
    if let Some(digest) = l4.table {
        let _ =
            writeln!(out, "table {digest:016x}: l4 nodes with the same one send a flow to the same l7 node");
    }
}

fn neighbors(out: &mut String, speaker: &speaker::Status) {
    out.push('\n');
    let rows = speaker.neighbors.iter().map(|n| {
        vec![
            n.name.clone(),
            n.address.to_string(),
            n.peer_as.to_string(),
            n.state.as_str().to_owned(),
            duration(n.state_for.as_secs()),
            format!("{}+{}", n.announced_v4, n.announced_v6),
            n.bfd.map_or("-", |bfd| bfd.state.as_str()).to_owned(),
            n.last_error.clone().unwrap_or_default(),
        ]
    });
    let head = ["neighbor", "address", "as", "session", "for", "told v4+v6", "bfd", "last error"];
    table(out, &head, rows);
}

/// What needs somebody's attention.
pub(super) fn troubles(status: &NodeStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    if let Some(network) = &status.network {
        sidecar(network, &mut troubles);
    }
    let Some(l4) = &status.l4 else { return troubles };
    match l4.announcing {
        Announcing::Yes => {
            for a in l4.addresses.iter().filter(|a| !a.announced) {
                troubles.push(format!(
                    "{} is not announced: {} of {} l7 nodes take connections, {} are needed",
                    a.address, a.taking, a.nodes, a.needed
                ));
            }
        }
        _ => troubles.push(format!("this node announces nothing: {}", l4.why)),
    }
    let untried = l4.nodes.iter().flat_map(|node| &node.checks).filter(|check| check.untried);
    let (count, first) = (untried.clone().count(), untried.clone().next());
    if let Some(check) = first {
        troubles.push(format!(
            "{count} checks of l7 nodes cannot be tried, what is known is old: {}: {}",
            check.target, check.why
        ));
    }
    for name in &l4.silent_neighbors {
        troubles.push(format!("neighbor {name} is not spoken to: its password-file holds no secret that can be used, see the log"));
    }
    troubles
}

fn sidecar(network: &NetworkStatus, troubles: &mut Vec<String>) {
    if let Some(problem) = &network.sidecar {
        troubles.push(format!("the sidecar does not answer, the kernel keeps what it has: {problem}"));
    }
    if let Some(why) = &network.refused {
        troubles.push(format!("the sidecar refuses what this node wants: {why}"));
    }
    let Some(observed) = &network.observed else { return };
    if observed.host_is_silent {
        troubles.push(
            "the sidecar has withdrawn what was announced: nobody decided for as long as l4.host-hold"
                .to_owned(),
        );
    }
    for difference in &observed.differences {
        troubles.push(format!("{}: {}", difference.part.as_str(), difference.what));
    }
    if let Some(speaker) = &observed.speaker {
        speaking(speaker, troubles);
    }
}

fn speaking(speaker: &speaker::Status, troubles: &mut Vec<String>) {
    for n in speaker.neighbors.iter().filter(|n| n.state != bgp::State::Established) {
        let why = n.last_error.as_deref().unwrap_or("nothing was heard of it yet");
        troubles.push(format!("no session with {} ({}): {why}", n.name, n.address));
    }
    // The session is up, and the routes of a whole family go nowhere.
    for n in &speaker.neighbors {
        for family in n.session.iter().flat_map(|session| &session.lacking) {
            troubles.push(format!(
                "neighbor {} does not speak {}: turn the family on at its end, or take it out of `families`",
                n.name,
                family.as_str()
            ));
        }
    }
    for l in &speaker.listeners {
        if let Some(error) = &l.error {
            troubles.push(format!("neighbors cannot connect to {}: {error}", l.address));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_family_that_a_neighbor_did_not_turn_on_is_trouble_though_the_session_is_up() {
        let up = |name: &str, lacking: &[bgp::Family]| speaker::NeighborStatus {
            name: name.to_owned(),
            address: Ipv4Addr::new(192, 0, 2, 254).into(),
            peer_as: 65_000,
            state: bgp::State::Established,
            state_for: Duration::from_secs(60),
            session: Some(speaker::Session {
                peer_id: Ipv4Addr::new(192, 0, 2, 254),
                hold: None,
                families: vec![bgp::Family::Ipv4],
                lacking: lacking.to_vec(),
                four_octet_as: true,
                incoming: false,
            }),
            ups: 1,
            downs: 0,
            received: bgp::Received::default(),
            announced_v4: 1,
            announced_v6: 0,
            last_error: None,
            bfd: None,
        };
        let neighbors = vec![up("rr1", &[bgp::Family::Ipv6]), up("rr2", &[])];
        let mut troubles = Vec::new();
        speaking(&speaker::Status { neighbors, ..speaker::Status::default() }, &mut troubles);
        let expected =
            "neighbor rr1 does not speak IPv6: turn the family on at its end, or take it out of `families`";
        assert_eq!(troubles, [expected]);
    }
}
