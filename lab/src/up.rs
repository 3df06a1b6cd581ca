//! `cargo lab up`: from nothing to the whole topology ([`tiers`]), or, where a machine cannot carry that, to a node that
//! proxies to three demo servers on loopback addresses, each service by another policy.

mod tiers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Pool};
use crate::load::{Load, Pace, Report};
use crate::node::{self, Node};
use crate::server::DemoServer;
use crate::tiers::Tiers;
use crate::{build, install, kernel, paths, say};

pub(crate) use tiers::inside;

/// Names and weights of the demo servers.
const SERVERS: [(&str, u16); 3] = [("anna", 5), ("ben", 3), ("cleo", 1)];
/// Requests to each service: ten times the sum of the weights, so that exact weights are seen to be exact.
const REQUESTS: u64 = 90;

/// The services of the demo: name, plugin file, what is said about it.
const SERVICES: [(&str, Option<&str>, &str); 4] = [
    ("native", None, "the host itself: weights in turn"),
    ("cycle", Some("weighted-round-robin.wasm"), "weighted-round-robin.wasm: weights in turn"),
    ("choices", Some("two-choices.wasm"), "two-choices.wasm: the less busy of two"),
    ("hash", Some("consistent-hash.wasm"), "consistent-hash.wasm: x-user keeps its server"),
];

/// How `up` was asked to behave.
pub(crate) struct Wish {
    /// End after this long; otherwise at Ctrl-C.
    pub(crate) stay: Option<Duration>,
    /// Print the result as JSON on standard output.
    pub(crate) json: bool,
    /// Everything on loopback addresses.
    pub(crate) loopback: bool,
    /// Take what is built already.
    pub(crate) built: bool,
    /// Which topology, which stacks.
    pub(crate) tiers: Tiers,
}

/// Brings up all tiers where that can be, or was asked for; otherwise the demo.
pub(crate) fn run(wish: &Wish) -> Result<()> {
    if wish.loopback {
        return demo(wish);
    }
    let shape = wish.tiers.shape()?;
    let kernel = wish.tiers.kernel.unwrap_or_else(kernel::Kernel::choose);
    match install::for_lab(kernel) {
        Ok(_) => tiers::run(wish, shape),
        // Whoever asked for a topology wants to know; whoever just looks in gets what there is.
        Err(error) if wish.tiers.is_plain() => {
            say::line(format!(
                "  loopback  no kernel for all tiers here (`cargo lab doctor` says more): {error:#}"
            ));
            demo(wish)
        }
        Err(error) => Err(error),
    }
}

/// Installs, builds, starts, asks, shows, stays.
fn demo(wish: &Wish) -> Result<()> {
    let began = Instant::now();
    install::for_building()?;
    let plugins = build::everything()?;
    // From here on Ctrl-C ends the demo in good order. Before, nothing ran that could stay behind.
    let interrupted = node::interrupted()?;

    let folder = paths::lab("demo");
    let demo = Demo::start(&folder, &plugins)?;
    say::line(format!("  ready     weir run, {} services, {} servers", demo.services.len(), SERVERS.len()));
    let asked = demo.ask()?;
    let complete = asked.iter().all(Asked::complete);

    if wish.json {
        println!("{:#}", demo.as_json(&asked, complete, began.elapsed())?);
    } else {
        print!("\n{}", demo.as_text(&asked, &plugins));
    }
    if !complete {
        bail!(
            "not every server answered for every service; {} says more",
            paths::short(&folder.join("weir.log"))
        );
    }
    match wish.stay {
        Some(stay) => {
            say::line(format!("\nStays for {}.", say::elapsed(stay)));
            let _ = interrupted.recv_timeout(stay);
        }
        None => {
            say::line("\nStays until Ctrl-C.");
            interrupted.recv().context("the watch for Ctrl-C ended")?;
        }
    }
    let status = demo.node.stop_at_once()?;
    say::line(format!("Stopped, {status}."));
    Ok(())
}

/// The demo, running.
pub(crate) struct Demo {
    /// The node under trial.
    pub(crate) node: Node,
    /// Its services.
    pub(crate) services: Vec<(&'static str, &'static str, SocketAddr)>,
    /// The servers behind it; they end with the demo.
    _servers: Vec<DemoServer>,
    fleet: Fleet,
    folder: PathBuf,
}

/// What came of asking one service.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its name.
    pub(crate) name: &'static str,
    policy: &'static str,
    address: SocketAddr,
    /// Who answered how often.
    pub(crate) report: Report,
    /// Who chose how often, as the node says: `native`, or a plugin's `table`, `cycle` and `pick`.
    decisions: BTreeMap<String, u64>,
}

impl Asked {
    /// Nothing failed, every server had its part, and nobody stood in for a plugin.
    pub(crate) fn complete(&self) -> bool {
        let fallback = self.decisions.contains_key("fallback");
        self.report.failed() == 0 && self.report.by_server.len() == SERVERS.len() && !fallback
    }
}

impl Demo {
    /// Starts servers and node in a folder of their own. `plugins` is where the built files are.
    pub(crate) fn start(folder: &Path, plugins: &Path) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let mut fleet = Fleet::new(folder)?;
        let servers: Vec<DemoServer> =
            SERVERS.iter().map(|(name, _)| DemoServer::start(name)).collect::<Result<_>>()?;
        let weights = SERVERS.map(|(_, weight)| weight);
        let mut services = Vec::new();
        for (name, file, policy) in SERVICES {
            let mut pool = Pool::unchecked(&servers, &weights).checked();
            if let Some(file) = file {
                std::fs::copy(plugins.join(file), fleet.paths.plugins.join(file))
                    .with_context(|| format!("the plugin {file} was not built"))?;
                fleet.plugin(name, file, "");
                pool = pool.by(name).keyed_by_header("x-user");
            }
            services.push((name, policy, fleet.service(name, pool)?));
        }
        let node = Node::start(&fleet, folder)?;
        Ok(Self { node, services, _servers: servers, fleet, folder: folder.to_owned() })
    }

    /// Sends each service the same requests, one after the other on one connection.
    pub(crate) fn ask(&self) -> Result<Vec<Asked>> {
        let mut asked = Vec::new();
        for &(name, policy, address) in &self.services {
            let load = Load { address, path: "/".into(), pace: Pace::Count(REQUESTS), connections: 1 };
            asked.push(Asked {
                name,
                policy,
                address,
                report: load.start().join()?,
                decisions: BTreeMap::new(),
            });
        }
        let status = self.node.status()?;
        for service in &mut asked {
            let mut pools = status["pools"].as_array().into_iter().flatten();
            let pool =
                pools.find(|pool| pool["name"] == service.name).context("a pool is not in the status")?;
            service.decisions = serde_json::from_value(pool["decisions"].clone())?;
            service.decisions.retain(|_, count| *count > 0);
        }
        Ok(asked)
    }

    fn as_text(&self, asked: &[Asked], plugins: &Path) -> String {
        let mut header = vec!["service", "listens on"];
        header.extend(SERVERS.map(|(name, _)| name));
        header.extend(["failed", "chosen by", "policy"]);
        let rows: Vec<Vec<String>> = asked
            .iter()
            .map(|service| {
                let count = |name: &str| service.report.by_server.get(name).copied().unwrap_or(0).to_string();
                let mut row = vec![service.name.to_owned(), format!("http://{}/", service.address)];
                row.extend(SERVERS.map(|(name, _)| count(name)));
                let chosen: Vec<String> =
                    service.decisions.iter().map(|(by, count)| format!("{by} {count}")).collect();
                row.extend([
                    service.report.failed().to_string(),
                    chosen.join(", "),
                    service.policy.to_owned(),
                ]);
                row
            })
            .collect();
        let table = say::table(&header, &rows);
        let weir = paths::short(&paths::weir());
        let socket = paths::short(&self.fleet.socket());
        let to = paths::short(&self.fleet.paths.plugins.join("two-choices.wasm"));
        let from = paths::short(&plugins.join("least-request.wasm"));
        let metrics = self.fleet.metrics.listen;
        let first = asked.first().map_or_else(String::new, |service| format!("http://{}/", service.address));
        format!(
            "{table}
  {REQUESTS} requests to each service. From the root of the checkout, try:

  ask it          curl -i {first}
  another policy  cp {from} {to}
  what it does    {weir} status --socket {socket}
  its plugins     {weir} plugin list --socket {socket}
  for a browser   http://{metrics}/
  metrics         curl http://{metrics}/metrics
  fleet file      {}   (edit it: it is applied at {weir} reload --socket {socket})
  access log      {}
",
            paths::short(&self.node.file),
            paths::short(&self.folder.join("access.log")),
        )
    }

    fn as_json(&self, asked: &[Asked], complete: bool, took: Duration) -> Result<Value> {
        let services: Vec<Value> = asked
            .iter()
            .map(|service| {
                json!({
                    "name": service.name,
                    "url": format!("http://{}/", service.address),
                    "policy": service.policy,
                    "requests": service.report.sent,
                    "failed": service.report.failed(),
                    "answered": service.report.by_server,
                    "chosen_by": service.decisions,
                })
            })
            .collect();
        let weights: BTreeMap<&str, u16> = SERVERS.into_iter().collect();
        Ok(json!({
            "ok": complete,
            "took_seconds": took.as_secs_f64(),
            "weights": weights,
            "services": services,
            "fleet": self.node.file,
            "admin_socket": self.fleet.socket(),
            "metrics": format!("http://{}/metrics", self.fleet.metrics.listen),
            "pid": self.node.pid(),
        }))
    }
}
