//! Promises, tried on the built binary from outside: real processes, real sockets, loopback only.
//!
//! A trial sees what an operator sees (files, the admin socket, metrics, exit codes) and what a client sees, and
//! nothing else. What can be tried cheaper, is: these are for what only the whole can show.

mod agents;
mod bgp;
mod check;
mod demo;
mod dns;
mod dns_reload;
mod drain;
mod failover;
mod ipvs;
mod judges;
mod l4;
mod misbehaviour;
mod names;
mod reload;
mod second_chance;
mod servers;
mod tiers;
mod weights;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::load::Report;
use crate::server::DemoServer;
use crate::{build, paths};

pub(crate) use bgp::inside as bgp_inside;
pub(crate) use ipvs::inside as ipvs_inside;
pub(crate) use l4::{Task as L4Task, inside as l4_inside};
pub(crate) use tiers::inside as tiers_inside;

/// One promise and how it is tried.
pub(crate) struct Trial {
    /// A word for the command line.
    pub(crate) name: &'static str,
    /// What is promised.
    pub(crate) promise: &'static str,
    tried: fn(&Path) -> Result<()>,
}

/// Every trial, the simplest first.
pub(crate) const ALL: &[Trial] = &[
    Trial {
        name: "demo",
        promise: "every service of the demo is answered by all three servers",
        tried: demo::run,
    },
    Trial {
        name: "check",
        promise: "a fleet file with a fault ends in exit code 64 and a line that names it",
        tried: check::run,
    },
    Trial {
        name: "weights",
        promise: "10,000 requests over weights 5:3:1 give exactly the promised counts",
        tried: weights::run,
    },
    Trial {
        name: "servers",
        promise: "a changed fleet file is applied live, an invalid one changes nothing",
        tried: servers::run,
    },
    Trial {
        name: "failover",
        promise: "a server that dies under load costs no request",
        tried: failover::run,
    },
    Trial {
        name: "agents",
        promise: "the node's agent file and a server's agent are obeyed",
        tried: agents::run,
    },
    Trial {
        name: "judges",
        promise: "a plugin judges the checks of L4 nodes and of pools, and one that fails takes nobody out",
        tried: judges::run,
    },
    Trial {
        name: "misbehaviour",
        promise: "a plugin that misbehaves costs no request and is named",
        tried: misbehaviour::run,
    },
    Trial { name: "reload", promise: "plugin files replaced under load cost no request", tried: reload::run },
    Trial {
        name: "dns",
        promise: "DNS queries are answered as they must be, and as NSD, Knot and BIND answer them",
        tried: dns::run,
    },
    Trial {
        name: "dns-reload",
        promise: "zones and plugins replaced under load cost no answer, and none is wrong",
        tried: dns_reload::run,
    },
    Trial {
        name: "ipvs",
        promise: "the kernel balances as foretold, and alike on nodes with different histories",
        tried: ipvs::run,
    },
    Trial {
        name: "bgp",
        promise: "BIRD, GoBGP, FRR and ExaBGP are told what is configured, whatever ends and begins again",
        tried: bgp::run,
    },
    Trial {
        name: "tiers-classic",
        promise: "the small topology with the classic stack answers over both families, as the original does",
        tried: tiers::classic,
    },
    Trial {
        name: "tiers-weir",
        promise: "Weir's L7 and DNS nodes take the places of HAProxy and gdnsd between keepalived and nginx",
        tried: tiers::weir,
    },
    Trial {
        name: "tiers-all",
        promise: "Weir on all tiers, between the same neighbors; L7 nodes are checked through their tunnels",
        tried: tiers::all,
    },
    Trial { name: "drain", promise: "SIGTERM lets every request end that has begun", tried: drain::run },
];

/// A trial that lasts as long as somebody wants, and says how long things took. Not part of `cargo lab test`, since a machine that is
/// busy with something else breaks it.
pub(crate) struct Endurance {
    /// A word for the command line.
    pub(crate) name: &'static str,
    /// What is promised.
    pub(crate) promise: &'static str,
    tried: fn(&Path, Option<Duration>) -> Result<()>,
}

/// Every trial that can last longer.
pub(crate) const ENDURANCE: &[Endurance] = &[
    Endurance {
        name: "l4-figures",
        promise: "no session is lost under load; L4 and L7 nodes that fail are left within a second",
        tried: l4::figures,
    },
    Endurance {
        name: "kills",
        promise: "processes of L4 nodes that are killed break no connection, and the kernel's table is right soon",
        tried: l4::kills,
    },
];

impl Endurance {
    /// As [`Trial::run`], for so long.
    pub(crate) fn run(&self, lasts: Option<Duration>) -> Result<()> {
        within_folder(self.name, self.promise, |folder| (self.tried)(folder, lasts))
    }
}

impl Trial {
    /// Tries it in an empty folder of its own, `target/lab/trials/NAME`, which stays for whoever wants to look.
    pub(crate) fn run(&self) -> Result<()> {
        within_folder(self.name, self.promise, self.tried)
    }
}

fn within_folder(name: &str, promise: &str, tried: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = paths::lab("trials").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    tried(&folder).with_context(|| {
        format!("not kept: {promise} (node's log: {})", paths::short(&folder.join("weir.log")))
    })
}

/// Demo servers of these names.
fn servers(names: &[&str]) -> Result<Vec<DemoServer>> {
    names.iter().map(|name| DemoServer::start(name)).collect()
}

/// A plugin file as it was built.
fn built(file: &str) -> PathBuf {
    build::plugins_folder().join(file)
}

/// What the status calls a plugin in the service of a pool.
fn instance(plugin: &str, pool: &str) -> String {
    format!("{plugin}@{pool}")
}

/// What the status says of a plugin in the service of a pool.
fn plugin<'a>(status: &'a Value, plugin: &str, pool: &str) -> Option<&'a Value> {
    let name = instance(plugin, pool);
    status.get("plugins")?.as_array()?.iter().find(|plugin| plugin["instance"] == name.as_str())
}

/// The value of a metric's sample whose line holds all these pieces; the sum where several do.
fn metric(text: &str, name: &str, pieces: &[&str]) -> f64 {
    let lines =
        text.lines().filter(|line| line.starts_with(name) && pieces.iter().all(|piece| line.contains(piece)));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Whether a load lost nothing.
fn lost_nothing(what: &str, report: &Report) -> Result<()> {
    ensure!(report.sent > 0, "{what}: nothing was sent");
    if report.failed() > 0 {
        bail!("{what}: {}", report.summary());
    }
    Ok(())
}
