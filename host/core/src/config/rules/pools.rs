//! Rules of pools, their checks and their servers.

use std::collections::HashMap;

use super::{Rules, checks, labels};
use crate::config::source::{Step, at};
use crate::config::{Fleet, Period, Pool, Server};
use crate::model::MAX_SERVERS;

/// The longest text that is sent to an agent, bytes: HAProxy reads its `agent-send` from a line of no more.
const MAX_SEND: usize = 1024;

pub(super) fn check(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    for (name, pool) in &fleet.pools {
        if let Some(scheduler) = &pool.scheduler {
            rules.refers(at!["pools", name.as_str(), "scheduler"], scheduler, "plugins");
        }
        timeouts(name, pool, rules);
        if let Some(check) = &pool.check {
            checks::check(at!["pools", name.as_str(), "check"], check, rules);
        }
        if let Some(agent) = &pool.agent_check {
            checks::not_a_loop(at!["pools", name.as_str(), "agent-check", "interval"], agent.interval, rules);
            if agent.send.len() > MAX_SEND {
                let message = format!("the text has {} bytes; at most {MAX_SEND} are sent", agent.send.len());
                rules.value(at!["pools", name.as_str(), "agent-check", "send"], message);
            }
        }
        judge(name, pool, rules);
        servers(name, pool, rules);
    }
}

fn judge(name: &str, pool: &Pool, rules: &mut Rules<'_, '_, '_>) {
    let Some(judge) = &pool.judge else { return };
    rules.refers(at!["pools", name, "judge"], judge, "plugins");
    let thinned = |part: &str| rules.source.is_thinned(at!["pools", name, part]);
    if pool.check.is_none() && pool.agent_check.is_none() && !thinned("check") && !thinned("agent-check") {
        let message = format!(
            "there is nothing to judge: add [pools.{name}.check] or [pools.{name}.agent-check], or take it out"
        );
        rules.key(at!["pools", name, "judge"], message);
    }
}

fn timeouts(name: &str, pool: &Pool, rules: &mut Rules<'_, '_, '_>) {
    let t = &pool.timeouts;
    for (field, time) in
        [("connect", t.connect), ("response", t.response), ("read", t.read), ("write", t.write)]
    {
        if time == Period::ZERO {
            let message =
                format!("a {field} timeout of zero fails every request: write a time such as \"5s\"");
            rules.value(at!["pools", name, "timeouts", field], message);
        }
    }
}

fn servers(name: &str, pool: &Pool, rules: &mut Rules<'_, '_, '_>) {
    let count = pool.servers.len();
    if count == 0 && !rules.source.is_thinned(at!["pools", name, "servers"]) {
        rules.value(
            at!["pools", name, "servers"],
            format!("the pool has no server: add [[pools.{name}.servers]]"),
        );
    }
    if count > MAX_SERVERS {
        rules
            .key(at!["pools", name, "servers"], format!("{count} servers: a pool has at most {MAX_SERVERS}"));
    }
    let mut first = HashMap::new();
    for (i, server) in pool.servers.iter().enumerate() {
        if rules.faults.is_full() {
            break;
        }
        if let Some(earlier) = first.insert(server.name.as_str(), i) {
            first.insert(server.name.as_str(), earlier);
            let line = rules.line(at!["pools", name, "servers", earlier, "name"]);
            let message =
                format!("a second server `{}` in this pool; the first is in line {line}", server.name);
            rules.value(at!["pools", name, "servers", i, "name"], message);
        }
        address(at!["pools", name, "servers", i, "address"], server, rules);
        labels::check(at!["pools", name, "servers", i, "labels"], &server.labels, "a server", rules);
    }
}

fn address(path: &[Step<'_>], server: &Server, rules: &mut Rules<'_, '_, '_>) {
    let address = server.address;
    if address.port() == 0 {
        rules.value(path, format!("`{address}` has port 0, which nobody listens on"));
    }
    if address.ip().is_unspecified() || address.ip().is_multicast() {
        rules.value(path, format!("`{address}` is not the address of one server"));
    }
}
