//! What servers are asked by those who try whether they speak DNS: a query each, and the answer that every server of the
//! comparison gave, or the RFC's.
//!
//! The tests of `weir-core` ask the same of the decisions. Here the sockets, the threads and the fleet file are between.

mod data;
mod edns;
mod headers;
mod stream;

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};

use super::answer::Answer;
use super::exchange::{Client, PATIENCE};
use super::query::{Query, ask, kind};

/// The zone that the probes are about.
pub(crate) const ZONE: &str = include_str!("probes/example.org.zone");
/// What the server calls itself, and its version.
pub(crate) const IDENTITY: &str = "dns-1";
pub(crate) const VERSION: &str = "weir";

/// The negative answer's SOA: its TTL is the minimum, not its own.
const NEGATIVE: &str = "example.org. 900 SOA ns1.example.org. hostmaster.example.org. 7 7200 1800 259200 900";

/// A query and its answer.
struct Probe {
    what: &'static str,
    query: Query,
    /// As [`shown`]; `-` is none.
    expected: String,
}

fn probe(what: &'static str, query: Query, expected: impl Into<String>) -> Probe {
    Probe { what, query, expected: expected.into() }
}

impl Probe {
    /// A probe that says over what it goes, goes over that only; others go over both.
    fn ways(&self) -> &[bool] {
        match (self.query.tcp, self.what.contains("over UDP")) {
            (true, _) => &[true],
            (false, true) => &[false],
            (false, false) => &[false, true],
        }
    }
}

/// Sends all probes. Returns how many questions were asked; the error has every answer that is not as it must be.
pub(crate) fn run(server: SocketAddr) -> Result<usize> {
    let sets = [
        headers::headers(),
        headers::malformed(),
        data::data(),
        data::delegations(),
        data::unserved(),
        edns::edns(),
    ];
    let mut client = Client::of(server)?;
    let (mut count, mut wrong) = (0, String::new());
    for probe in sets.iter().flatten() {
        for tcp in probe.ways() {
            count += 1;
            let query = Query { tcp: *tcp, ..probe.query.clone() };
            let line = line(&mut client, &query).with_context(|| probe.what.to_owned())?;
            if line != probe.expected {
                let over = if *tcp { "TCP" } else { "UDP" };
                wrong +=
                    &format!("\n{} ({over}):\n  is      {line}\n  must be {}", probe.what, probe.expected);
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{wrong}");
    }
    count += edns::sizes(&mut client)?;
    count += edns::cookies(&mut client)?;
    count += stream::run(server)?;
    Ok(count)
}

/// The answer to a query on a line, or what is wrong with its form.
fn line(client: &mut Client, query: &Query) -> Result<String> {
    let bytes = if query.tcp {
        client.exchange(query, PATIENCE)?
    } else {
        // Queries are answered in their order: with the answer to the second, none to the first will come.
        client.exchange_before(query, &ask("example.org", kind::SOA).numbered(0xfeed), PATIENCE)?
    };
    let Some(bytes) = bytes else { return Ok("-".to_owned()) };
    query.is_repeated_in(&bytes)?;
    let answer = Answer::read(&bytes)?;
    Ok(shown(&answer))
}

/// `RCODE aa tc an=[...] au=[...] ad=[...] opt(do) +OPTION`, `SOA` for the zone's negative one.
fn shown(answer: &Answer) -> String {
    let mut line = answer.code();
    if answer.authoritative {
        line += " aa";
    }
    if answer.truncated {
        line += " tc";
    }
    answer.others.iter().for_each(|flag| line += &format!(" {flag}"));
    for (section, word) in answer.sections.iter().zip(["an", "au", "ad"]) {
        let records: Vec<String> = section
            .iter()
            .map(|each| format!("{} {} {} {}", each.owner, each.ttl, each.kind, each.data))
            .map(|text| if text == NEGATIVE { "SOA".to_owned() } else { text })
            .collect();
        if !records.is_empty() {
            line += &format!(" {word}=[{}]", records.join(", "));
        }
    }
    if let Some(opt) = &answer.opt {
        line += " opt";
        if (opt.size, opt.version) != (1232, 0) {
            line += &format!("(size {} version {})", opt.size, opt.version);
        }
        if opt.dnssec_ok {
            line += "(do)";
        }
        opt.options.iter().for_each(|(code, _)| line += &format!(" +{code}"));
    }
    line
}
