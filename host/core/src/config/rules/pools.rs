//! Rules of pools, their checks and their servers.

use std::collections::HashMap;

use super::Rules;
use crate::config::source::{Step, at};
use crate::config::{Check, CheckType, Fleet, MAX_LABEL_BYTES, MAX_LABELS, Period, Pool, Server};
use crate::health::MIN_INTERVAL;
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
            health_check(name, check, rules);
        }
        if let Some(agent) = &pool.agent_check {
            not_a_loop(at!["pools", name.as_str(), "agent-check", "interval"], agent.interval, rules);
            if agent.send.len() > MAX_SEND {
                let message = format!("the text has {} bytes; at most {MAX_SEND} are sent", agent.send.len());
                rules.value(at!["pools", name.as_str(), "agent-check", "send"], message);
            }
        }
        servers(name, pool, rules);
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

fn health_check(name: &str, check: &Check, rules: &mut Rules<'_, '_, '_>) {
    let field =
        |field: &'static str| [Step::from("pools"), Step::from(name), Step::from("check"), Step::from(field)];
    if check.kind == CheckType::Tcp {
        for only_http in ["path", "host", "expect"] {
            if rules.source.has(&field(only_http)) {
                let message = format!(
                    "`{only_http}` means nothing to a check of type \"tcp\": take it out, or write type = \"http\""
                );
                rules.key(&field(only_http), message);
            }
        }
    }
    if let Some(host) = &check.host {
        let fits = (1..=255).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            rules.value(
                &field("host"),
                format!("`{host}` is no host name: 1 to 255 plain letters without space"),
            );
        }
    }
    not_a_loop(&field("interval"), check.interval, rules);
    if let Some(fast) = check.fast_interval {
        not_a_loop(&field("fast-interval"), fast, rules);
        if fast > check.interval {
            let message =
                format!("the fast interval, {fast}, is longer than the interval, {}", check.interval);
            rules.value(&field("fast-interval"), message);
        }
    }
    match check.timeout {
        Some(Period::ZERO) => {
            rules.value(
                &field("timeout"),
                "a timeout of zero fails every check: write a time such as \"1s\"".to_owned(),
            );
        }
        Some(timeout) if timeout > check.interval => {
            let message = format!(
                "the timeout, {timeout}, is longer than the interval, {}: the next check would begin before this one ended",
                check.interval
            );
            rules.value(&field("timeout"), message);
        }
        _ => {}
    }
}

fn not_a_loop(path: &[Step<'_>], interval: Period, rules: &mut Rules<'_, '_, '_>) {
    if *interval < MIN_INTERVAL {
        let message =
            format!("{interval} between checks is a load test: at least {}ms", MIN_INTERVAL.as_millis());
        rules.value(path, message);
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
        labels(at!["pools", name, "servers", i, "labels"], server, rules);
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

fn labels(path: &[Step<'_>], server: &Server, rules: &mut Rules<'_, '_, '_>) {
    let count = server.labels.len();
    if count > MAX_LABELS {
        rules.key(path, format!("{count} labels: a server has at most {MAX_LABELS}"));
    }
    for (label, value) in &server.labels {
        let label_path: Vec<Step<'_>> = path.iter().copied().chain([Step::from(label.as_str())]).collect();
        if label.is_empty() {
            rules.key(&label_path, "a label has a name".to_owned());
        }
        if label.len().max(value.len()) > MAX_LABEL_BYTES {
            let message = format!("a label's name and value have at most {MAX_LABEL_BYTES} bytes each");
            rules.key(&label_path, message);
        }
    }
}
