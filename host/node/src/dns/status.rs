//! What the DNS server is doing: its part of [`crate::status::NodeStatus`], and the same as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use weir_core::dns::answer::Transport;
use weir_core::health::Status;
use weir_core::model::State;
use weir_core::time::Moment;
use weir_dns::stats::{CONNECTED, DECIDERS, HOWS, RCODES, Stats};

use super::DnsNode;

/// The DNS server. Field names are a promise to scripts.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct DnsStatus {
    /// Addresses listened to, UDP and TCP.
    pub(crate) listen: Vec<String>,
    /// Addresses listened to over encrypted transports, by these.
    pub(crate) encrypted: BTreeMap<&'static str, Vec<String>>,
    /// Whether queries are answered; before the first round of checks they wait.
    pub(crate) answering: bool,
    /// By name.
    pub(crate) zones: Vec<ZoneStatus>,
    /// By name.
    pub(crate) policies: Vec<PolicyStatus>,
    /// What is wrong with the state file.
    pub(crate) state_file_fault: Option<String>,
    /// Queries by transport.
    pub(crate) queries: BTreeMap<&'static str, u64>,
    /// Of them, those over IPv6.
    pub(crate) queries_over_v6: u64,
    /// Answers by response code.
    pub(crate) answers: BTreeMap<&'static str, u64>,
    /// Answers by how they came about.
    pub(crate) how: BTreeMap<&'static str, u64>,
    /// Decisions of policies by who made them.
    pub(crate) decisions: BTreeMap<&'static str, u64>,
    /// Of them, those that were made earlier and repeated.
    pub(crate) decisions_repeated: u64,
    /// Answers that sent the client to TCP since they did not fit.
    pub(crate) truncated: u64,
    /// Answers that the rate limit made so short.
    pub(crate) slipped: u64,
    /// Answers that the rate limit held back.
    pub(crate) limited: u64,
    /// Datagrams and messages that are no query.
    pub(crate) unanswerable: u64,
    /// Queries with a valid cookie.
    pub(crate) cookies: u64,
    /// Answers that the kernel did not send.
    pub(crate) send_failed: u64,
    /// Connections accepted, by transport.
    pub(crate) connections: BTreeMap<&'static str, u64>,
    /// Connections open now, by transport.
    pub(crate) connections_open: BTreeMap<&'static str, u64>,
    /// Connections closed for others, by transport.
    pub(crate) connections_evicted: BTreeMap<&'static str, u64>,
    /// Connections that were to be encrypted and came to nothing.
    pub(crate) handshakes_failed: u64,
    /// Lines of the query log that are lost.
    pub(crate) log_lines_dropped: u64,
}

/// A zone.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ZoneStatus {
    /// Its origin.
    pub(crate) name: String,
    /// Of its SOA.
    pub(crate) serial: u32,
    /// How many names exist in it.
    pub(crate) names: usize,
    /// How many of them a policy decides.
    pub(crate) policies: usize,
}

/// A policy.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PolicyStatus {
    /// Its name in the fleet file.
    pub(crate) name: String,
    /// The plugin instance that chooses, `None` where there is none.
    pub(crate) plugin: Option<String>,
    /// In the order of the fleet file.
    pub(crate) addresses: Vec<AddressStatus>,
}

/// An address of a policy.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AddressStatus {
    /// The address.
    pub(crate) address: String,
    /// What may be done with it.
    pub(crate) state: State,
    /// As configured.
    pub(crate) weight: u16,
    /// 0.0 is idle and 1.0 full; `None` where nobody says.
    pub(crate) load: Option<f32>,
    /// Why it is not up; empty where it is.
    pub(crate) reason: String,
    /// What is odd without having decided anything.
    pub(crate) note: Option<String>,
    /// How long it has been so, seconds.
    pub(crate) state_seconds: u64,
}

impl DnsNode {
    /// What it is doing at this moment.
    pub(crate) fn status(&self, now: Moment) -> DnsStatus {
        let serving = self.server.serving();
        let mut zones: Vec<_> = serving
            .zones
            .iter()
            .map(|zone| ZoneStatus {
                name: zone.origin().to_string(),
                serial: zone.serial(),
                names: zone.names(),
                policies: zone.policies().count(),
            })
            .collect();
        zones.sort_by(|a, b| a.name.cmp(&b.name));
        let table = self.server.table();
        let policies = self.policies.keys().filter_map(|name| {
            let (_, policy) = table.find(name.as_str())?;
            let statuses = self.standing.statuses(name.as_str());
            let addresses = policy.candidates.iter().map(|candidate| {
                let status = statuses.get(&candidate.address.ip);
                AddressStatus {
                    address: candidate.address.ip.to_string(),
                    state: candidate.address.state,
                    weight: candidate.address.weight,
                    load: candidate.address.load,
                    reason: candidate.reason.to_string(),
                    note: status.and_then(note),
                    state_seconds: status.map_or(0, |s| now.since(s.since).as_secs()),
                }
            });
            let plugin = self.config.policies.get(name).and_then(|p| p.plugin.as_ref());
            Some(PolicyStatus {
                name: name.to_string(),
                plugin: plugin.map(ToString::to_string),
                addresses: addresses.collect(),
            })
        });
        let policies = policies.collect();
        let Stats {
            queries,
            over_v6,
            rcodes,
            hows,
            decided,
            repeated,
            truncated,
            unanswerable,
            slipped,
            limited,
            cookies,
            send_failed,
            connections,
            open,
            evicted,
            handshakes_failed,
            log_lost,
        } = self.server.stats();
        let by_transport =
            |counts: [u64; 4]| CONNECTED.map(Transport::as_str).into_iter().zip(counts).collect();
        let mut encrypted: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (transport, address) in self.server.listening_encrypted() {
            encrypted.entry(transport.as_str()).or_default().push(address.to_string());
        }
        DnsStatus {
            listen: self.server.listening().iter().map(ToString::to_string).collect(),
            encrypted,
            answering: self.answers,
            zones,
            policies,
            state_file_fault: self.standing.file_fault(),
            queries: Transport::ALL.map(Transport::as_str).into_iter().zip(queries).collect(),
            queries_over_v6: over_v6,
            answers: RCODES.into_iter().zip(rcodes).collect(),
            how: HOWS.into_iter().zip(hows).collect(),
            decisions: DECIDERS.into_iter().zip(decided).collect(),
            decisions_repeated: repeated,
            truncated,
            slipped,
            limited,
            unanswerable,
            cookies,
            send_failed,
            connections: by_transport(connections),
            connections_open: by_transport(open),
            connections_evicted: by_transport(evicted),
            handshakes_failed,
            log_lines_dropped: log_lost,
        }
    }
}

/// What is odd about an address without having decided anything.
fn note(status: &Status) -> Option<String> {
    let odd: Vec<&str> =
        [&status.note, &status.load_fault].into_iter().filter_map(Option::as_deref).collect();
    (!odd.is_empty()).then(|| odd.join("; "))
}

/// A load for a person.
pub(crate) fn percent(load: f32) -> String {
    format!("{:.0}%", load * 100.0)
}

/// What needs somebody's attention, one sentence each.
pub(crate) fn troubles(status: &DnsStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    if status.zones.is_empty() {
        troubles.push("there is no zone: every query is refused".to_owned());
    }
    if let Some(fault) = &status.state_file_fault {
        troubles.push(format!("the state file is not taken in, what it said before counts: {fault}"));
    }
    for policy in &status.policies {
        if policy.addresses.iter().all(|a| a.state != State::Up) {
            troubles.push(format!("policy {} has no address that is up", policy.name));
        }
    }
    if status.log_lines_dropped > 0 {
        troubles.push(format!("{} lines of the query log are lost", status.log_lines_dropped));
    }
    troubles
}

/// The DNS part of `weir status`.
pub(crate) fn text(status: &DnsStatus, table: impl Fn(&mut String, &[&str], Vec<Vec<String>>)) -> String {
    let mut out = String::new();
    let queries: u64 = status.queries.values().sum();
    let answers = status.answers.iter().filter(|(_, n)| **n > 0).map(|(code, n)| format!("{code} {n}"));
    let answers: Vec<_> = answers.collect();
    let encrypted =
        status.encrypted.iter().map(|(over, addresses)| format!(", {over} on {}", addresses.join(" ")));
    let _ = writeln!(
        out,
        "dns on {}{}{}: {queries} queries; {}",
        status.listen.join(" "),
        encrypted.collect::<String>(),
        if status.answering { "" } else { ", not answering yet" },
        if answers.is_empty() { "none answered yet".to_owned() } else { answers.join(", ") },
    );
    let zones = status.zones.iter().map(|zone| {
        vec![zone.name.clone(), zone.serial.to_string(), zone.names.to_string(), zone.policies.to_string()]
    });
    table(&mut out, &["zone", "serial", "names", "by policy"], zones.collect());
    for policy in &status.policies {
        let up = policy.addresses.iter().filter(|a| a.state == State::Up).count();
        let by = match &policy.plugin {
            Some(plugin) => format!("plugin {plugin}"),
            None => "all that are up, in turn".to_owned(),
        };
        let _ = writeln!(
            out,
            "\npolicy {}: {up} of {} addresses are up; {by}",
            policy.name,
            policy.addresses.len()
        );
        let addresses = policy.addresses.iter().map(|a| {
            let state = if a.state == State::Up { "up".to_owned() } else { a.state.as_str().to_uppercase() };
            let why = if a.reason.is_empty() { a.note.clone().unwrap_or_default() } else { a.reason.clone() };
            let load = a.load.map_or_else(|| "-".to_owned(), percent);
            vec![a.address.clone(), state, format!("{}s", a.state_seconds), a.weight.to_string(), load, why]
        });
        table(&mut out, &["address", "state", "for", "weight", "load", "why"], addresses.collect());
    }
    out
}
