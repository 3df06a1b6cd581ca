//! The part of the page about DNS: zones, policies with their addresses, and what was asked and answered.

use std::collections::BTreeMap;
use std::fmt::Write;

use weir_core::model::State;

use super::escape;
use crate::dns::status::{DnsStatus, PolicyStatus, percent};
use crate::report::duration;

/// Zones first, then who decides, then counters.
pub(super) fn section(out: &mut String, dns: &DnsStatus) {
    let waits = if dns.answering { "" } else { "; <span class=loading>not answering yet</span>" };
    let _ = write!(
        out,
        "<h2>Zones</h2><p class=sub>on {}{waits}</p><table><tr><th>zone<th class=n>serial<th class=n>names\
         <th class=n>by policy",
        escape(&dns.listen.join(" "))
    );
    for zone in &dns.zones {
        let _ = write!(
            out,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            escape(&zone.name),
            zone.serial,
            zone.names,
            zone.policies
        );
    }
    out.push_str("</table>");
    for policy in &dns.policies {
        policy_section(out, policy);
    }
    counters(out, dns);
}

fn policy_section(out: &mut String, policy: &PolicyStatus) {
    let by = match &policy.plugin {
        Some(plugin) => format!("plugin {plugin}"),
        None => "all that are up, in turn".to_owned(),
    };
    let up = policy.addresses.iter().filter(|a| a.state == State::Up).count();
    let _ = write!(
        out,
        "<h2>Policy {}</h2><p class=sub>{}; {up} of {} addresses are up</p><table><tr><th>address<th>state\
         <th class=n>for<th class=n>weight<th class=n>load<th><th>why",
        escape(&policy.name),
        escape(&by),
        policy.addresses.len()
    );
    for a in &policy.addresses {
        let state = a.state.as_str();
        let why = if a.reason.is_empty() { a.note.as_deref().unwrap_or("") } else { &a.reason };
        let (load, bar) = a.load.map(percent).map_or_else(
            || ("-".to_owned(), String::new()),
            |load| (load.clone(), format!("<span class=bar style='width:{load}'></span>")),
        );
        let _ = write!(
            out,
            "<tr><td>{}<td class={state}>{state}<td class=n>{}<td class=n>{}<td class=n>{load}\
             <td style='width:9rem'>{bar}<td class=why>{}",
            escape(&a.address),
            duration(a.state_seconds),
            a.weight,
            escape(why),
        );
    }
    out.push_str("</table>");
}

fn counters(out: &mut String, dns: &DnsStatus) {
    let limited = [("held back", dns.limited), ("sent to TCP", dns.slipped)];
    let decided = dns.decisions.iter().map(|(by, n)| (*by, *n)).chain([("repeated", dns.decisions_repeated)]);
    let rest = [
        ("too large for UDP", dns.truncated),
        ("no query", dns.unanswerable),
        ("with a valid cookie", dns.cookies),
        ("not sent by the kernel", dns.send_failed),
    ];
    let over = dns.queries.iter().map(|(by, n)| (*by, *n)).chain([("over IPv6", dns.queries_over_v6)]);
    let rows = [
        ("queries", counted(over)),
        ("answers by code", counted(pairs(&dns.answers))),
        ("by how they came about", counted(pairs(&dns.how))),
        ("addresses chosen by", counted(decided)),
        ("over the rate limit", counted(limited)),
        ("connections accepted", counted(pairs(&dns.connections))),
        ("open now", counted(pairs(&dns.connections_open))),
        ("closed for others", counted(pairs(&dns.connections_evicted))),
        ("other", counted(rest)),
    ];
    out.push_str("<h2>Queries and answers</h2><table>");
    for (what, counts) in rows {
        let _ = write!(out, "<tr><th>{what}<td>{counts}");
    }
    out.push_str("</table>");
}

fn pairs(counts: &BTreeMap<&'static str, u64>) -> impl Iterator<Item = (&'static str, u64)> {
    counts.iter().map(|(word, n)| (*word, *n))
}

/// Those that there are any of. The words are this program's own.
fn counted(counts: impl IntoIterator<Item = (&'static str, u64)>) -> String {
    let some: Vec<String> =
        counts.into_iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{word} {n}")).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::status::{AddressStatus, ZoneStatus};

    fn shown(dns: &DnsStatus) -> String {
        let mut out = String::new();
        section(&mut out, dns);
        out
    }

    fn address(state: State, load: Option<f32>, reason: &str) -> AddressStatus {
        AddressStatus {
            address: "198.51.100.1".into(),
            state,
            weight: 3,
            load,
            reason: reason.into(),
            note: Some("1 of 4 failed checks".into()),
            state_seconds: 61,
        }
    }

    #[test]
    fn an_address_has_its_state_its_load_and_a_reason_that_cannot_become_markup() {
        let addresses = vec![
            address(State::Up, Some(0.40625), ""),
            address(State::Down, None, "check failed: <b>busy</b>"),
        ];
        let policy = PolicyStatus { name: "web".into(), plugin: Some("weighted".into()), addresses };
        let page = shown(&DnsStatus { policies: vec![policy], ..DnsStatus::default() });
        assert!(page.contains("<h2>Policy web</h2><p class=sub>plugin weighted; 1 of 2 addresses are up"));
        assert!(page.contains(
            "<td class=up>up<td class=n>1m 1s<td class=n>3<td class=n>41%<td style='width:9rem'>\
             <span class=bar style='width:41%'></span><td class=why>1 of 4 failed checks<tr>"
        ));
        assert!(page.contains(
            "<td class=down>down<td class=n>1m 1s<td class=n>3<td class=n>-<td style='width:9rem'>\
             <td class=why>check failed: &lt;b&gt;busy&lt;/b&gt;<"
        ));
    }

    #[test]
    fn zones_have_their_serials_and_counters_name_what_there_is() {
        let zone = ZoneStatus { name: "example.org.".into(), serial: 7, names: 9, policies: 2 };
        let dns = DnsStatus {
            zones: vec![zone],
            queries: [("udp", 4), ("tcp", 0)].into(),
            answers: [("NOERROR", 3), ("NXDOMAIN", 1)].into(),
            limited: 2,
            ..DnsStatus::default()
        };
        let page = shown(&dns);
        assert!(page.contains("<tr><td>example.org.<td class=n>7<td class=n>9<td class=n>2</table>"));
        assert!(page.contains("<tr><th>queries<td>udp 4<tr>"));
        assert!(page.contains("<tr><th>answers by code<td>NOERROR 3, NXDOMAIN 1<tr>"));
        assert!(page.contains("<tr><th>over the rate limit<td>held back 2<tr>"));
        assert!(page.contains("<tr><th>addresses chosen by<td>none<tr>"));
        assert!(
            page.contains("not answering yet")
                && !shown(&DnsStatus { answering: true, ..dns }).contains("yet")
        );
    }
}
