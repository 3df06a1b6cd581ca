//! What an operator is shown of an l4 node.

use std::net::IpAddr;

use serde::Serialize;

use super::Target;
use crate::config::Through;
use crate::health::{self, CheckHealth};
use crate::model::State;

/// An l4 node, as it decides now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Whether it announces at all.
    pub announcing: Announcing,
    /// Why it does not; empty where it does.
    pub why: String,
    /// Each service address.
    pub addresses: Vec<AddressStatus>,
    /// Each l7 node, in join order.
    pub nodes: Vec<NodeStatus>,
    /// One number for all its tables: two l4 nodes with the same one send every connection to the same l7 node. Only with the scheduler `mh`,
    /// and after the first round of checks.
    pub table: Option<u64>,
    /// Neighbors that are not connected to, since their `password-file` cannot be read.
    pub silent_neighbors: Vec<String>,
}

/// Whether a node announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Announcing {
    /// Not before the first round of checks is over.
    NotYet,
    /// What has its quorum.
    Yes,
    /// Somebody took it out; it left, or leaves, in the graceful order.
    No,
    /// It ends, and its sessions with it.
    Ended,
}

/// A service address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AddressStatus {
    /// The address.
    pub address: IpAddr,
    /// Whether routers are told of it.
    pub announced: bool,
    /// L7 nodes that take its connections.
    pub taking: usize,
    /// L7 nodes behind it.
    pub nodes: usize,
    /// How many it takes: to stay announced where it is, to be announced where it is not.
    pub needed: usize,
}

/// An l7 node as this l4 node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its join number.
    pub join: u32,
    /// Its share by the fleet file.
    pub weight: u16,
    /// What is checked of it.
    pub checks: Vec<CheckStatus>,
}

/// A check of an l7 node, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckStatus {
    /// [`Target::name`](super::Target::name): node, address and port, and what is asked for.
    pub target: String,
    /// Which way it goes.
    pub through: Through,
    /// Whether new connections that depend on it are sent to the node.
    pub taking: bool,
    /// What may be done with the node as far as this check goes: all that was said together.
    pub state: State,
    /// What the checks say, all in all.
    pub check: CheckHealth,
    /// The last check could not even be tried: what is said here is of earlier checks.
    pub untried: bool,
    /// Why it is in this state, or was not checked, or what is odd; empty where it is simply up.
    pub why: String,
    /// What the judge said last, in the words of agents; `None` where there is none.
    pub judge: Option<String>,
}

impl CheckStatus {
    /// Of a target, where anything is known of it.
    pub(super) fn of(target: &Target, taking: bool, known: Option<&health::Status>) -> Self {
        // What was known before is held to be so, and that is what one has to know.
        let said = |status: &health::Status| match (&status.untried, status.reason.is_empty()) {
            (Some(why), _) => why.clone(),
            (None, true) => status.note.clone().unwrap_or_default(),
            (None, false) => status.reason.clone(),
        };
        Self {
            target: target.name.to_string(),
            through: if target.way.is_some() { Through::Tunnel } else { Through::Node },
            taking,
            state: known.map_or(State::Down, |status| status.state),
            check: known.and_then(|status| status.bits.check).unwrap_or(CheckHealth::Unknown),
            untried: known.is_some_and(|status| status.untried.is_some()),
            why: known.map_or_else(|| "no check has ended yet".to_owned(), said),
            judge: known.and_then(|status| status.judgement.clone()),
        }
    }
}
