//! What an operator is shown of an l4 node.

use std::net::IpAddr;

use serde::Serialize;

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
    /// What is checked of it, and whether connections that depend on it are sent there.
    pub targets: Vec<(String, bool)>,
}
