//! An L4 node: checks of the L7 nodes, its files and its operators in, the desired state out to the sidecar.
//!
//! What is decided is in [`weir_core::l4`]; here one task owns that machine, so that a check's result, a file and an operator
//! never run into each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use weir_core::config::{AddressFamily, CheckType, Fleet, NodeCheck, Through};
use weir_core::desired::speaker::{Key, MAX_KEY};
use weir_core::health::{Admin, HealthSpec, Operator, OperatorCommand, Status};
use weir_core::l4::{self, Action, Event, Keys, Layout, Machine, SERVICE_HEADER, Target};
use weir_core::model::State;
use weir_probe::check::{Check, HttpCheck, Method, Sockets};
use weir_probe::{Clock, Watch, Watched};

use crate::judge::{JudgeChange, JudgePlugin};
use crate::network::Network;
use crate::pools::Ground;
use crate::settings;
use crate::status::JudgeStatus;

/// The first part of the name by which operators speak of nodes: `nodes/l7-1`.
pub(crate) const NODES: &str = "nodes";

/// How long the first round of checks waits for the judge: a plugin of a usual size is compiled in a tenth of a second.
const JUDGE_LOADS: Duration = Duration::from_secs(3);

/// How long a disable file that has come or gone goes unseen at most.
const FILE_EVERY: Duration = Duration::from_millis(250);

/// For the task that owns the machine.
#[derive(Debug)]
enum Told {
    Event(Event),
    Status(oneshot::Sender<l4::Status>),
    /// An answer when everything before it was decided.
    Flush(oneshot::Sender<()>),
}

/// A running L4 node.
pub(crate) struct Balancing {
    name: String,
    told: mpsc::UnboundedSender<Told>,
    watch: Watch,
    layout: Layout,
    judge: Option<JudgePlugin>,
    /// Which file takes this node out.
    disable_file: watch::Sender<PathBuf>,
}

/// A fleet file's part for this node, before anything is changed.
pub(crate) struct Prepared {
    fleet: Arc<Fleet>,
    keys: Keys,
    layout: Layout,
    watched: Vec<Watched>,
    judge: JudgeChange,
}

impl Prepared {
    /// All that can be wrong with it is wrong here. `running` is what it will be applied to; `operator` says what was ordered of nodes.
    pub(crate) fn new(
        fleet: &Arc<Fleet>,
        running: Option<&Balancing>,
        ground: &Ground,
        network: &Network,
        operator: impl Fn(&str) -> Operator,
    ) -> anyhow::Result<Self> {
        let running = running.and_then(|balancing| balancing.judge.as_ref());
        let judge = JudgeChange::of(running, fleet.l4.judge.as_ref(), NODES, fleet, ground)?;
        let layout = Layout::of(fleet);
        let asked = judge.outcome(running);
        let node = fleet.node(&ground.node)?;
        let watched = layout.targets().iter().map(|target| {
            let from = node.address(AddressFamily::of(target.to.ip()));
            let sockets = match (fleet.l4.check.through, target.way, from) {
                (Through::Node, _, _) => Sockets::Any,
                (Through::Tunnel, Some(way), Some(from)) => network.sockets(way, from),
                // Any other socket would end at whichever node the balancer chooses. The file's rules let none of this in.
                _ => anyhow::bail!("{} cannot be checked through the tunnel from this node", target.name),
            };
            watched(fleet, target, sockets, asked, &operator)
        });
        let watched = watched.collect::<anyhow::Result<_>>().context("l4.check")?;
        Ok(Self { fleet: Arc::clone(fleet), keys: keys(fleet), layout, watched, judge })
    }
}

fn watched(
    fleet: &Fleet,
    target: &Target,
    sockets: Sockets,
    judge: Option<&JudgePlugin>,
    operator: &impl Fn(&str) -> Operator,
) -> anyhow::Result<Watched> {
    let weight = fleet.nodes.get(target.node.as_str()).map_or(0, |node| node.weight);
    let timing = fleet.l4.check.timing();
    Ok(Watched {
        name: Arc::clone(&target.name),
        spec: HealthSpec { weight, check: Some(timing), ..HealthSpec::default() },
        check: Some(check(&fleet.l4.check, target, sockets)?),
        agent: None,
        judge: judge.map(|judge| judge.of(&target.node, labels(target))),
        operator: operator(target.node.as_str()),
    })
}

/// What a judge is told of a target beside the node's name: one node may have several.
fn labels(target: &Target) -> Arc<[(String, String)]> {
    let through = if target.way.is_some() { "tunnel" } else { "node" };
    let address = [("address", target.to.to_string()), ("through", through.to_owned())];
    let path = target.path.iter().map(|path| ("path", path.clone()));
    let service = target.service.iter().map(|service| ("service", service.to_string()));
    address.into_iter().chain(path).chain(service).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn check(check: &NodeCheck, target: &Target, sockets: Sockets) -> anyhow::Result<Check> {
    let method = match (check.kind, &target.path) {
        (CheckType::Http, Some(path)) => {
            let host = check.host.clone().unwrap_or_else(|| target.to.to_string());
            let http = HttpCheck::new(&host, path, check.expect.ranges().to_vec())?;
            Method::Http(match &target.service {
                Some(service) => http.with_header(SERVICE_HEADER, service),
                None => http,
            })
        }
        _ => Method::Tcp,
    };
    Ok(Check { address: target.to, proxy_line: false, sockets, method })
}

/// The secrets of the neighbors that have one. A neighbor whose file cannot be read is not spoken to, and the status says so.
fn keys(fleet: &Fleet) -> Keys {
    let neighbors = fleet.bgp.iter().flat_map(|bgp| &bgp.neighbors);
    let key = |neighbor: &weir_core::config::Neighbor| {
        let path = neighbor.password_file.as_ref()?;
        let secret = std::fs::read_to_string(&**path).map_err(|error| error.to_string());
        match secret.and_then(|text| first_line(&text)) {
            Ok(key) => Some((neighbor.name.clone(), key)),
            Err(error) => {
                tracing::error!(neighbor = %neighbor.name, file = %path, error, "no secret, no session");
                None
            }
        }
    };
    neighbors.filter_map(key).collect()
}

/// The secret in a file. One that the kernel does not take costs its neighbor's session, and must not cost the rest of the node.
fn first_line(text: &str) -> Result<Key, String> {
    let line = text.lines().next().unwrap_or_default();
    match line.len() {
        1..=MAX_KEY => Ok(Key::new(line.to_owned())),
        length => Err(format!("its first line has {length} bytes; 1 to {MAX_KEY} are a secret")),
    }
}

impl Balancing {
    /// Begins to check. Nothing is wanted of the sidecar before the first round is over, and no round begins before the judge is
    /// loaded, or should have been.
    pub(crate) async fn start(
        ground: &Ground,
        network: Network,
        prepared: Prepared,
        operator: Operator,
    ) -> Self {
        let Prepared { fleet, keys, layout, watched, judge: change } = prepared;
        let mut judge = None;
        change.apply(&mut judge);
        if let Some(judge) = &judge {
            judge.is_loaded(JUDGE_LOADS).await;
        }
        let (node, clock, changed) = (ground.node.as_str(), ground.clock, Arc::clone(&ground.changed));
        let (told, inbox) = mpsc::unbounded_channel();
        let disable_file = watch::Sender::new(fleet.l4.disable_file.to_path_buf());
        let machine = Machine::new(fleet, node, keys, operator.admin, clock.now());
        network.prepare(machine.ways());
        let (heir, to) = (network.clone(), told.clone());
        tokio::spawn(async move {
            if let Some(inherited) = heir.inherited().await {
                let _ = to.send(Told::Event(Event::Inherited(inherited)));
            }
        });
        tokio::spawn(decide(machine, clock, network, inbox, changed));
        let news = told.clone();
        let mut seen: BTreeMap<Arc<str>, Status> = BTreeMap::new();
        let on_change = move |target: &Arc<str>, status: &Status| {
            log_status(target, seen.insert(Arc::clone(target), status.clone()).as_ref(), status);
            let event = Event::Health { target: Arc::clone(target), status: Box::new(status.clone()) };
            // A machine that is gone decides for nobody.
            let _ = news.send(Told::Event(event));
        };
        let watch = Watch::start(clock, settings::seed(node, NODES), on_change);
        watch.set(watched);
        tokio::spawn(watch_file(disable_file.subscribe(), told.clone()));
        Self { name: node.to_owned(), told, watch, layout, judge, disable_file }
    }

    fn tell(&self, event: Event) {
        let _ = self.told.send(Told::Event(event));
    }

    /// Another fleet file.
    pub(crate) fn apply(&mut self, prepared: Prepared) {
        self.layout = prepared.layout;
        let disable_file = prepared.fleet.l4.disable_file.to_path_buf();
        self.disable_file.send_if_modified(|last| {
            let differs = *last != disable_file;
            *last = disable_file;
            differs
        });
        // The machine first: news of a target that it does not know would be lost.
        self.tell(Event::Fleet(prepared.fleet, prepared.keys));
        self.watch.set(prepared.watched);
        // The old judge last: a question to one that is gone would be answered by nobody.
        prepared.judge.apply(&mut self.judge);
    }

    /// The plugin of this name judges here, and is tried again.
    pub(crate) fn retry(&self, name: &str) -> bool {
        self.judge.as_ref().is_some_and(|judge| judge.retry(name))
    }

    /// The judge, if there is one, and how often it was asked.
    pub(crate) fn judge_status(&self) -> Option<JudgeStatus> {
        self.judge.as_ref().map(|judge| judge.status(self.watch.judgements()))
    }

    /// An operator's word about this node or about an L7 node. Says what came of it.
    pub(crate) async fn operator(&self, node: &str, command: OperatorCommand) -> anyhow::Result<String> {
        if node == self.name {
            let OperatorCommand::Admin(admin) = command else {
                anyhow::bail!("an l4 node has no weight; {NODES}/NODE of an l7 node has");
            };
            self.tell(Event::Operator(admin));
            self.flush().await;
            return Ok(match admin {
                Admin::Ready => format!("{NODES}/{node} is ready"),
                Admin::Drain | Admin::Maint => {
                    format!("{NODES}/{node} takes its announcements back and goes on forwarding")
                }
            });
        }
        let targets: Vec<_> = self.layout.of_node(node).map(|target| Arc::clone(&target.name)).collect();
        anyhow::ensure!(!targets.is_empty(), "no l7 node `{node}` is known here");
        let mut said = Vec::new();
        for target in &targets {
            let status = self.watch.operator(target, command).await?;
            said.push(format!("{target} is {}, weight {}", status.state.as_str(), status.weight));
        }
        self.flush().await;
        Ok(said.join("\n"))
    }

    /// What is decided now.
    pub(crate) async fn status(&self) -> Option<l4::Status> {
        let (to, from) = oneshot::channel();
        self.told.send(Told::Status(to)).ok()?;
        from.await.ok()
    }

    /// Waits until all that is known by now is decided on.
    pub(crate) async fn flush(&self) {
        self.flushed().await;
    }

    fn flushed(&self) -> impl Future<Output = ()> + use<> {
        let (to, from) = oneshot::channel();
        // A task that is gone answers by dropping this.
        let _ = self.told.send(Told::Flush(to));
        async move { drop(from.await) }
    }

    /// This node ends. Done when that is decided on.
    pub(crate) fn stop(&self, why: &str) -> impl Future<Output = ()> + use<> {
        self.tell(Event::Stop(why.to_owned()));
        self.flushed()
    }
}

/// A change of state is news, and so is that nobody can look any more; what leads up to one is for whoever looks closer.
fn log_status(target: &str, before: Option<&Status>, status: &Status) {
    let was_untried = before.is_some_and(|before| before.untried.is_some());
    match &status.untried {
        Some(why) if !was_untried => tracing::warn!(target, %why, "l7 node is not checked"),
        None if was_untried => tracing::info!(target, "l7 node is checked again"),
        _ => {}
    }
    let before = before.map(|before| before.state);
    let (state, weight, reason) = (status.state.as_str(), status.weight, &status.reason);
    let note = status.note.as_deref().unwrap_or_default();
    let judge = status.judgement.as_deref().unwrap_or_default();
    if before == Some(status.state) {
        tracing::debug!(target, state, weight, %reason, note, judge, "l7 node");
    } else if status.state == State::Down && before.is_some() {
        tracing::warn!(target, state, weight, %reason, judge, "l7 node");
    } else {
        tracing::info!(target, state, weight, %reason, judge, "l7 node");
    }
}

async fn decide(
    mut machine: Machine,
    clock: Clock,
    network: Network,
    mut inbox: mpsc::UnboundedReceiver<Told>,
    changed: Arc<Notify>,
) {
    loop {
        let deadline = machine.deadline().map(|moment| clock.instant(moment));
        let event = tokio::select! {
            told = inbox.recv() => match told {
                Some(Told::Event(event)) => event,
                Some(Told::Status(to)) => {
                    let _ = to.send(machine.status());
                    continue;
                }
                Some(Told::Flush(to)) => {
                    let _ = to.send(());
                    continue;
                }
                None => return,
            },
            () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => Event::Timer,
        };
        for action in machine.handle(event, clock.now()) {
            match action {
                Action::Set(desired) => {
                    network.set(*desired);
                    changed.notify_one();
                }
                // Whoever told of the other fleet has told the watch as well.
                Action::Watch => network.prepare(machine.ways()),
                Action::Note(note) => tracing::info!("{note}"),
            }
        }
    }
}

/// Tells whether the file is there. It is looked at: an event for a file that may not exist, in a directory that may not exist, is
/// not as simple as that.
async fn watch_file(mut which: watch::Receiver<PathBuf>, told: mpsc::UnboundedSender<Told>) {
    let mut before = None;
    loop {
        let path = which.borrow_and_update().clone();
        let there = is_there(&path).await;
        if before != Some(there) {
            if before.is_some() || there {
                tracing::info!(file = %path.display(), there, "the file that takes this node out");
            }
            before = Some(there);
            if told.send(Told::Event(Event::Disabled(there))).is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(FILE_EVERY) => {}
            changed = which.changed() => if changed.is_err() { return },
        }
    }
}

/// Whoever made a file that cannot be looked at meant something by it.
async fn is_there(path: &Path) -> bool {
    match tokio::fs::symlink_metadata(path).await {
        Ok(_) => true,
        Err(error) => {
            !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_that_no_kernel_takes_is_no_secret() {
        assert_eq!(first_line("secret\nof nobody\n"), Ok(Key::new("secret".to_owned())));
        assert_eq!(first_line(&"x".repeat(MAX_KEY)), Ok(Key::new("x".repeat(MAX_KEY))));
        for none in [String::new(), "\nsecret\n".to_owned(), "x".repeat(MAX_KEY + 1)] {
            assert!(first_line(&none).is_err_and(|why| why.contains("bytes")), "{none:?}");
        }
    }

    #[tokio::test]
    async fn another_file_takes_the_node_out_as_soon_as_the_fleet_file_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::write(&new, "").unwrap();
        let which = watch::Sender::new(old);
        let (told, mut heard) = mpsc::unbounded_channel();
        let watching = tokio::spawn(watch_file(which.subscribe(), told));
        assert!(matches!(heard.recv().await, Some(Told::Event(Event::Disabled(false)))));
        which.send_replace(new);
        assert!(matches!(heard.recv().await, Some(Told::Event(Event::Disabled(true)))));
        drop(which);
        watching.await.unwrap();
    }
}
