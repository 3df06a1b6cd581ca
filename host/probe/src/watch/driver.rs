//! The task behind a [`Watch`](super::Watch).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::sleep_until;
use weir_core::health::{
    Action, Asked, Event, HealthSpec, Judgement, Observation, OperatorCommand, ServerHealth, Status,
};
use weir_core::model::State;
use weir_core::time::Moment;

use super::Watched;
use super::judging::Judgements;
use super::task::{Kind, Outcome, Question, start_check, start_question};
use crate::clock::Clock;

#[derive(Debug)]
pub(super) enum Command {
    Set(Vec<Watched>),
    Operator { name: Arc<str>, command: OperatorCommand, reply: oneshot::Sender<Option<Status>> },
    Inherit { name: Arc<str>, state: State },
    Snapshot(oneshot::Sender<Vec<(Arc<str>, Status)>>),
}

struct Entry {
    watched: Watched,
    machine: ServerHealth,
    /// Its place in `Driver::deadlines`.
    deadline: Option<Moment>,
    asked: Asked,
    check: Option<AbortHandle>,
    agent: Option<AbortHandle>,
    tick: Option<AbortHandle>,
}

impl Entry {
    fn task(&mut self, kind: Kind) -> &mut Option<AbortHandle> {
        match kind {
            Kind::Check => &mut self.check,
            Kind::Agent => &mut self.agent,
            Kind::Tick => &mut self.tick,
        }
    }

    fn abort(&self) {
        self.check.iter().chain(&self.agent).chain(&self.tick).for_each(AbortHandle::abort);
    }

    /// When something is due. Ticks are for judges only, and the next one waits for the answer to the last.
    fn due(&self) -> Option<Moment> {
        let waits = self.watched.judge.is_some() && self.tick.is_none();
        let tick = self.asked.deadline().filter(|_| waits);
        [self.machine.deadline(), tick].into_iter().flatten().min()
    }
}

pub(super) struct Driver<F> {
    clock: Clock,
    seed: u64,
    on_change: F,
    entries: BTreeMap<Arc<str>, Entry>,
    /// All deadlines, so that thousands of servers are not looked through for each event.
    deadlines: BTreeSet<(Moment, Arc<str>)>,
    tasks: JoinSet<Outcome>,
    /// Whose task it is. Also of tasks that no longer count.
    owners: HashMap<Id, (Arc<str>, Kind)>,
    /// How many servers there have been: the numbers by which judges know them.
    servers: u32,
    judgements: Arc<Judgements>,
}

impl<F: FnMut(&Arc<str>, &Status) + Send + 'static> Driver<F> {
    pub(super) fn new(clock: Clock, seed: u64, judgements: Arc<Judgements>, on_change: F) -> Self {
        Self {
            clock,
            seed,
            on_change,
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            tasks: JoinSet::new(),
            owners: HashMap::new(),
            servers: 0,
            judgements,
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
        let asked = Asked::new(self.servers);
        self.servers = self.servers.wrapping_add(1);
        let entry = Entry { watched, machine, deadline: None, asked, check: None, agent: None, tick: None };
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
        let unspoken = match (&entry.watched.judge, &watched.judge) {
            (Some(old), Some(new)) => !old.is_by(new),
            (Some(_), None) => true,
            (None, _) => false,
        };
        entry.watched = watched;
        let left = [entry.check.take_if(|_| new_place), entry.tick.take_if(|_| unspoken)];
        left.iter().flatten().for_each(AbortHandle::abort);
        if unspoken {
            self.event(name, Event::Unspoken);
        }
        if new_place {
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
            self.tick(&name, now);
            self.event(&name, Event::Timer);
        }
    }

    /// Tells the judge of a server that nothing was seen of it, where that is due. Also in maintenance: a judge could not take its own
    /// word back otherwise.
    fn tick(&mut self, name: &Arc<str>, now: Moment) {
        let Some(entry) = self.entries.get(name) else { return };
        if entry.tick.is_none() && entry.asked.is_tick_due(now) {
            self.ask(name, Kind::Tick, Observation::Tick, Box::new(Event::TickJudged));
        }
    }

    /// Has the judge of a server say what this means.
    fn ask(&mut self, name: &Arc<str>, kind: Kind, observation: Observation, question: Question) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let Some(judged) = &entry.watched.judge else { return };
        let (current, now) = (entry.machine.status().state, self.clock.now());
        let subject = entry.asked.about(&observation, &judged.name, &judged.labels, current, now);
        let (answer, judged) = (judged.ask(subject, observation, &self.judgements), judged.clone());
        let task = self.tasks.spawn(async move { Outcome::Said(judged, answer.await, question) });
        self.owners.insert(task.id(), (Arc::clone(name), kind));
        *entry.task(kind) = Some(task);
    }

    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) => (error.id(), None),
        };
        let Some((name, kind)) = self.owners.remove(&id) else { return };
        let Some(entry) = self.entries.get_mut(&name) else { return };
        // A task of a machine that is gone, or of a check that another took the place of.
        if entry.task(kind).as_ref().map(AbortHandle::id) != Some(id) {
            return;
        }
        *entry.task(kind) = None;
        let judge = entry.watched.judge.clone();
        let broken = || "the check itself broke off; this is an error in Weir".to_owned();
        let outcome = outcome.unwrap_or_else(|| match kind {
            Kind::Check => Outcome::Event(Event::CheckFailed(broken())),
            Kind::Agent => Outcome::Event(Event::AgentFailed(broken())),
            Kind::Tick => Outcome::Event(Event::Timer),
        });
        if let Outcome::Seen(_, _, Some(load)) = &outcome {
            self.event(&name, Event::LoadSaid(load.clone()));
        }
        let event = match outcome {
            Outcome::Event(event) => event,
            Outcome::Seen(seen, counts, _) if judge.is_some() => {
                let question = |said| Event::CheckJudged { said, seen: counts };
                return self.ask(&name, kind, seen, Box::new(question));
            }
            Outcome::Line(line, counts) if judge.is_some() => {
                let question = |said| Event::AgentJudged { said, line: counts };
                return self.ask(&name, kind, Observation::Agent(line), Box::new(question));
            }
            Outcome::Said(by, said, question) => {
                // What one judge said, another could not take back.
                let counts = judge.is_some_and(|judge| judge.is_by(&by));
                question(if counts { said } else { Judgement::Nobody })
            }
            Outcome::Seen(_, Ok(()), _) => Event::CheckPassed,
            Outcome::Seen(_, Err(why), _) => Event::CheckFailed(why),
            Outcome::Line(_, Ok(report)) => Event::Agent(report),
            Outcome::Line(_, Err(why)) => Event::AgentFailed(why),
        };
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
        let deadline = entry.due();
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

/// FNV-1a: spreads names over seeds; nothing depends on which hash it is.
fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
