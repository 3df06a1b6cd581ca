//! `weir run`: from a fleet file to a serving node, and back to nothing without losing a request.
//!
//! Everything that changes the node after its start comes through one loop ([`Node::obey`]): commands of the admin socket
//! and signals. What has a rhythm of its own (requests, checks, plugins) runs beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustix::io::Errno;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use weir_core::config::{self, Access, Fleet, Role};
use weir_core::l4::{self, has_tunnels};
use weir_probe::Clock;
use weir_probe::agent::{self, AgentFile};
use weir_proxy::{AccessLog, Options, Segments, Shards};
use weir_wasm::{Compiler, Runtime, RuntimeOptions};

use crate::command::{Command, ServerCommand};
use crate::dns::DnsNode;
use crate::fleet::FleetFile;
use crate::l4::{Balancing, NODES};
use crate::launch::SIDECAR_SOCKET;
use crate::logging::{self, LogLevel};
use crate::network::Network;
use crate::operator::OperatorStates;
use crate::own_agent::OwnAgent;
use crate::pools::{Ground, RunningPool};
use crate::receiving::Receiving;
use crate::{admin, settings};

mod apply;
mod dns;
mod network_side;
mod observe;

/// How long the start waits for the first round of checks and for plugins before it says that it is ready.
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// How often a start that is not settled yet is looked at.
const SETTLING: Duration = Duration::from_millis(50);

/// How long `weir reload` waits for the plugin directory to be read.
const RESCAN: Duration = Duration::from_secs(5);

/// Commands that may wait; who sends one more waits itself.
const COMMANDS: usize = 64;

/// Runs the node of this name until it is told to stop.
pub(crate) fn main(file: FleetFile, name: String) -> ExitCode {
    let level = logging::start(file.fleet.log.level);
    // One thread: checks, commands and scrapes are small. Requests have threads of their own, and so has each policy.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("weir: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(file, name, level)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A node that runs.
struct Node {
    name: String,
    file: FleetFile,
    /// What the process was started with: ports, workers and paths are still these.
    started_with: Arc<Fleet>,
    /// The services that clients can connect to now.
    offered: BTreeMap<config::Name, config::Service>,
    ground: Ground,
    level: LogLevel,
    operators: OperatorStates,
    pools: BTreeMap<config::Name, RunningPool>,
    shards: Option<Arc<Shards>>,
    access_log: Option<AccessLog>,
    /// Where there is an L4 tier: the line to the sidecar.
    network: Option<Network>,
    /// On an L4 node: what it decides.
    balancing: Option<Balancing>,
    /// On an L7 node behind an L4 tier: its tunnels, and what is handed on.
    receiving: Option<Receiving>,
    own_agent: Option<Arc<OwnAgent>>,
    /// On a DNS node: its server.
    dns: Option<DnsNode>,
    started: Instant,
    loaded: SystemTime,
    reload_error: Option<String>,
    restart_needed: Vec<String>,
    draining: bool,
}

/// What the node is told by signals. Listened to from the start: until then SIGHUP would end the process.
struct Signals {
    hangup: Signal,
    /// Logs were renamed, and nothing else.
    renamed: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            renamed: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

async fn serve(file: FleetFile, name: String, level: LogLevel) -> anyhow::Result<()> {
    let signals = Signals::listen().context("cannot listen to signals")?;
    let fleet = Arc::clone(&file.fleet);
    let this = fleet.node(&name)?.clone();
    let (run_dir, state_dir) = (&*fleet.paths.run, &*fleet.paths.state);
    private_directory(run_dir, 0o755)?;
    private_directory(state_dir, 0o700)?;

    let (to_node, commands) = mpsc::channel(COMMANDS);
    let admin = admin::bind(&run_dir.join("admin.sock"))?;
    let readers = match fleet.metrics.enabled {
        true => Some(bind(fleet.metrics.listen, "metrics.listen")?),
        false => None,
    };
    let agent_file = AgentFile::new(&*fleet.agent.file);
    if this.has(Role::Agent) {
        let listener = bind(fleet.agent.listen, "agent.listen")?;
        tokio::spawn(agent::serve(listener, agent_file.clone()));
    }

    let workers = match this.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n.into(),
    };
    let mut plugins =
        RuntimeOptions::new(state_dir.to_owned(), fleet.paths.plugins.to_path_buf(), workers, compiler());
    plugins.plugins = plugins.plugins.max(instances(&fleet));
    let ground = Ground {
        node: name.clone(),
        workers,
        clock: Clock::start(),
        plugins: Arc::new(Runtime::new(plugins)?),
        nudge: Arc::new(OnceLock::new()),
        changed: Arc::new(Notify::new()),
    };
    let network = has_tunnels(&fleet, &name).then(|| Network::start(run_dir.join(SIDECAR_SOCKET)));
    let mut node = Node {
        own_agent: None,
        dns: None,
        name,
        level,
        operators: OperatorStates::load(state_dir),
        pools: BTreeMap::new(),
        shards: None,
        access_log: None,
        network,
        balancing: None,
        receiving: None,
        started: Instant::now(),
        loaded: SystemTime::now(),
        reload_error: None,
        restart_needed: Vec::new(),
        draining: false,
        started_with: Arc::clone(&fleet),
        offered: BTreeMap::new(),
        ground,
        file,
    };
    if this.has(Role::L4) {
        node.start_balancing(&fleet).await?;
    }
    if this.has(Role::L7) {
        node.receive(&fleet);
        node.start_proxy(&fleet, workers, agent_file).await?;
    }
    node.start_dns(&fleet)?;
    tokio::spawn(admin::serve_commands(admin, to_node.clone()));
    if let Some(readers) = readers {
        tokio::spawn(admin::serve_readers(readers, to_node));
    }
    node.obey(signals, commands).await
}

/// Binds this address. On a machine without IPv6 (`ipv6.disable=1`) `[::]` is every address that it has.
fn with_what_is_there<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match bind(address) {
        Err(e)
            if address.ip().is_unspecified()
                && e.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) =>
        {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    }
}

/// A listener for what this field says.
fn bind(address: SocketAddr, field: &str) -> anyhow::Result<TcpListener> {
    let bound = with_what_is_there(address, std::net::TcpListener::bind).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    bound.with_context(|| format!("{field}: cannot listen on {address}"))
}

/// Plugins are compiled by this same binary, in a process of its own.
pub(crate) fn compiler() -> Compiler {
    // The binary that runs, also after another one was installed over it: the two must agree on what machine code is.
    Compiler::Child { exe: "/proc/self/exe".into(), args: vec!["compile-plugin".to_owned()] }
}

/// How many instances of plugins a fleet names.
fn instances(fleet: &Fleet) -> usize {
    let pools = fleet.pools.values();
    let of_pools = pools.map(|p| usize::from(p.scheduler.is_some()) + usize::from(p.judge.is_some()));
    of_pools.sum::<usize>() + usize::from(fleet.l4.judge.is_some()) + fleet.dns.policies.len()
}

/// Makes a directory for this node where there is none. One that is there keeps its mode: packaging may know better.
fn private_directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Where requests are logged.
fn access_log(access: &Access) -> anyhow::Result<Option<AccessLog>> {
    match access {
        Access::Off => Ok(None),
        Access::Stdout => Ok(Some(AccessLog::to_writer(std::io::stdout()).context("log.access")?)),
        Access::File(path) => {
            let log = AccessLog::to_file(&**path);
            Ok(Some(log.with_context(|| format!("log.access: cannot write to {path}"))?))
        }
    }
}

impl Node {
    /// Starts the pools, then the proxy in front of them.
    async fn start_proxy(&mut self, fleet: &Fleet, workers: usize, file: AgentFile) -> anyhow::Result<()> {
        self.apply_pools(fleet).await?;
        self.apply_services(fleet);
        self.access_log = access_log(&fleet.log.access)?;
        let ports: BTreeSet<u16> = fleet.services.values().map(|s| s.port).collect();
        for port in &ports {
            // Shards share a port with each other, and the kernel would let them share it with another node of the same user
            // as well: half of the connections would go there.
            with_what_is_there((Ipv6Addr::UNSPECIFIED, *port).into(), std::net::TcpListener::bind)
                .with_context(|| format!("cannot listen on port {port}: is another program there?"))?;
        }
        let options = Options {
            workers,
            ports: ports.into_iter().collect(),
            access_log: self.access_log.clone(),
            segments: self
                .network
                .as_ref()
                .map(|_| Segments { v4: l4::MAX_SEGMENT.0, v6: l4::MAX_SEGMENT.1 }),
            ..Options::default()
        };
        let shards = Arc::new(Shards::start(options, self.service_table(fleet)?)?);
        let nudged = Arc::downgrade(&shards);
        let nudge = move || {
            if let Some(shards) = nudged.upgrade() {
                shards.nudge();
            }
        };
        let _ = self.ground.nudge.set(Box::new(nudge));
        let told = Arc::downgrade(&shards);
        let on_change = move |up| {
            if let Some(shards) = told.upgrade() {
                shards.set_agent_up(up);
            }
        };
        self.own_agent = Some(OwnAgent::watch(file, on_change).await);
        self.shards = Some(shards);
        Ok(())
    }

    /// Whether the first round of checks and the first version of each plugin are through, so that "ready" means that
    /// requests are answered, by the policies that were asked for.
    async fn is_settled(&self) -> bool {
        for pool in self.pools.values() {
            if !pool.is_settled().await {
                return false;
            }
        }
        if !self.dns.as_ref().is_none_or(DnsNode::is_settled) {
            return false;
        }
        let has_network = self.network.as_ref().is_none_or(Network::is_settled);
        has_network && self.ground.plugins.status().iter().all(|p| !matches!(p.state, "loading" | "canary"))
    }

    /// Says that the node is ready.
    async fn ready(&mut self) {
        for pool in self.pools.values() {
            pool.flush().await;
        }
        self.answer_queries();
        tracing::info!(node = %self.name, fleet = %self.file.path.display(), sha256 = %self.file.sha256, "ready");
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }

    /// The loop: commands and signals, one at a time, until the node is told to stop and has drained.
    async fn obey(
        mut self,
        mut signals: Signals,
        mut commands: mpsc::Receiver<Command>,
    ) -> anyhow::Result<()> {
        let (drained, mut all_drained) = mpsc::channel(1);
        // A server or a plugin that hangs delays "ready", and no more.
        let first_round_ends = Instant::now() + FIRST_ROUND;
        let mut is_ready = false;
        loop {
            if !is_ready && !self.draining && (self.is_settled().await || Instant::now() >= first_round_ends)
            {
                is_ready = true;
                self.ready().await;
            }
            let changed = Arc::clone(&self.ground.changed);
            tokio::select! {
                Some(command) = commands.recv() => self.command(command).await,
                // A refused plugin changes nothing that anybody is told of, so it is looked for.
                _ = tokio::time::timeout(SETTLING, changed.notified()), if !is_ready => {}
                _ = signals.renamed.recv() => self.reopen_logs(),
                _ = signals.hangup.recv() => {
                    self.reopen_logs();
                    let _ = self.reload().await;
                }
                _ = signals.terminate.recv() => if self.stop(drained.clone()) { break },
                _ = signals.interrupt.recv() => if self.stop(drained.clone()) { break },
                Some(()) = all_drained.recv() => break,
            }
        }
        // Shards end before their log is closed, so that the last line is in it.
        drop(self.shards.take());
        if let Some(log) = &self.access_log {
            log.flush(Duration::from_secs(2));
        }
        let socket = self.started_with.paths.run.join("admin.sock");
        let _ = fs::remove_file(socket);
        tracing::info!("stopped");
        Ok(())
    }

    fn reopen_logs(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
        if let Some(dns) = &self.dns {
            dns.reopen_log();
        }
    }

    /// Begins to drain. True where there is nothing to wait for: told twice, or no clients.
    fn stop(&mut self, drained: mpsc::Sender<()>) -> bool {
        let again = std::mem::replace(&mut self.draining, true);
        if again || (self.shards.is_none() && self.balancing.is_none()) {
            return true;
        }
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        let drain = &self.file.fleet.drain;
        let (grace, timeout) = (drain.grace.get(), drain.timeout.get());
        tracing::info!(
            ?grace,
            ?timeout,
            "draining: healthchecks fail, connections close after their request"
        );
        let shards = self.shards.clone();
        let leaving = self.leave();
        tokio::spawn(async move {
            leaving.await;
            if let Some(shards) = shards {
                let left = shards.drain(grace, timeout).await.in_flight;
                if left > 0 {
                    tracing::warn!(requests = left, "not waited for any longer");
                }
            }
            let _ = drained.send(()).await;
        });
        false
    }

    async fn command(&mut self, command: Command) {
        // Whoever asked may have gone away; what was done is done.
        match command {
            Command::Status(to) => drop(to.send(Box::new(self.status().await))),
            Command::Reload(to) => drop(to.send(self.reload().await)),
            Command::Server(command, to) => {
                drop(to.send(self.operator(&command).await.map_err(|e| format!("{e:#}"))));
            }
            Command::RetryPlugin(name, to) => drop(to.send(self.retry_plugin(&name))),
            Command::Explain(ask, to) => drop(to.send(self.explain(&ask))),
        }
    }

    async fn operator(&mut self, command: &ServerCommand) -> anyhow::Result<String> {
        let (pool, server) = (command.pool.as_str(), command.server.as_str());
        if pool == NODES {
            return self.operator_of_node(command).await;
        }
        if !self.pools.contains_key(pool)
            && let Some(done) = self.operator_of_address(command).await
        {
            return done;
        }
        let known = || {
            let policies = self.dns.iter().flat_map(DnsNode::policy_names);
            self.pools.keys().map(config::Name::as_str).chain(policies).collect::<Vec<_>>().join(", ")
        };
        let running = self
            .pools
            .get(pool)
            .with_context(|| format!("there is no pool {pool}; there are: {}", known()))?;
        let mut said = self.operators.get(pool, server);
        let order = command.word.order();
        let status = running.operator(server, order).await?;
        command.word.note(&mut said);
        // Answered when the workers see it, not before.
        running.flush().await;
        self.operators.set(pool, server, said)?;
        let (state, weight) = (status.state.as_str(), status.weight);
        let reason = if status.reason.is_empty() { String::new() } else { format!(" ({})", status.reason) };
        Ok(format!("{pool}/{server} is {state}{reason}, weight {weight}"))
    }

    fn retry_plugin(&self, name: &str) -> Result<String, String> {
        let mut found = false;
        for (pool, running) in &self.pools {
            found |= running.retry_judge(name);
            let Some(hosted) = running.hosted() else { continue };
            let instance = settings::instance_name(scheduler(running.config()), pool.as_str());
            if instance.as_ref() == name || scheduler(running.config()) == name {
                hosted.retry();
                found = true;
            }
        }
        found |= self.balancing.as_ref().is_some_and(|balancing| balancing.retry(name));
        found |= self.dns.as_ref().is_some_and(|dns| dns.retry(name));
        if found {
            Ok(format!("{name} is tried again; weir plugin list shows how it went"))
        } else {
            Err(format!("nothing here uses a plugin {name}; weir plugin list shows those that are used"))
        }
    }
}

fn scheduler(pool: &config::Pool) -> &str {
    pool.scheduler.as_ref().map_or("", config::Name::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_ipv6_listens_all_the_same_and_a_port_in_use_is_none() {
        let without = |address: SocketAddr| match address {
            SocketAddr::V6(_) => Err(Errno::AFNOSUPPORT.into()),
            SocketAddr::V4(_) => Ok(address),
        };
        let any: SocketAddr = (Ipv6Addr::UNSPECIFIED, 80).into();
        assert_eq!(with_what_is_there(any, without).unwrap(), (Ipv4Addr::UNSPECIFIED, 80).into());
        assert_eq!(with_what_is_there(any, Ok).unwrap(), any);
        assert!(with_what_is_there("[2001:db8::1]:80".parse().unwrap(), without).is_err());
        let in_use = |_| Err::<(), _>(Errno::ADDRINUSE.into());
        assert_eq!(with_what_is_there(any, in_use).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
