//! What a change costs on an L4 node with many services: from a health word to the kernel's answer.
//!
//! The machine that decides, the host's line to its sidecar, and the sidecar, in one process and as on a node, without checks and
//! without neighbors. To be run in a network namespace of its own, as `cargo lab bench ipvs` does; by hand:
//!
//! ```text
//! change SERVICES NODES ROUNDS
//! ```
//!
//! Prints one JSON object.

#![allow(clippy::print_stdout, reason = "its answer is what it is for")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::watch;
use weir_core::config::{self, Fleet};
use weir_core::desired::speaker::{Config, Status as SpeakerStatus};
use weir_core::desired::{Delta, Desired, Observed, Ways};
use weir_core::health::{self, Admin, CheckTiming, HealthSpec, Operator, ServerHealth};
use weir_core::ipvs;
use weir_core::l4::{Action, Event, Keys, Machine};
use weir_core::time::Moment;
use weir_sidecar::client::{self, Link};
use weir_sidecar::kernel::Worker;
use weir_sidecar::protocol::{self, Order};
use weir_sidecar::serve::{Announcer, Sidecar};

/// How often the kernel is looked at, as on a node.
const LOOK: Duration = Duration::from_secs(5);
/// How long the kernel may take for the whole of it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Nobody is told anything.
struct Silent;

impl Announcer for Silent {
    fn set(&mut self, _: Config) {}

    fn status(&self) -> SpeakerStatus {
        SpeakerStatus::default()
    }

    fn stop(self, _: &str) {}
}

/// Services with a port of their own, so that each has a target of its own on each node: one word is about one destination.
fn fleet(services: u16, nodes: u16) -> Result<Arc<Fleet>, Box<dyn Error>> {
    let mut text = String::from(
        "version = 1\nl4.check = { type = \"tcp\", interval = \"60s\", fall = 1 }\n\
         nodes.l4-1 = { roles = [\"l4\"], addresses = [\"192.0.2.1\"] }\n\
         pools.web.servers = [{ name = \"s\", address = \"192.0.2.101:80\" }]\n",
    );
    for node in 1..=nodes {
        let (high, low) = (node / 200, 1 + node % 200);
        writeln!(
            text,
            "nodes.l7-{node} = {{ roles = [\"l7\"], addresses = [\"10.0.{high}.{low}\"], join = {node} }}"
        )?;
    }
    for service in 1..=services {
        let port = 1000 + service;
        writeln!(
            text,
            "services.s{service} = {{ port = {port}, addresses = [\"198.51.100.1\"], pool = \"web\" }}"
        )?;
    }
    Ok(Arc::new(config::parse("fleet.toml", &text).map_err(|faults| faults.to_string())?))
}

/// What a health machine says of a node whose check passed, and of one whose check failed.
fn words() -> [health::Status; 2] {
    let every = Duration::from_secs(60);
    let timing = CheckTiming { interval: every, fast_interval: every, timeout: every, rise: 1, fall: 1 };
    let spec = HealthSpec { weight: 100, check: Some(timing), ..HealthSpec::default() };
    [health::Event::CheckPassed, health::Event::CheckFailed("refused".into())].map(|event| {
        let mut health = ServerHealth::new(spec.clone(), Operator::default(), 1, Moment::ZERO);
        // A result counts while a check is under way, and the first is not due at once.
        let due = health.deadline().unwrap_or(Moment::ZERO);
        health.handle(health::Event::Timer, due);
        health.handle(event, due);
        health.status().clone()
    })
}

/// A node without its checks.
struct Node {
    machine: Machine,
    generation: u64,
    desired: watch::Sender<Option<Arc<Desired>>>,
    /// Without it, nobody is told anything any more.
    _ways: watch::Sender<Ways>,
    link: watch::Receiver<Link>,
}

impl Node {
    fn new(fleet: &Arc<Fleet>, socket: PathBuf) -> Result<Self, Box<dyn Error>> {
        let listener = UnixListener::bind(&socket)?;
        let worker = Worker::start(false, LOOK)?;
        let sidecar = Sidecar::new([rustix::process::getuid().as_raw()], false, worker, Silent);
        tokio::spawn(sidecar.serve(listener, std::future::pending()));
        let (desired, wanted) = watch::channel(None);
        let (told, link) = watch::channel(Link::default());
        let (ways, prepared) = watch::channel(Ways::default());
        tokio::spawn(client::keep(socket, wanted, prepared, told));
        let mut machine = Machine::new(Arc::clone(fleet), "l4-1", Keys::new(), Admin::Ready, Moment::ZERO);
        machine.handle(Event::Inherited(BTreeSet::new()), Moment::ZERO);
        Ok(Self { machine, generation: 0, desired, _ways: ways, link })
    }

    /// A word about a target; what is wanted then, where that is something new.
    fn hear(&mut self, target: usize, status: &health::Status) -> Option<Arc<Desired>> {
        let target = Arc::clone(&self.machine.layout().targets().get(target)?.name);
        let status = Box::new(status.clone());
        let actions = self.machine.handle(Event::Health { target, status }, Moment::ZERO);
        let set = actions.into_iter().find_map(|action| match action {
            Action::Set(desired) => Some(desired),
            _ => None,
        })?;
        self.generation += 1;
        Some(Arc::new(Desired { generation: self.generation, ..*set }))
    }

    /// The sidecar is told, and has answered.
    async fn settled(&mut self, desired: Arc<Desired>) -> Result<Arc<Observed>, Box<dyn Error>> {
        let generation = desired.generation;
        self.desired.send_replace(Some(desired));
        let done = |link: &Link| link.observed.as_ref().is_some_and(|one| one.generation == generation);
        let link = tokio::time::timeout(PATIENCE, self.link.wait_for(done)).await??.clone();
        let observed = link.observed.ok_or("no answer")?;
        match observed.differences.first() {
            Some(difference) => Err(difference.what.clone().into()),
            None => Ok(observed),
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What the parts of a change cost that can be had without the kernel: difference and text, text and next state, plan.
fn parts(before: &Desired, after: &Desired, memory: &ipvs::Memory) -> Result<Value, Box<dyn Error>> {
    let began = Instant::now();
    let frame = protocol::frame(&Order::from(Some(before), after))?;
    let told = micros(began);
    let began = Instant::now();
    let delta = match serde_json::from_slice(frame.get(4..).unwrap_or_default())? {
        Order::Change(delta) => *delta,
        _ => Delta::default(),
    };
    let next = delta.apply(before)?;
    let understood = micros(began);
    let began = Instant::now();
    let plan = memory.plan(&next.ipvs);
    Ok(json!({ "bytes": frame.len(), "told": told, "understood": understood, "planned": micros(began),
               "commands": plan.changes.len() }))
}

/// A kernel of which everything is known.
fn programmed(wanted: &ipvs::Wanted) -> Result<ipvs::Memory, Box<dyn Error>> {
    let mut memory = ipvs::Memory::new();
    for change in memory.plan(wanted).changes {
        memory.done(&change)?;
    }
    memory.agree(wanted);
    Ok(memory)
}

async fn measure(services: u16, nodes: u16, rounds: usize) -> Result<Value, Box<dyn Error>> {
    let began = Instant::now();
    let fleet = fleet(services, nodes)?;
    let parsed = micros(began);
    let folder = std::env::temp_dir().join(format!("weir-change-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let began = Instant::now();
    let mut node = Node::new(&fleet, folder.join("sidecar.sock"))?;
    let laid_out = micros(began);
    let [up, down] = words();

    let began = Instant::now();
    let targets = node.machine.layout().targets().len();
    let mut first = None;
    for target in 0..targets {
        first = node.hear(target, &up).or(first);
    }
    let mut last = first.ok_or("nothing is wanted after the first round")?;
    let first_round = micros(began);
    let began = Instant::now();
    let observed = node.settled(Arc::clone(&last)).await?;
    let programmed_in = micros(began);
    let mut memory = programmed(&last.ipvs)?;

    let mut changes = Vec::with_capacity(rounds);
    let mut done = observed.counters.changed;
    for round in 0..rounds {
        // Far apart, and each fails and comes back in turn.
        let (target, word) = ((round / 2) * 7919 % targets, if round % 2 == 0 { &down } else { &up });
        let began = Instant::now();
        let next = node.hear(target, word).ok_or("a word that changes nothing")?;
        let decided = micros(began);
        let observed = node.settled(Arc::clone(&next)).await?;
        let total = micros(began);
        let commands = observed.counters.changed - std::mem::replace(&mut done, observed.counters.changed);
        let parts = parts(&last, &next, &memory)?;
        for change in memory.plan(&next.ipvs).changes {
            memory.done(&change)?;
        }
        memory.agree(&next.ipvs);
        changes.push(json!({ "decided": decided, "total": total, "commands": commands, "parts": parts }));
        last = next;
        // Looks at the kernel come in between as they do on a node.
        tokio::time::sleep(LOOK / 50).await;
    }
    let counters = node.link.borrow().observed.clone().map(|one| one.counters.clone());
    let _ = std::fs::remove_dir_all(&folder);
    Ok(
        json!({ "services": services, "nodes": nodes, "targets": targets, "parsed": parsed, "laid_out": laid_out,
               "first_round": first_round, "programmed": programmed_in, "changes": changes,
               "looks": counters.as_ref().map(|one| one.reconciled),
               "corrected": counters.as_ref().map(|one| one.corrected) }),
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [services, nodes, rounds] = arguments.as_slice() else {
        return Err("change SERVICES NODES ROUNDS".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(measure(services.parse()?, nodes.parse()?, rounds.parse()?))?);
    Ok(())
}
