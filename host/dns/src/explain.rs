//! An answer as text, and why it is so: what `weir dns explain` shows.

mod records;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use weir_core::dns::answer::choose::{Labels, Settled};
use weir_core::dns::answer::{Asked, Decision, Policies, Request, Responder, Settings, Transport};
use weir_core::dns::name::Name;
use weir_core::dns::policy::{Deciders, Table};
use weir_core::dns::record::Type;
use weir_core::time::Moment;

use crate::server::Serving;
use crate::stats::how_word;

/// Whom the question is from where nobody is named: documentation's address (RFC 5737), which is in nobody's network.
pub const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// A question to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The name, with or without a dot at its end.
    pub name: Name,
    /// The type of record.
    pub kind: Type,
    /// The network of the client.
    pub client: IpAddr,
    /// Bits of it that are known.
    pub prefix: u8,
}

/// Why there is nothing to explain. Whoever asks is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The name is none.
    #[error("`{0}` is no name: {1}")]
    Name(String, weir_core::dns::name::NameError),
    /// The type is none.
    #[error("`{0}` is no type: write a word such as A or AAAA, or TYPE123")]
    Type(String),
    /// The network is none.
    #[error(
        "`{0}` is no network: write an address, or one with a prefix such as 192.0.2.0/24 or 2001:db8::/56"
    )]
    Subnet(String),
}

impl Ask {
    /// Reads a question as people write it. Without a network nobody in particular asks.
    ///
    /// # Errors
    /// Which word is not understood.
    pub fn parse(name: &str, kind: &str, subnet: Option<&str>) -> Result<Self, AskError> {
        let parsed = Name::parse(name).map_err(|error| AskError::Name(name.to_owned(), error))?;
        let kind = Type::from_word(kind).ok_or_else(|| AskError::Type(kind.to_owned()))?;
        let (client, prefix) = match subnet {
            None => (NOBODY, 32),
            Some(text) => network(text).ok_or_else(|| AskError::Subnet(text.to_owned()))?,
        };
        Ok(Self { name: parsed, kind, client, prefix })
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(longest), |p| p.parse().ok().filter(|p| *p <= longest))?;
    Some((address, prefix))
}

/// An answer, and how it came about. Field names are a promise to scripts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The name that was asked for.
    pub name: String,
    /// The type that was asked for.
    #[serde(rename = "type")]
    pub kind: String,
    /// The client's network, as the policy was told of it.
    pub client: String,
    /// What the node's database of networks says of it.
    pub labels: BTreeMap<String, String>,
    /// The response code.
    pub rcode: &'static str,
    /// How it came about: data, wildcard, policy, no-data, no-name, referral, not-served, protocol, chaos.
    pub how: &'static str,
    /// The zone that has the name.
    pub zone: Option<String>,
    /// What a policy decided.
    pub policy: Option<Decided>,
    /// The records of the answer, of all sections but the additional one, as a zone file has them.
    pub records: Vec<String>,
}

/// A decision of a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decided {
    /// Its name in the fleet file.
    pub name: String,
    /// The line of the zone file that names it.
    pub place: String,
    /// Whether it has a plugin.
    pub has_plugin: bool,
    /// Who chose: the policy's plugin, or the host (`healthy`, or what it does while none is up).
    pub by: &'static str,
    /// Seconds, before the TTL of the record in the zone limits it.
    pub ttl: u32,
    /// The limit of the record in the zone.
    pub max_ttl: u32,
    /// Bits of the client's network for which the same is answered.
    pub scope: u8,
    /// Every address of the policy, of both families.
    pub addresses: Vec<Standing>,
}

/// An address of a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The address.
    pub address: IpAddr,
    /// What may be done with it.
    pub state: &'static str,
    /// Why it is not up.
    pub reason: String,
    /// As configured.
    pub weight: u16,
    /// 0.0 is idle and 1.0 full; `None` where nobody says.
    pub load: Option<f32>,
    /// Where it stands in the answer, from 1; `None` where it is not in it.
    pub answered: Option<usize>,
}

/// Explains on a thread of its own: its plugins are instances that answer nobody else.
#[derive(Debug)]
pub struct Explainer {
    worker: usize,
    deciders: Option<Deciders>,
    turn: u32,
}

impl Explainer {
    /// Asks plugins for their instances under this number.
    pub fn new(worker: usize) -> Self {
        Self { worker, deciders: None, turn: 0 }
    }

    /// What this query would be answered at this moment, and why. Nothing that was decided earlier is repeated.
    pub fn explain(&mut self, ask: &Ask, serving: &Serving, table: &Arc<Table>, now: Moment) -> Explanation {
        self.turn = self.turn.wrapping_add(1);
        let seed = u64::from(self.turn);
        let deciders =
            self.deciders.get_or_insert_with(|| Deciders::new(self.worker, Arc::clone(table), seed));
        deciders.at(now, table);
        let mut noted = Noted { deciders, ask, table, decided: None };
        // The client's network comes in as that of the resolver, so that any of them can be asked about.
        let responder = Responder::new(Settings { udp_size: u16::MAX, ..Settings::default() });
        let message = query(ask);
        let request = Request {
            message: &message,
            from: ask.client,
            transport: Transport::Tcp,
            now: 0,
            turn: self.turn,
        };
        let mut out = Vec::new();
        let reply = responder.respond(&request, &serving.zones, &mut noted, &mut out);
        let policy = noted.decided.take();
        Explanation {
            name: ask.name.to_string(),
            kind: ask.kind.to_string(),
            client: format!("{}/{}", ask.client, ask.prefix),
            labels: table.networks().map(|networks| known(&networks.labels(ask.client))).unwrap_or_default(),
            rcode: reply.map_or("none", |r| r.rcode.as_str()),
            how: reply.map_or("none", |r| how_word(r.how)),
            zone: reply.and_then(|r| r.zone).map(ToString::to_string),
            policy,
            records: records::of(&out),
        }
    }
}

fn known(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().cloned().collect()
}

/// Notes the last decision that is made.
struct Noted<'e> {
    deciders: &'e mut Deciders,
    ask: &'e Ask,
    table: &'e Table,
    decided: Option<Decided>,
}

impl Policies for Noted<'_> {
    fn decide(&mut self, asked: &Asked<'_>) -> Option<Decision<'_>> {
        let asked = Asked { client: self.ask.client, prefix: self.ask.prefix, ..*asked };
        let (_, policy) = self.table.find(&asked.record.policy)?;
        let (addresses, settled) = self.deciders.decide_now(policy, &asked);
        let Settled { by, ttl, scope, .. } = settled;
        let standing = policy.candidates.iter().map(|candidate| Standing {
            address: candidate.address.ip,
            state: candidate.address.state.as_str(),
            reason: candidate.reason.to_string(),
            weight: candidate.address.weight,
            load: candidate.address.load,
            answered: addresses.iter().position(|a| *a == candidate.address.ip).map(|at| at + 1),
        });
        self.decided = Some(Decided {
            name: policy.name.to_string(),
            place: format!("{}:{}", asked.record.place.file, asked.record.place.line),
            has_plugin: policy.source.is_some(),
            by: by.as_str(),
            ttl,
            max_ttl: asked.record.max_ttl,
            scope,
            addresses: standing.collect(),
        });
        Some(Decision { addresses, ttl, scope })
    }
}

/// A query without EDNS.
fn query(ask: &Ask) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(ask.name.as_wire());
    message.extend_from_slice(&ask.kind.0.to_be_bytes());
    message.extend_from_slice(&1u16.to_be_bytes());
    message
}

#[cfg(test)]
mod tests;
