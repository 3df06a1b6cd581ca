//! A node's status as text for a terminal: what is wrong first, then who serves.

mod network;

use std::fmt::Write;

use weir_core::model::State;
use weir_wasm::{Kind, PluginStatus, Report};

use crate::dns;
use crate::status::{NodeStatus, PoolStatus};

/// The whole status, for `weir status`.
pub(crate) fn text(status: &NodeStatus) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} - weir {}, up {}, fleet {} ({})",
        status.node,
        status.version,
        duration(status.uptime_seconds),
        status.fleet.file,
        status.fleet.sha256.get(..12).unwrap_or(&status.fleet.sha256),
    );
    for trouble in troubles(status) {
        let _ = writeln!(out, "  ! {trouble}");
    }
    let proxy = &status.proxy;
    let _ = writeln!(
        out,
        "  {} workers, {} connections, {} requests in flight, {} accepted",
        proxy.workers, proxy.connections, proxy.in_flight, proxy.accepted
    );
    if !status.services.is_empty() {
        out.push('\n');
        let rows = status.services.iter().map(|s| {
            let health = if s.healthy { "serving" } else { "NOT SERVING" };
            vec![s.name.clone(), s.addresses.join(" "), s.pool.clone(), health.to_owned()]
        });
        table(&mut out, &["service", "addresses", "pool", "healthcheck"], rows);
    }
    for pool in &status.pools {
        out.push('\n');
        pool_text(&mut out, pool);
    }
    if let Some(dns) = &status.dns {
        out.push('\n');
        out.push_str(&dns::status::text(dns, |out, head, rows| table(out, head, rows.into_iter())));
    }
    network::text(&mut out, status);
    if !status.plugins.is_empty() {
        out.push('\n');
        out.push_str(&plugins(&status.plugins));
    }
    out
}

/// What needs somebody's attention, one sentence each; empty when all is well.
pub(crate) fn troubles(status: &NodeStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    if status.draining {
        troubles.push("this node is draining".to_owned());
    }
    if !status.agent.up {
        troubles
            .push(format!("this node's own agent says `{}`: /healthcheck answers 503", status.agent.line));
    }
    if let Some(error) = &status.fleet.last_reload_error {
        troubles.push(format!(
            "the fleet file was changed and refused, the old one is in force:\n{}",
            indent(error)
        ));
    }
    for change in &status.fleet.restart_needed {
        troubles.push(format!("takes effect after a restart: {change}"));
    }
    troubles.extend(status.dns.iter().flat_map(dns::status::troubles));
    troubles.extend(network::troubles(status));
    troubles.extend(status.plugin_directory_problem.clone());
    for plugin in &status.plugins {
        if plugin.state != "active" {
            let instead = match (plugin.serving, plugin.last_good) {
                (true, true) => "the last good version decides",
                (true, false) => "the version before decides",
                (false, _) => match plugin.world {
                    Kind::Scheduler => "weighted round robin decides",
                    Kind::AgentCheck => "checks are judged as without a plugin",
                    Kind::DnsAnswers => "all healthy addresses are answered",
                },
            };
            troubles.push(format!(
                "plugin {} is {}: {}; {instead}",
                plugin.instance, plugin.state, plugin.reason
            ));
        }
    }
    for pool in status.pools.iter().filter(|p| p.usable == 0) {
        troubles.push(format!("pool {} has no server that takes requests", pool.name));
    }
    troubles
}

/// The plugins, for `weir plugin list`.
pub(crate) fn plugins(list: &[PluginStatus]) -> String {
    let mut out = String::new();
    let rows = list.iter().map(|p| {
        let version = p.version.as_ref();
        let made = version.map_or_else(|| "-".to_owned(), |v| format!("{} {}", v.name, v.version));
        let hash = version.map_or("-", |v| v.sha256.get(..12).unwrap_or(&v.sha256)).to_owned();
        let call = version
            .filter(|v| v.self_test.questions > 0)
            .map_or_else(|| "-".to_owned(), |v| format!("{}/{} ns", v.self_test.p50_ns, v.self_test.p99_ns));
        vec![
            p.instance.clone(),
            p.file.clone(),
            p.world.as_str().to_owned(),
            p.state.to_owned(),
            made,
            hash,
            p.plan.unwrap_or("-").to_owned(),
            call,
            p.calls.to_string(),
            p.failures.values().sum::<u64>().to_string(),
        ]
    });
    let head =
        ["plugin", "file", "world", "state", "what", "sha256", "plan", "call p50/p99", "calls", "failures"];
    table(&mut out, &head, rows);
    for p in list {
        let error = p.last_error.as_ref().filter(|e| **e != p.reason);
        for line in [Some(&p.reason).filter(|r| !r.is_empty()), error].into_iter().flatten() {
            let _ = writeln!(out, "  {}: {line}", p.instance);
        }
    }
    out
}

/// What a plugin file is and does, for `weir plugin check`.
pub(crate) fn inspected(file: &str, report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{file}: {} bytes, sha256 {}", report.size, report.sha256);
    for step in &report.steps {
        let _ = writeln!(out, "  {:<12} {:>9.3} ms", step.name, step.ms);
    }
    if let Some(error) = &report.error {
        let _ = writeln!(out, "refused: {error}");
        return out;
    }
    let kind = report.kind.map_or("plugin", |k| k.as_str());
    let _ = writeln!(out, "ok: {kind} {} {}: {}", report.name, report.version, report.summary);
    let test = &report.self_test;
    let question = match report.kind {
        Some(Kind::AgentCheck) => "evaluate",
        Some(Kind::DnsAnswers) => "decide",
        Some(Kind::Scheduler) | None => "pick",
    };
    let mut figures: Vec<String> = report.plan.iter().map(|plan| format!("plan {plan}")).collect();
    if test.update_ns > 0 {
        figures.push(format!("update {:.1} us", ns(test.update_ns) / 1e3));
    }
    if test.questions > 0 {
        figures.push(format!("{question} {} ns (99 of 100 under {} ns)", test.p50_ns, test.p99_ns));
    }
    if test.golden_cases > 0 {
        figures.push(format!("{} golden cases", test.golden_cases));
    }
    figures.push(format!("memory {} KiB", report.memory_bytes / 1024));
    let _ = writeln!(out, "{}", figures.join(", "));
    out
}

#[allow(clippy::cast_precision_loss, reason = "a time for a person to read")]
fn ns(value: u64) -> f64 {
    value as f64
}

fn pool_text(out: &mut String, pool: &PoolStatus) {
    let by = match (&pool.scheduler, pool.plan) {
        (None, _) => "weighted round robin".to_owned(),
        (Some(plugin), "fallback") => format!("weighted round robin, in place of plugin {plugin}"),
        (Some(plugin), plan) => format!("plugin {plugin}, {plan}"),
    };
    let decided: Vec<_> =
        pool.decisions.iter().filter(|(_, n)| **n > 0).map(|(by, n)| format!("{by} {n}")).collect();
    let _ = writeln!(
        out,
        "pool {}: {} of {} servers take requests; {by}; decisions: {}",
        pool.name,
        pool.usable,
        pool.servers.len(),
        if decided.is_empty() { "none yet".to_owned() } else { decided.join(", ") },
    );
    let rows = pool.servers.iter().map(|s| {
        let state = if s.state == State::Up { "up".to_owned() } else { s.state.as_str().to_uppercase() };
        let weight = if s.weight == s.configured_weight {
            s.weight.to_string()
        } else {
            format!("{} (of {})", s.weight, s.configured_weight)
        };
        let answered: u64 = s.answers.values().sum();
        let errors = s.answers.get("5xx").copied().unwrap_or(0) + s.failures.values().sum::<u64>();
        let why = if s.reason.is_empty() { s.note.clone().unwrap_or_default() } else { s.reason.clone() };
        vec![
            s.name.clone(),
            s.address.clone(),
            format!("{state} {}", duration(s.state_seconds)),
            weight,
            s.in_flight.to_string(),
            format!("{:.2} ms", f64::from(s.latency_us) / 1000.0),
            answered.to_string(),
            errors.to_string(),
            why,
        ]
    });
    table(
        out,
        &["server", "address", "state", "weight", "busy", "latency", "answers", "errors", "why"],
        rows,
    );
}

/// Columns as wide as their widest cell, two spaces between them, two before the first.
fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> =
        std::iter::once(head.iter().map(|h| (*h).to_owned()).collect()).chain(rows).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|i| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:width$}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Two units at most: `45s`, `3m 5s`, `2h 0m`, `12d 4h`.
pub(crate) fn duration(seconds: u64) -> String {
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{m}m {}s", seconds % 60),
        3600..86_400 => format!("{h}h {}m", m % 60),
        _ => format!("{d}d {}h", h % 24),
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|l| format!("      {l}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let shown = [0, 59, 61, 3600, 90_061].map(duration);
        assert_eq!(shown, ["0s", "59s", "1m 1s", "1h 0m", "1d 1h"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = String::new();
        table(&mut out, &["a", "bb"], vec![vec!["long".to_owned(), "x".to_owned()]].into_iter());
        assert_eq!(out, "  a     bb\n  long  x\n");
    }
}
