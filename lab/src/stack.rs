//! What runs on a node: its programs, their files, and the order in which they start. Pure: text from a topology.
//!
//! Two stacks run on the same topology, tier by tier as chosen. *Classic* is what the original runs, each program from
//! Debian and configured as the original configures it, its faults among it ([`FAULTS`]). *Weir* is Weir wherever it
//! has that tier. Routers, reflectors and the application belong to neither: they are the same below both, but for a session of
//! each router with each of Weir's L4 nodes.
//!
//! | module | program | on |
//! |---|---|---|
//! | [`bird`] | BIRD | routers |
//! | [`gobgp`] | GoBGP | reflectors |
//! | [`keepalived`], [`exabgp`] | keepalived, ExaBGP with its healthcheck | L4 nodes, classic |
//! | [`haproxy`], [`agent`] | HAProxy, socat | L7 nodes, classic |
//! | [`application`], [`agent`] | nginx and the application behind it, socat | servers |
//! | [`gdnsd`] | gdnsd | the DNS server, classic |
//! | [`weir`] | `weir run` | L4 nodes, L7 nodes, the agent of servers and the DNS server, Weir |
//!
//! [`names`] is what the DNS server answers, in either.

mod agent;
mod application;
pub(crate) mod bird;
mod exabgp;
mod gdnsd;
mod gobgp;
mod haproxy;
pub(crate) mod keepalived;
pub(crate) mod names;
pub(crate) mod weir;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::topology::{Kind, Node, Topology};

/// The file that an operator makes on an L4 node to take it out.
pub(crate) const DISABLE_FILE: &str = "/etc/lb/disable";
/// The file whose word decides over an L7 node or a server.
pub(crate) const AGENT_FILE: &str = "/etc/lb/agent-check";

/// Whose programs run on a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stack {
    /// The original's, from Debian.
    Classic,
    /// Weir.
    Weir,
}

impl FromStr for Stack {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "classic" => Ok(Self::Classic),
            "weir" => Ok(Self::Weir),
            other => bail!("`{other}` is neither `classic` nor `weir`"),
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "classic",
            Self::Weir => "weir",
        })
    }
}

/// The stack of each tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// Of the L4 nodes.
    pub(crate) l4: Stack,
    /// Of the L7 nodes and of the agents of servers.
    pub(crate) l7: Stack,
    /// Of the DNS server.
    pub(crate) dns: Stack,
}

impl Choice {
    /// The original's on every tier.
    pub(crate) const CLASSIC: Self = Self { l4: Stack::Classic, l7: Stack::Classic, dns: Stack::Classic };
    /// Weir on every tier.
    pub(crate) const WEIR: Self = Self { l4: Stack::Weir, l7: Stack::Weir, dns: Stack::Weir };

    /// Whether the programs of a node of this kind make its tunnels, service addresses and settings themselves. L7 nodes do for L4
    /// nodes of the same fleet.
    pub(crate) fn makes_its_own(self, kind: Kind) -> bool {
        match kind {
            Kind::L4 => self.l4 == Stack::Weir,
            Kind::L7 => self.l4 == Stack::Weir && self.l7 == Stack::Weir,
            _ => false,
        }
    }
}

/// A file of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Where, as the node sees it.
    pub(crate) path: &'static str,
    /// What.
    pub(crate) text: String,
}

/// A file of a node that is one of this machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where, as the node sees it.
    pub(crate) path: &'static str,
    /// The file that it is.
    pub(crate) target: PathBuf,
}

/// When a program starts, while the whole lab comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// At once.
    First,
    /// When all L7 nodes say that they are healthy: keepalived that asks before asks again ten seconds later.
    AfterL7,
    /// When these files are there: the healthcheck of ExaBGP that looks before looks again ten seconds later.
    After(&'static [&'static str]),
}

/// A program of a node. It stays in the foreground and prints its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its name, also that of its log.
    pub(crate) name: &'static str,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// When it starts.
    pub(crate) turn: Turn,
}

/// What a node is given and runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outfit {
    /// Its files.
    pub(crate) files: Vec<File>,
    /// Files that were built.
    pub(crate) links: Vec<Link>,
    /// Its programs, in the order in which they start.
    pub(crate) programs: Vec<Program>,
}

impl Outfit {
    /// What a node of this topology runs. `lab` and `weir` are the programs of this checkout.
    pub(crate) fn of(topology: &Topology, choice: Choice, node: &Node, lab: &Path, weir: &Path) -> Self {
        let size = topology.size;
        let mut outfit = Self::default();
        match node.kind {
            Kind::Users => {
                outfit.file("/etc/resolv.conf", format!("nameserver {}\n", crate::topology::address::DNS));
            }
            Kind::Internet => {}
            Kind::Dns => match choice.dns {
                Stack::Classic => gdnsd::outfit(&mut outfit),
                Stack::Weir => weir::outfit(&mut outfit, topology, choice, node, weir),
            },
            Kind::Router => bird::outfit(&mut outfit, size, node.number, choice.l4),
            Kind::Reflector => gobgp::outfit(&mut outfit, node.number),
            Kind::L4 => match choice.l4 {
                Stack::Classic => {
                    keepalived::outfit(&mut outfit, size);
                    exabgp::outfit(&mut outfit, size, node.number);
                }
                Stack::Weir => weir::outfit(&mut outfit, topology, choice, node, weir),
            },
            Kind::L7 => {
                outfit.file(AGENT_FILE, "UP\n".into());
                match choice.l7 {
                    Stack::Classic => {
                        agent::on_l7(&mut outfit);
                        haproxy::outfit(&mut outfit, size, node.number);
                    }
                    Stack::Weir => weir::outfit(&mut outfit, topology, choice, node, weir),
                }
            }
            Kind::Server => {
                outfit.file(AGENT_FILE, "UP\n".into());
                application::outfit(&mut outfit, &node.name, lab);
                match choice.l7 {
                    Stack::Classic => agent::on_server(&mut outfit, size, lab),
                    Stack::Weir => weir::outfit(&mut outfit, topology, choice, node, weir),
                }
            }
        }
        outfit
    }

    fn file(&mut self, path: &'static str, text: String) {
        self.files.push(File { path, text });
    }

    fn link(&mut self, path: &'static str, target: PathBuf) {
        self.links.push(Link { path, target });
    }

    /// A program that speaks BGP. It goes before others: its neighbours end a session after three silent seconds, and
    /// all nodes of the lab may share one CPU, which those of the original do not.
    fn speaker(&mut self, name: &'static str, turn: Turn, argv: &[&str]) {
        let nice = ["/usr/bin/nice", "-n", "-15"];
        self.program(name, turn, &[nice.as_slice(), argv].concat());
    }

    fn program(&mut self, name: &'static str, turn: Turn, argv: &[&str]) {
        self.programs.push(Program { name, argv: argv.iter().map(|&part| part.to_owned()).collect(), turn });
    }
}

/// What is wrong with the original and kept, so that it can be measured.
pub(crate) const FAULTS: [(&str, &str); 9] = [
    (
        "expire_nodest_conn=0",
        "meant to drain an L7 node; but keepalived removes a node that fails its check, and packets of connections to a \
         removed node vanish: its clients hang",
    ),
    (
        "destinations are removed and added again",
        "the kernel's Maglev table depends on the order of additions, so L4 nodes that saw different failures disagree",
    ),
    (
        "schedule_icmp not set",
        "an ICMP error that a router sends to an L4 node without the connection is lost",
    ),
    ("pmtu_disc=0", "IPv4 packets that do not fit the tunnel are cut in pieces without a word to the client"),
    (
        "IPv6 route of the L4 nodes",
        "leads to the services where the users were meant: an L4 node cannot tell an IPv6 client that a packet is too big",
    ),
    (
        "no `merge paths` for IPv6",
        "each router sends all IPv6 to one L4 node; the others are idle until that one is gone",
    ),
    (
        "no `--withdraw-on-down`",
        "an L4 node that is not ready or disabled still announces, with metric 1000 in place of 100: without others it is used",
    ),
    (
        "two quorums share a file",
        "`mh` and `sh` services of a family touch and remove the same file: one that loses its quorum withdraws both, \
         one that gains it announces both",
    ),
    ("send-max: 16", "a reflector hands on sixteen paths: a seventeenth L4 node is never used"),
];

#[cfg(test)]
mod tests;
