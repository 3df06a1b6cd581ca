//! Nodes and the wires between them: network namespaces, bridges, and processes in nodes.
//!
//! A node is a network, mount and host name namespace with an /etc, /run and /var/log of its own, held by one
//! [`keeper`] process. A segment is a bridge in a namespace called `switch`, where no node can see or change it.
//! Everything here is made for a kernel in which starting a program costs milliseconds: the keeper writes files and
//! settings itself, links are made in one batch, and nothing waits that could run beside something else.
//!
//! | module | is |
//! |---|---|
//! | [`keeper`] | the process that holds a node and writes its files |
//! | [`switch`] | the batches that make, cut and mend segments |
//! | [`daemon`] | a program that runs in a node until it is told to end |

pub(crate) mod daemon;
pub(crate) mod keeper;
mod switch;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

pub(crate) use daemon::Daemon;
use keeper::{Keeper, Request};
use switch::Switch;

/// The namespace that holds all bridges.
const SWITCH: &str = "switch";

/// Files with the names of nodes, each with the number of the process that holds it.
const REGISTER: &str = "/run/weir-lab/nodes";

/// All nodes and segments of one run. Dropping it ends whatever runs in them.
pub(crate) struct Fabric {
    out: PathBuf,
    nodes: Mutex<BTreeMap<String, Arc<Keeper>>>,
    switch: Mutex<Switch>,
}

impl Fabric {
    /// An empty fabric; nodes log below `out/NODE/`.
    pub(crate) fn new(out: &Path) -> Result<Self> {
        let fabric =
            Self { out: out.to_owned(), nodes: Mutex::default(), switch: Mutex::new(Switch::default()) };
        std::fs::create_dir_all(REGISTER)?;
        fabric.add_node(SWITCH)?;
        // Bridges forward; a bridge that has addresses of its own would answer as well.
        fabric.sysctl(
            SWITCH,
            &[("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1")],
        )?;
        Ok(fabric)
    }

    /// Adds one node: loopback is up, nothing else is there.
    pub(crate) fn add_node(&self, name: &str) -> Result<()> {
        self.add_nodes(&[name.to_owned()])
    }

    /// Adds many nodes at once: all keepers start before the first is waited for.
    pub(crate) fn add_nodes(&self, names: &[String]) -> Result<()> {
        let mut starting = Vec::with_capacity(names.len());
        for name in names {
            if self.nodes().contains_key(name) || starting.iter().any(|(other, _)| *other == name) {
                bail!("there are two nodes named {name}");
            }
            starting.push((name, Keeper::start(name, &self.out.join(name))?));
        }
        for (name, keeper) in starting {
            keeper.ready()?;
            std::fs::write(Path::new(REGISTER).join(name), keeper.pid().to_string())?;
            self.nodes().insert(name.clone(), Arc::new(keeper));
        }
        Ok(())
    }

    /// Joins nodes by a bridge. A member is (node, name of the interface inside it); the interfaces are up, have no
    /// address and hand over checksums unfinished, as veth does.
    pub(crate) fn segment(&self, name: &str, members: &[(String, String)]) -> Result<()> {
        let mut ends = Vec::with_capacity(members.len());
        let mut inside: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (node, interface) in members {
            ends.push((node.as_str(), interface.as_str(), self.keeper(node)?.pid()));
            inside.entry(node).or_default().push(interface.clone());
        }
        let batch = self.switch().segment(name, &ends);
        self.ip(SWITCH, &batch).with_context(|| format!("segment {name}"))?;
        for (node, interfaces) in inside {
            self.ask(node, &Request::Up { interfaces }).with_context(|| format!("segment {name}"))?;
        }
        Ok(())
    }

    /// Runs lines for `ip -batch -` in a node. The first line that fails ends it; the error shows it.
    pub(crate) fn ip(&self, node: &str, batch: &str) -> Result<()> {
        self.ask(node, &Request::Ip { batch: batch.to_owned() })
    }

    /// Sets kernel parameters in a node, such as (`net.ipv4.ip_forward`, `1`).
    pub(crate) fn sysctl(&self, node: &str, settings: &[(&str, &str)]) -> Result<()> {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.ask(node, &Request::Sysctl { settings })
    }

    /// Writes a file as the node sees it; folders on the way are made. It is replaced in one step, so whoever
    /// watches it never reads half of it.
    pub(crate) fn write(&self, node: &str, path: &str, text: &str) -> Result<()> {
        self.ask(node, &Request::Write { path: path.into(), text: text.to_owned() })
    }

    /// Makes a link to a file of the machine, as the node sees both; folders on the way are made.
    pub(crate) fn link(&self, node: &str, path: &str, target: &Path) -> Result<()> {
        self.ask(node, &Request::Link { path: path.into(), target: target.to_owned() })
    }

    /// Removes a file as the node sees it; content where there is none.
    pub(crate) fn remove(&self, node: &str, path: &str) -> Result<()> {
        self.ask(node, &Request::Remove { path: path.into() })
    }

    /// Runs a program in a node to its end. Its standard output; what it wrote otherwise is in the error.
    pub(crate) fn run(&self, node: &str, argv: &[&str]) -> Result<String> {
        let shown = argv.join(" ");
        let output = self
            .command(node, argv)?
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("node {node}: cannot run `{shown}`"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!(
                "node {node}: `{shown}` ended with {}: {}{}{}",
                output.status,
                text.trim(),
                if text.trim().is_empty() { "" } else { "\n" },
                complaint.trim()
            );
        }
        Ok(text)
    }

    /// Starts a program in a node that runs until it is stopped. It must stay in the foreground. What it prints goes
    /// to `out/NODE/NAME.log`, after what an earlier start left there.
    pub(crate) fn start(&self, node: &str, name: &str, argv: &[&str]) -> Result<Daemon> {
        Daemon::start(self.command(node, argv)?, node, name, &self.logs(node).join(format!("{name}.log")))
    }

    /// A command that becomes `argv` in a node, for callers with pipes of their own.
    pub(crate) fn command(&self, node: &str, argv: &[&str]) -> Result<Command> {
        let (program, arguments) = argv.split_first().context("a command without a program")?;
        let mut command = enter(self.keeper(node)?.pid(), program);
        command.args(arguments);
        Ok(command)
    }

    /// From now on the switch drops every packet from and to this node. Its links stay up, as those of a machine
    /// behind a broken switch do, so only silence tells.
    pub(crate) fn cut_off(&self, node: &str) -> Result<()> {
        let batch = self.switch().cut_off(node);
        self.ip(SWITCH, &batch)
    }

    /// Ends [`Fabric::cut_off`].
    pub(crate) fn reconnect(&self, node: &str) -> Result<()> {
        let batch = self.switch().reconnect(node);
        self.ip(SWITCH, &batch)
    }

    /// Where the logs of a node are.
    pub(crate) fn logs(&self, node: &str) -> PathBuf {
        self.out.join(node)
    }

    /// The process that holds a node's namespaces.
    pub(crate) fn pid(&self, node: &str) -> Result<u32> {
        Ok(self.keeper(node)?.pid())
    }

    fn ask(&self, node: &str, request: &Request) -> Result<()> {
        self.keeper(node)?
            .ask(request)
            .with_context(|| format!("node {node} (look with: cargo lab shell {node})"))
    }

    fn keeper(&self, node: &str) -> Result<Arc<Keeper>> {
        self.nodes().get(node).cloned().with_context(|| format!("there is no node {node}"))
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Keeper>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process that holds a node, for whoever is inside but has no fabric at hand.
pub(crate) fn holder(node: &str) -> Result<u32> {
    let known = || std::fs::read_dir(REGISTER).into_iter().flatten().flatten();
    let text = std::fs::read_to_string(Path::new(REGISTER).join(node));
    let pid = text.ok().and_then(|text| text.trim().parse().ok());
    pid.with_context(|| {
        let mut names: Vec<String> =
            known().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        format!("there is no node {node}; there are: {}", names.join(", "))
    })
}

/// A command that becomes `program` in the namespaces that a process holds.
pub(crate) fn enter(holder: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={holder}")).args(["--net", "--mount", "--uts", "--"]).arg(program);
    command
}
