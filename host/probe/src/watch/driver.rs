//! The task behind a [`Watch`](super::Watch).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::sleep_until;
use weir_core::health::{Action, AgentReport, Event, HealthSpec, OperatorCommand, ServerHealth, Status};
use weir_core::model::State;
use weir_core::time::Moment;

use super::Watched;
use crate::clock::Clock;

#[derive(Debug)]
pub(super) enum Command {
    Set(Vec<Watched>),
    Operator { name: Arc<str>, command: OperatorCommand, reply: oneshot::Sender<Option<Status>> },
    Verdict { name: Arc<str>, verdict: AgentReport },
    Inherit { name: Arc<str>, state: State },
    Snapshot(oneshot::Sender<Vec<(Arc<str>, Status)>>),
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Check,
    Agent,
}

struct Entry {
    watched: Watched,
    machine: ServerHealth,
    /// Its place in `Driver::deadlines`.
    deadline: Option<Moment>,
    check: Option<AbortHandle>,
    agent: Option<AbortHandle>,
}

impl Entry {
    fn task(&mut self, kind: Kind) -> &mut Option<AbortHandle> {
        match kind {
            Kind::Check => &mut self.check,
            Kind::Agent => &mut self.agent,
        }
    }

    fn abort(&self) {
        self.check.iter().chain(&self.agent).for_each(AbortHandle::abort);
    }
}

pub(super) struct Driver<F> {
    clock: Clock,
    seed: u64,
    on_change: F,
    entries: BTreeMap<Arc<str>, Entry>,
    /// All deadlines, so that thousands of servers are not looked through for each event.
    deadlines: BTreeSet<(Moment, Arc<str>)>,
    tasks: JoinSet<Event>,
    /// Whose task it is. Also of tasks that no longer count.
    owners: HashMap<Id, (Arc<str>, Kind)>,
}

impl<F: FnMut(&Arc<str>, &Status) + Send + 'static> Driver<F> {
    pub(super) fn new(clock: Clock, seed: u64, on_change: F) -> Self {
        Self {
            clock,
            seed,
            on_change,
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            tasks: JoinSet::new(),
            owners: HashMap::new(),
        }
    }

    /// Runs until the handle is dropped. Its tasks end with it.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        loop {
            let next = self.deadlines.first().map(|(at, _)| self.clock.instant(*at));
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                () = async { sleep_until(next.unwrap_or_else(tokio::time::Instant::now)).await }, if next.is_some() => {
                    self.timers();
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Set(servers) => self.set(servers),
            Command::Operator { name, command, reply } => {
                self.event(&name, Event::Operator(command));
                // Whoever asked may be gone; the command holds.
                let _ = reply.send(self.entries.get(&name).map(|entry| entry.machine.status().clone()));
            }
            Command::Verdict { name, verdict } => self.event(&name, Event::Verdict(verdict)),
            Command::Inherit { name, state } => self.event(&name, Event::Inherited(state)),
            Command::Snapshot(reply) => {
                let status =
                    |(name, entry): (&Arc<str>, &Entry)| (Arc::clone(name), entry.machine.status().clone());
                let _ = reply.send(self.entries.iter().map(status).collect());
            }
        }
    }

    fn set(&mut self, servers: Vec<Watched>) {
        let names: BTreeSet<Arc<str>> = servers.iter().map(|server| Arc::clone(&server.name)).collect();
        let gone: Vec<Arc<str>> =
            self.entries.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
        for server in servers {
            self.put(server);
        }
    }

    fn put(&mut self, watched: Watched) {
        let name = Arc::clone(&watched.name);
        if self.entries.contains_key(&name) {
            return self.change(&name, watched);
        }
        let seed = fnv(self.seed, name.as_bytes());
        let machine = ServerHealth::new(spec_of(&watched), watched.operator, seed, self.clock.now());
        (self.on_change)(&name, machine.status());
        let entry = Entry { watched, machine, deadline: None, check: None, agent: None };
        self.entries.insert(Arc::clone(&name), entry);
        self.event(&name, Event::Timer);
    }

    /// A server that is known keeps its machine, and so what is known of it and what was ordered.
    fn change(&mut self, name: &Arc<str>, watched: Watched) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let spec = spec_of(&watched);
        let same = spec_of(&entry.watched) == spec;
        let new_place = moved(entry.watched.check.as_ref(), watched.check.as_ref(), |check| check.address);
        let new_agent = moved(entry.watched.agent.as_ref(), watched.agent.as_ref(), |agent| agent.address);
        entry.watched = watched;
        if new_place {
            if let Some(check) = entry.check.take() {
                check.abort();
            }
            self.event(name, Event::Moved);
        }
        if new_agent {
            // What one agent said, another could not take back.
            self.event(name, Event::Retimed(HealthSpec { agent: None, ..spec }));
        }
        if new_agent || !same {
            self.event(name, Event::Retimed(spec));
        }
    }

    fn remove(&mut self, name: &Arc<str>) {
        if let Some(entry) = self.entries.remove(name) {
            entry.abort();
            if let Some(at) = entry.deadline {
                self.deadlines.remove(&(at, Arc::clone(name)));
            }
        }
    }

    fn timers(&mut self) {
        let now = self.clock.now();
        // Taken out first: an event puts its server back, at a time that may be due again at once.
        let due: Vec<Arc<str>> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, name)| Arc::clone(name))
            .collect();
        for name in due {
            self.event(&name, Event::Timer);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Event), JoinError>) {
        let (id, event) = match ended {
            Ok((id, event)) => (id, Some(event)),
            Err(error) => (error.id(), None),
        };
        let Some((name, kind)) = self.owners.remove(&id) else { return };
        let Some(entry) = self.entries.get_mut(&name) else { return };
        // A task of a machine that is gone, or of a check that another took the place of.
        if entry.task(kind).as_ref().map(AbortHandle::id) != Some(id) {
            return;
        }
        *entry.task(kind) = None;
        let broken = || "the check itself broke off; this is an error in Weir".to_owned();
        let event = event.unwrap_or_else(|| match kind {
            Kind::Check => Event::CheckFailed(broken()),
            Kind::Agent => Event::AgentFailed(broken()),
        });
        self.event(&name, event);
    }

    /// Hands an event to a machine and does what it says.
    fn event(&mut self, name: &Arc<str>, event: Event) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let actions = entry.machine.handle(event, self.clock.now());
        for action in actions {
            let (kind, task) = match action {
                Action::Changed(status) => {
                    (self.on_change)(name, &status);
                    continue;
                }
                Action::StartCheck => (Kind::Check, start_check(&mut self.tasks, &entry.watched)),
                Action::StartAgentCheck => (Kind::Agent, start_question(&mut self.tasks, &entry.watched)),
            };
            if let Some(task) = &task {
                self.owners.insert(task.id(), (Arc::clone(name), kind));
            }
            if let Some(old) = std::mem::replace(entry.task(kind), task) {
                old.abort();
            }
        }
        let deadline = entry.machine.deadline();
        if deadline != entry.deadline {
            if let Some(at) = entry.deadline {
                self.deadlines.remove(&(at, Arc::clone(name)));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, Arc::clone(name)));
            }
            entry.deadline = deadline;
        }
    }
}

/// Whether both are there, at different addresses.
fn moved<T>(old: Option<&T>, new: Option<&T>, address: impl Fn(&T) -> SocketAddr) -> bool {
    old.zip(new).is_some_and(|(old, new)| address(old) != address(new))
}

/// The spec, without the checks that have nothing to check.
fn spec_of(watched: &Watched) -> HealthSpec {
    let mut spec = watched.spec.clone();
    spec.check = spec.check.filter(|_| watched.check.is_some());
    spec.agent = spec.agent.filter(|_| watched.agent.is_some());
    spec
}

fn start_check(tasks: &mut JoinSet<Event>, watched: &Watched) -> Option<AbortHandle> {
    let check = watched.check.clone()?;
    let timeout = watched.spec.check?.timeout;
    Some(tasks.spawn(async move {
        match check.run(timeout).await {
            Ok(_) => Event::CheckPassed,
            Err(error) => Event::CheckFailed(error.to_string()),
        }
    }))
}

fn start_question(tasks: &mut JoinSet<Event>, watched: &Watched) -> Option<AbortHandle> {
    let question = watched.agent.clone()?;
    let timeout = watched.spec.agent?.interval;
    Some(tasks.spawn(async move {
        match question.ask(timeout).await {
            Ok(report) => Event::Agent(report),
            Err(error) => Event::AgentFailed(error.to_string()),
        }
    }))
}

/// FNV-1a: spreads names over seeds; nothing depends on which hash it is.
fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
