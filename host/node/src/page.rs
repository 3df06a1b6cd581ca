//! The status page: the same value as `weir status`, for a browser. No script, nothing fetched from elsewhere.

mod dns;

use std::fmt::Write;

use weir_core::model::State;

use crate::report;
use crate::status::{NodeStatus, PoolStatus};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --warn: #b26a00; --good: #2e7d32; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
p.sub, td.why { opacity: .75 } p { margin: .2rem 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600; opacity: .7 } td.n, th.n { text-align: right }
.up, .active { color: var(--good) } .down, .rejected, .quarantined, .absent { color: var(--bad); font-weight: 600 }
.drain, .maint, .loading, .canary, .backing-off { color: var(--warn); font-weight: 600 }
ul.troubles { border-left: 4px solid var(--bad); margin: 1rem 0; padding: .5rem 1.6rem; white-space: pre-wrap }
.bar { display: inline-block; height: .6em; background: #5b8def; min-width: 1px; vertical-align: baseline }
";

/// The page.
pub(crate) fn render(status: &NodeStatus) -> String {
    let mut out = String::with_capacity(16 * 1024);
    let node = escape(&status.node);
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2>\
         <title>{node} - weir</title><style>{STYLE}</style><h1>{node}</h1>\
         <p class=sub>weir {}, {} workers, {} connections, {} requests in flight, fleet file {}</p>",
        status.version,
        status.proxy.workers,
        status.proxy.connections,
        status.proxy.in_flight,
        escape(status.fleet.sha256.get(..12).unwrap_or(&status.fleet.sha256)),
    );
    let troubles = report::troubles(status);
    if !troubles.is_empty() {
        out.push_str("<ul class=troubles>");
        for trouble in troubles {
            let _ = write!(out, "<li>{}", escape(&trouble));
        }
        out.push_str("</ul>");
    }
    services(&mut out, status);
    for pool in &status.pools {
        pool_section(&mut out, pool);
    }
    if let Some(dns) = &status.dns {
        dns::section(&mut out, dns);
    }
    plugins(&mut out, status);
    out.push_str(
        "<p class=sub style='margin-top:2rem'><a href=/status>JSON</a> <a href=/metrics>metrics</a></p>",
    );
    out
}

fn services(out: &mut String, status: &NodeStatus) {
    if status.services.is_empty() {
        return;
    }
    out.push_str("<h2>Services</h2><table><tr><th>service<th>addresses<th>pool<th>healthcheck");
    for s in &status.services {
        let (class, word) = if s.healthy { ("up", "serving") } else { ("down", "not serving") };
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td class={class}>{word}",
            escape(&s.name),
            escape(&s.addresses.join(" ")),
            escape(&s.pool)
        );
    }
    out.push_str("</table>");
}

fn pool_section(out: &mut String, pool: &PoolStatus) {
    let by = pool.scheduler.as_deref().unwrap_or("weighted round robin");
    let _ = write!(
        out,
        "<h2>Pool {}</h2><p class=sub>{}, plan {}; {} of {} servers take requests</p><table><tr><th>server<th>address\
         <th>state<th class=n>weight<th class=n>busy<th class=n>latency<th class=n>answers<th><th class=n>errors<th>why",
        escape(&pool.name),
        escape(by),
        pool.plan,
        pool.usable,
        pool.servers.len()
    );
    let most = pool.servers.iter().map(|s| s.answers.values().sum::<u64>()).max().unwrap_or(0).max(1);
    for s in &pool.servers {
        let answers: u64 = s.answers.values().sum();
        let errors = s.answers.get("5xx").copied().unwrap_or(0) + s.failures.values().sum::<u64>();
        let why = if s.reason.is_empty() { s.note.as_deref().unwrap_or("") } else { &s.reason };
        let state = if s.state == State::Up { "up" } else { s.state.as_str() };
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td class={state}>{state}<td class=n>{}<td class=n>{}<td class=n>{:.2} ms<td class=n>{answers}\
             <td style='width:9rem'><span class=bar style='width:{}%'></span><td class=n>{errors}<td class=why>{}",
            escape(&s.name),
            escape(&s.address),
            s.weight,
            s.in_flight,
            f64::from(s.latency_us) / 1000.0,
            answers * 100 / most,
            escape(why),
        );
    }
    out.push_str("</table>");
}

fn plugins(out: &mut String, status: &NodeStatus) {
    if status.plugins.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Plugins</h2><table><tr><th>plugin<th>file<th>state<th>what<th>sha256<th>plan\
         <th class=n>pick p50 / p99<th class=n>calls<th class=n>failures<th>why",
    );
    for p in &status.plugins {
        let version = p.version.as_ref();
        let what = version.map_or_else(String::new, |v| format!("{} {}: {}", v.name, v.version, v.summary));
        let pick = version
            .map_or_else(String::new, |v| format!("{} / {} ns", v.self_test.p50_ns, v.self_test.p99_ns));
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td class={state}>{state}<td>{}<td>{}<td>{}<td class=n>{pick}<td class=n>{}<td class=n>{}<td class=why>{}",
            escape(&p.instance),
            escape(&p.file),
            escape(&what),
            escape(version.map_or("", |v| v.sha256.get(..12).unwrap_or(&v.sha256))),
            p.plan.unwrap_or(""),
            p.calls,
            p.failures.values().sum::<u64>(),
            escape(p.last_error.as_deref().unwrap_or(&p.reason)),
            state = p.state,
        );
    }
    out.push_str("</table>");
}

/// Text for element content and quoted attributes. Names come from files and plugins, so all of it is escaped.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_plugin_says_cannot_become_markup() {
        assert_eq!(super::escape("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }
}
