//! The reference deployment as data: which nodes there are, what they are wired to, their addresses, routes and
//! settings. Nothing here touches a machine; [`crate::world`] builds it on a [`crate::fabric`].
//!
//! It is the "3-tier load balancer" lab of `vincentbernat/network-lab` with node counts as parameters: the same four
//! segments, the same interface names, and for the same counts the same addresses.
//!
//! ```text
//!   users, dns --- internet --- R1..2 --- RR1..2, LB4-1..n, LB7-1..n --- S1..n
//!          clients         edge          infrastructure           servers
//! ```
//!
//! | module | is |
//! |---|---|
//! | [`address`] | who has which address, and why it is that one |
//! | [`commands`] | the same as lines for `ip -batch` |
//! | [`sysctl`] | what the kernel of a node is told, the original's faults among it |

pub(crate) mod address;
mod commands;
pub(crate) mod sysctl;

use std::net::IpAddr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Addresses of a service: the first two are `mh` in the original, the other two `sh`.
pub(crate) const SERVICES: u32 = 4;
/// What all services listen on.
pub(crate) const SERVICE_PORT: u16 = 80;
/// What the servers listen on.
pub(crate) const SERVER_PORT: u16 = 88;
/// What agent checks are asked for on.
pub(crate) const AGENT_PORT: u16 = 5555;

/// How many nodes of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    /// Addresses that clients come from, all on one node.
    pub(crate) users: u32,
    /// Edge routers.
    pub(crate) routers: u32,
    /// BGP route reflectors.
    pub(crate) reflectors: u32,
    /// L4 nodes.
    pub(crate) l4: u32,
    /// L7 nodes, without the spare one.
    pub(crate) l7: u32,
    /// Application servers.
    pub(crate) servers: u32,
}

impl Size {
    /// Two of everything: for tests.
    pub(crate) const fn small() -> Self {
        Self { users: 10, routers: 2, reflectors: 2, l4: 2, l7: 2, servers: 2 }
    }

    /// The original's.
    pub(crate) const fn full() -> Self {
        Self { users: 200, routers: 2, reflectors: 2, l4: 7, l7: 13, servers: 10 }
    }

    /// Refuses what does not fit the address plan.
    fn check(self) -> Result<Self> {
        for (what, count) in
            [("users", self.users), ("l4", self.l4), ("l7", self.l7), ("servers", self.servers)]
        {
            if count == 0 {
                bail!("a lab needs at least one of each: --{what} is 0");
            }
        }
        if self.routers == 0 || self.reflectors == 0 {
            bail!("a lab needs a router and a reflector");
        }
        if self.users > 254 {
            bail!("{} users do not fit 203.0.113.0/24; at most 254", self.users);
        }
        let infrastructure = self.routers + self.reflectors + self.l4 + self.l7 + 1;
        if infrastructure > 125 {
            bail!(
                "{infrastructure} routers, reflectors, L4 and L7 nodes do not fit 192.0.2.128/25; at most 125"
            );
        }
        if self.servers > 254 {
            bail!("{} servers: at most 254", self.servers);
        }
        Ok(self)
    }
}

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// All clients.
    Users,
    /// The DNS server.
    Dns,
    /// The router that stands for the rest of the world.
    Internet,
    /// An edge router.
    Router,
    /// A route reflector.
    Reflector,
    /// An L4 node: IPVS.
    L4,
    /// An L7 node: HTTP.
    L7,
    /// An application server.
    Server,
}

/// An interface of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its name in the node.
    pub(crate) name: &'static str,
    /// What it is plugged into.
    pub(crate) segment: &'static str,
    /// Its addresses, with the length of the prefix.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name, as the original has it: `LB7-3`.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) kind: Kind,
    /// Which one of its kind, from 1.
    pub(crate) number: u32,
    /// What it is wired to.
    pub(crate) interfaces: Vec<Interface>,
    /// Is built and wired, and runs nothing until a step adds it.
    pub(crate) spare: bool,
}

/// A segment: whoever is plugged into it reaches each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its name.
    pub(crate) name: &'static str,
    /// Node and interface of each member.
    pub(crate) members: Vec<(String, String)>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topology {
    /// What it was made for.
    pub(crate) size: Size,
    /// Clients first, servers last: the order in which a connection passes them.
    pub(crate) nodes: Vec<Node>,
}

const CLIENTS: &str = "clients";
const EDGE: &str = "edge";
const INFRASTRUCTURE: &str = "infra";
const SERVERS: &str = "servers";

impl Topology {
    /// The topology of this size, with one spare L7 node behind the others.
    ///
    /// # Errors
    /// A size that the address plan has no room for.
    pub(crate) fn new(size: Size) -> Result<Self> {
        let size = size.check()?;
        let mut nodes = vec![
            node("users", Kind::Users, 1, &[("veth0", CLIENTS)]),
            node("dns", Kind::Dns, 1, &[("veth0", CLIENTS)]),
            node("internet", Kind::Internet, 1, &[("veth0", CLIENTS), ("veth1", EDGE)]),
        ];
        let mut add = |prefix: &str, kind, count, wires: &[(&'static str, &'static str)]| {
            nodes.extend((1..=count).map(|number| node(&format!("{prefix}{number}"), kind, number, wires)));
        };
        add("R", Kind::Router, size.routers, &[("veth0", EDGE), ("veth1", INFRASTRUCTURE)]);
        add("RR", Kind::Reflector, size.reflectors, &[("veth0", INFRASTRUCTURE)]);
        add("LB4-", Kind::L4, size.l4, &[("veth0", INFRASTRUCTURE)]);
        add("LB7-", Kind::L7, size.l7 + 1, &[("veth0", INFRASTRUCTURE), ("veth1", SERVERS)]);
        add("S", Kind::Server, size.servers, &[("veth0", SERVERS)]);
        for node in &mut nodes {
            node.spare = node.kind == Kind::L7 && node.number > size.l7;
            for interface in &mut node.interfaces {
                interface.addresses = address::of(size, node.kind, node.number, interface.segment);
            }
        }
        Ok(Self { size, nodes })
    }

    /// A node by its name.
    ///
    /// # Errors
    /// No such node, with the names that there are.
    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        let found = self.nodes.iter().find(|node| node.name == name);
        let Some(node) = found else {
            let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            bail!("there is no node `{name}`; there are {}", names.join(", "));
        };
        Ok(node)
    }

    /// The nodes of a kind, the spare one left out.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.kind == kind && !node.spare)
    }

    /// The L7 node that runs nothing at first.
    pub(crate) fn spare(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.spare)
    }

    /// What is wired to what.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        [CLIENTS, EDGE, INFRASTRUCTURE, SERVERS]
            .into_iter()
            .map(|name| Segment {
                name,
                members: self
                    .nodes
                    .iter()
                    .flat_map(|node| {
                        let wires = node.interfaces.iter().filter(move |wire| wire.segment == name);
                        wires.map(|wire| (node.name.clone(), wire.name.to_owned()))
                    })
                    .collect(),
            })
            .collect()
    }

    /// Lines for `ip -batch` that give a node its addresses, tunnels and routes. A node whose programs make tunnels and service
    /// addresses themselves is given none.
    pub(crate) fn commands(&self, node: &Node, makes_its_own: bool) -> String {
        commands::of(self.size, node, makes_its_own)
    }

    /// All eight addresses of the services, IPv4 first.
    pub(crate) fn services(&self) -> Vec<IpAddr> {
        let v4 = (1..=SERVICES).map(|n| IpAddr::V4(address::service(n)));
        v4.chain((1..=SERVICES).map(|n| IpAddr::V6(address::beside(address::service(n))))).collect()
    }
}

fn node(name: &str, kind: Kind, number: u32, wires: &[(&'static str, &'static str)]) -> Node {
    let interfaces =
        wires.iter().map(|&(name, segment)| Interface { name, segment, addresses: Vec::new() }).collect();
    Node { name: name.to_owned(), kind, number, interfaces, spare: false }
}

#[cfg(test)]
mod tests;
