//! The fleet file: what every node knows of all nodes, services, pools and plugins.
//!
//! One TOML text, the same on every machine of a fleet, so that all of them have the same view by
//! construction. [`parse`] turns the text into a [`Fleet`] in which every number is in range and every name
//! that is used exists, or into [`Errors`] that name file, line and column of *everything* that is wrong.
//! Whoever reads the file, watches it or asks `weir check` is elsewhere; here is text in, value out.
//!
//! | module | what it holds |
//! |---|---|
//! | `default` | every default, with where its number comes from |
//! | `value` | values with a rule: a name, a time, a size, a set of statuses |
//! | `node`, `plugin`, `pool`, `key`, `check`, `server`, `service`, `l4`, `bgp`, `dns` | the sections of the file |
//! | `source` | where in the text a value stands |
//! | `read` | text to sections, one error per wrong field |
//! | `rules` | what must hold between fields |
//! | `fault` | errors as a compiler prints them |
//! | `changes` | what differs between two files, and what a difference costs |
//! | `schema` | JSON schema and Markdown reference, made from the sections |

mod bgp;
mod changes;
mod check;
mod default;
mod dns;
mod fault;
mod key;
mod l4;
mod node;
mod plugin;
mod pool;
mod read;
mod rules;
mod schema;
mod server;
mod service;
mod source;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bgp::{AddressFamily, Bfd, Bgp, MAX_NEIGHBORS, Neighbor};
pub use changes::{Changes, changes};
pub use check::{AgentCheck, Check, CheckType};
pub use default::*;
pub use dns::{
    AllDown, Dns, DnsAddress, DnsPolicy, DnsTcp, DnsTls, Geography, MAX_DNS_ADDRESSES, MAX_DNS_CONNECTIONS,
    RateLimit, StateFile, Unlisted,
};
pub use fault::{Errors, Fault};
pub use key::Key;
pub use l4::{AllNodesDown, ConnectionTimeouts, Encapsulation, L4, NodeCheck, Quorum, SecondChance, Through};
pub use node::{Access, Agent, Drain, Level, Log, MAX_WORKERS, Metrics, Node, Paths, Role};
pub use plugin::{MAX_PLUGIN_CONFIG, PLUGIN_MEMORY_RANGE, Plugin};
pub use pool::{MAX_RETRIES, Pool, Timeouts};
pub use schema::{json_schema, reference};
pub use server::{MAX_LABEL_BYTES, MAX_LABELS, Server};
pub use service::{ClientTimeouts, Service};
pub use value::{
    AbsolutePath, Community, HealthPath, KernelScheduler, LargeCommunity, Name, Period, PluginFile, Sha256,
    Size, Statuses, Token, UrlPath,
};

/// A complete file with a comment at every field. It parses; `weir` prints it for whoever starts from nothing.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// The one version of the format that there is.
pub const VERSION: u32 = 1;

/// The longest fleet file, bytes: a file of all limits below at once would be no more, and a log that was
/// renamed by mistake is refused before it is parsed.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most nodes, plugins, pools and services, each.
pub const MAX_ENTRIES: usize = 1024;

/// What the fleet file says. Made by [`parse`] only, so that its rules hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Weir fleet file", description = "One TOML file, the same on every node.")]
pub struct Fleet {
    /// Version of this format: 1.
    #[schemars(range(min = VERSION, max = VERSION))]
    pub version: u32,
    /// Where files lie on every node.
    #[serde(default)]
    pub paths: Paths,
    /// What is logged, and where to.
    #[serde(default)]
    pub log: Log,
    /// The Prometheus listener.
    #[serde(default)]
    pub metrics: Metrics,
    /// How a node that is told to stop lets go of its clients.
    #[serde(default)]
    pub drain: Drain,
    /// The agent-check server: what nodes with the role `agent` serve, and where `l7` nodes find their own health.
    #[serde(default)]
    pub agent: Agent,
    /// Every machine that runs `weir`, by the name that it is started with (`--node`, default: its host name). At
    /// least one.
    #[serde(default)]
    pub nodes: BTreeMap<Name, Node>,
    /// Instances of plugins: a file with a configuration. Several instances of one file are fine.
    #[serde(default)]
    pub plugins: BTreeMap<Name, Plugin>,
    /// Groups of servers among which a request is scheduled.
    #[serde(default)]
    pub pools: BTreeMap<Name, Pool>,
    /// What clients connect to. Every node with the role `l7` serves all of them.
    #[serde(default)]
    pub services: BTreeMap<Name, Service>,
    /// What nodes with the role `l4` do.
    #[serde(default)]
    pub l4: L4,
    /// How nodes with the role `l4` announce the addresses of services.
    pub bgp: Option<Bgp>,
    /// What nodes with the role `dns` do.
    #[serde(default)]
    pub dns: Dns,
}

/// The node that was asked for is not in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fleet file has no [nodes.{asked}]; it has {known}. Start with --node NAME, or add the section")]
pub struct UnknownNode {
    /// The name that was asked for.
    pub asked: String,
    /// The names that there are, as text.
    pub known: String,
}

impl Fleet {
    /// The section of one node.
    ///
    /// # Errors
    /// There is no such node; the error lists those that exist.
    pub fn node(&self, name: &str) -> Result<&Node, UnknownNode> {
        self.nodes.get(name).ok_or_else(|| UnknownNode {
            asked: name.to_owned(),
            known: fault::one_of(self.nodes.keys().map(Name::as_str)),
        })
    }
}

/// Reads a fleet file. `file_name` is only used in errors.
///
/// # Errors
/// Everything that is wrong with the text, in the order of its lines. Errors of TOML's own grammar hide
/// those of content, since a text that is not understood cannot be checked.
pub fn parse(file_name: &str, text: &str) -> Result<Fleet, Errors> {
    let mut faults = fault::Faults::new(file_name, text);
    if text.len() > MAX_BYTES {
        faults.add(0..0, format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len()));
        return Err(faults.into_errors());
    }
    let Some((fleet, source)) = read::read(text, &mut faults) else { return Err(faults.into_errors()) };
    rules::check(&fleet, &source, &mut faults);
    if faults.is_empty() { Ok(fleet) } else { Err(faults.into_errors()) }
}
