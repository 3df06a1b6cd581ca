//! Where a flow goes, and where it would go if a node were not there, or were, or took nothing.
//!
//! The answer needs no running node: what the kernels of all l4 nodes do follows from the fleet file and from who takes connections. It is
//! about *new* connections, and about those that a router moves to another l4 node; one that an l4 node knows stays where it is.

mod text;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::layout::{Layout, Row, in_join_order};
use super::standing::Standing;
use super::table;
use crate::config::{Fleet, Name, Node, Role};
use crate::maglev::{Effect, Size, Table, TooMany};

/// A connection, by its two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// The client.
    pub source: SocketAddr,
    /// The service.
    pub destination: SocketAddr,
}

/// What might be otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supposition {
    /// This l7 node has left the fleet file.
    Without(String),
    /// This l7 node joins: one of the fleet file, which is then taken for not being there yet, or the address of another one.
    With(String),
    /// This l7 node takes no new connections.
    Drained(String),
}

/// Why there is no answer. All are faults of the question, or of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoExplanation {
    /// Nobody has this address and port.
    #[error("no service has {asked}; the file has {known}")]
    NoService {
        /// What was asked for.
        asked: SocketAddr,
        /// What there is.
        known: String,
    },
    /// A client of one family cannot connect to an address of the other.
    #[error("{} and {} are of two families: no connection has both", .0.source, .0.destination)]
    Families(Flow),
    /// There is no such node.
    #[error("there is no l7 node `{asked}`; the file has {known}")]
    NoNode {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: String,
    },
    /// The address is somebody's, or of the other family.
    #[error(
        "`{0}` cannot join: write the name of an l7 node, or an address of the service's family that no node has"
    )]
    NoNewcomer(String),
    /// Nobody is behind the service.
    #[error("no l7 node of the file has an address of this family, so nobody is behind {0}")]
    Nobody(SocketAddr),
    /// Only one scheduler can be foretold.
    #[error("connections are placed by the kernel's scheduler `{0}`, and only \"mh\" can be foretold")]
    Scheduler(String),
    /// More nodes than rows.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The flow.
    pub flow: Flow,
    /// The service that it is for.
    pub service: String,
    /// L7 nodes that were taken for taking no new connections.
    pub out: Vec<String>,
    /// As it is.
    pub now: Outcome,
    /// As it would be.
    pub supposed: Option<Supposed>,
}

/// Where the flow goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// Rows of the table.
    pub rows: u32,
    /// The flow's row.
    pub row: u32,
    /// Who has the row.
    pub owner: Option<Place>,
    /// Who gets the flow: the owner, or somebody else where the owner takes nothing, or nobody.
    pub node: Option<Place>,
    /// A number that is equal on two l4 nodes with equal tables for this service.
    pub table: u64,
}

/// An l7 node behind the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// Its name.
    pub node: String,
    /// Its end of the tunnel.
    pub address: IpAddr,
    /// Its join number.
    pub join: u32,
    /// Its weight.
    pub weight: u16,
    /// How many rows it has.
    pub rows: usize,
}

/// What would be otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Supposed {
    /// In words: `without l7-2`.
    pub what: String,
    /// Where the flow would go.
    pub outcome: Outcome,
    /// Whether that is elsewhere.
    pub moves: bool,
    /// Rows that would have another owner.
    pub rows_moved: u32,
    /// Of those, rows that would go from one node that stays to another.
    pub rows_shuffled: u32,
    /// Share of all flows, 0 to 1, that would go elsewhere; ± 0.004.
    pub flows_moved: f64,
    /// Share of all flows, 0 to 1, that nobody would take; ± 0.004.
    pub flows_refused: f64,
}

/// A fleet and who takes nothing: what a table is made of.
struct World {
    fleet: Fleet,
    out: BTreeSet<String>,
}

/// Explains a flow. `out`: l7 nodes that take no new connections now; all others are taken for healthy.
///
/// # Errors
/// The question has no answer by this file.
pub fn explain(
    fleet: &Fleet,
    flow: Flow,
    out: &[String],
    supposition: Option<&Supposition>,
) -> Result<Explanation, NoExplanation> {
    if flow.source.is_ipv4() != flow.destination.is_ipv4() {
        return Err(NoExplanation::Families(flow));
    }
    if !table::settings(&fleet.l4).is_maglev() {
        return Err(NoExplanation::Scheduler(fleet.l4.scheduler.to_string()));
    }
    for name in out {
        l7_node(fleet, name)?;
    }
    let mut now = World { fleet: fleet.clone(), out: out.iter().cloned().collect() };
    let supposed = supposition.map(|supposition| suppose(&mut now, flow, supposition)).transpose()?;
    let (before, table) = now.place(flow)?;
    let service = now.service(flow.destination)?;
    let supposed = match supposed {
        None => None,
        Some((what, world)) => {
            let (outcome, after) = world.place(flow)?;
            let effect = Effect::between(&table, &after);
            let end = |outcome: &Outcome| outcome.node.as_ref().map(|place| place.node.clone());
            Some(Supposed {
                what,
                moves: end(&outcome) != end(&before),
                outcome,
                rows_moved: effect.moved,
                rows_shuffled: effect.shuffled,
                flows_moved: effect.flows_moved,
                flows_refused: effect.flows_refused,
            })
        }
    };
    Ok(Explanation { flow, service, out: now.out.into_iter().collect(), now: before, supposed })
}

/// The supposed world beside the present one; a node that joins is taken out of the present one.
fn suppose(now: &mut World, flow: Flow, supposition: &Supposition) -> Result<(String, World), NoExplanation> {
    let (fleet, out) = (now.fleet.clone(), now.out.clone());
    let mut world = World { fleet, out };
    let what = match supposition {
        Supposition::Without(name) => {
            l7_node(&now.fleet, name)?;
            world.fleet.nodes.remove(name.as_str());
            format!("without {name}")
        }
        Supposition::Drained(name) => {
            l7_node(&now.fleet, name)?;
            world.out.insert(name.clone());
            format!("{name} drained")
        }
        Supposition::With(name) if l7_node(&now.fleet, name).is_ok() => {
            now.fleet.nodes.remove(name.as_str());
            world.out.remove(name);
            now.out.remove(name);
            format!("with {name}")
        }
        Supposition::With(text) => {
            let node =
                newcomer(&now.fleet, flow, text).ok_or_else(|| NoExplanation::NoNewcomer(text.clone()))?;
            world.fleet.nodes.insert(node.0, node.1);
            format!("with {text}")
        }
    };
    Ok((what, world))
}

/// A node that is not in the file, by its address: it joins last.
fn newcomer(fleet: &Fleet, flow: Flow, text: &str) -> Option<(Name, Node)> {
    let address: IpAddr = text.parse().ok()?;
    let is_taken = fleet.nodes.values().any(|node| node.addresses.contains(&address));
    if is_taken || address.is_ipv4() != flow.destination.is_ipv4() {
        return None;
    }
    let last = fleet.nodes.values().filter_map(|node| node.join).max().unwrap_or(0);
    // An address has characters that a name has not.
    let name = format!("new-{}", text.replace(':', "-")).parse().ok()?;
    let node = Node {
        roles: vec![Role::L7],
        workers: 0,
        addresses: vec![address],
        join: Some(last.saturating_add(1)),
        weight: crate::config::NODE_WEIGHT,
        router_id: None,
    };
    Some((name, node))
}

fn l7_node(fleet: &Fleet, name: &str) -> Result<(), NoExplanation> {
    if fleet.nodes.get(name).is_some_and(|node| node.has(Role::L7)) {
        return Ok(());
    }
    let known: Vec<&str> = in_join_order(fleet).into_iter().map(|(name, _)| name.as_str()).collect();
    Err(NoExplanation::NoNode { asked: name.to_owned(), known: listed(&known) })
}

fn listed(known: &[impl std::fmt::Display]) -> String {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

impl World {
    fn service(&self, at: SocketAddr) -> Result<String, NoExplanation> {
        let layout = Layout::of(&self.fleet);
        let known: Vec<SocketAddr> = layout.rows.iter().map(|row| row.at).collect();
        let row = layout.rows.into_iter().find(|row| row.at == at);
        let row = row.ok_or_else(|| NoExplanation::NoService { asked: at, known: listed(&known) })?;
        Ok(row.service.to_string())
    }

    /// Where the flow goes, and the table by which it does.
    fn place(&self, flow: Flow) -> Result<(Outcome, Table), NoExplanation> {
        let layout = Layout::of(&self.fleet);
        let standings: Vec<Standing> =
            layout.targets.iter().map(|target| self.standing(&target.node)).collect();
        let known: Vec<SocketAddr> = layout.rows.iter().map(|row| row.at).collect();
        let row = layout.rows.iter().find(|row| row.at == flow.destination);
        let row =
            row.ok_or_else(|| NoExplanation::NoService { asked: flow.destination, known: listed(&known) })?;
        let service = table::service(&self.fleet, row, &standings);
        let nobody = || NoExplanation::Nobody(flow.destination);
        let scheme = service.settings.scheme(service.key.family(), Size::DEFAULT).ok_or_else(nobody)?;
        let list = service.list().ok().filter(|list| !list.is_empty()).ok_or_else(nobody)?;
        let table = Table::of(scheme, &list)?;
        let placement = table.place(flow.source);
        let place = |endpoint: Option<SocketAddr>| endpoint.and_then(|end| self.named(row, &table, end));
        let outcome = Outcome {
            rows: scheme.size.rows(),
            row: placement.row,
            owner: place(placement.owner),
            node: place(placement.destination),
            table: table.digest(),
        };
        Ok((outcome, table))
    }

    fn standing(&self, node: &Name) -> Standing {
        let written = self.fleet.nodes.get(node).map_or(0, |node| node.weight);
        let taking = written > 0 && !self.out.contains(node.as_str());
        Standing { known: true, taking, taken_out: !taking, weight: written }
    }

    fn named(&self, row: &Row, table: &Table, endpoint: SocketAddr) -> Option<Place> {
        let member = row.members.iter().find(|member| member.endpoint == endpoint)?;
        let node = self.fleet.nodes.get(&member.node)?;
        Some(Place {
            node: member.node.to_string(),
            address: endpoint.ip(),
            join: node.join.unwrap_or_default(),
            weight: node.weight,
            rows: table.rows_of(endpoint),
        })
    }
}
