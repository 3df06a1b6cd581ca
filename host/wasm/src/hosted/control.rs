//! The control thread of one plugin instance: tells the machine what happened and does what it says.

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use weir_core::plugin::{Action, Digest, Event, Machine, State, Version};
use weir_core::time::Moment;

use super::kept::{self, Shelf};
use super::loader::{self, Candidate, Mold, Refusal, Source, Surroundings};
use super::mailbox::Mailbox;
use super::{Front, OnChange, Seat, lock};
use crate::imports::Meters;
use crate::library::{Finding, Subscription};
use crate::runtime::{InstanceSpec, RuntimeError, Shared};
use crate::status::{PluginStatus, VersionStatus};
use crate::world::World;

/// What comes to the control thread.
#[derive(Debug)]
pub(crate) enum Message<W: World> {
    /// The directory has changed.
    Look,
    /// The fleet file has changed.
    Reconfigure(InstanceSpec),
    /// An instance is lost.
    Failed { seat: Seat, issue: u64, reason: String },
    /// The loader has compiled and checked a version.
    Loaded(Version),
    /// The loader is done.
    Tried(Version, Result<Box<Candidate<W>>, Refusal>),
    /// An operator wants everything tried again.
    Retry,
    /// There is no more use for it.
    Stop,
}

pub(crate) struct Control<W: World> {
    front: Arc<Front<W>>,
    shared: Arc<Shared>,
    spec: InstanceSpec,
    subscription: Subscription,
    messages: Sender<Message<W>>,
    on_change: OnChange,
    shelf: Shelf,
    machine: Machine,
    origin: Instant,
    /// The version that the directory and the fleet file ask for.
    wanted: Option<Source>,
    /// The file that something was found in last.
    found: Option<String>,
    /// Passed, and waiting for the machine's word.
    ready: Option<Box<Candidate<W>>>,
    serving: Option<Serving>,
    /// Seats whose instance is lost.
    lost: BTreeSet<Seat>,
    last_load: (bool, u64),
    last_state: Option<State>,
}

struct Serving {
    mold: Mold,
    status: VersionStatus,
}

impl<W: World> Control<W> {
    pub(crate) fn new(
        front: Arc<Front<W>>,
        shared: Arc<Shared>,
        spec: InstanceSpec,
        subscription: Subscription,
        messages: Sender<Message<W>>,
        on_change: OnChange,
    ) -> Result<Self, RuntimeError> {
        let shelf = shared.shelves.open(&front.name)?;
        let mut kept = shelf.versions();
        if let Some(pin) = &spec.sha256 {
            let pin = pin.parse::<Digest>().ok();
            kept.retain(|version| Some(version.content) == pin);
        }
        let mut control = Self {
            front,
            shared,
            spec,
            subscription,
            messages,
            on_change,
            shelf,
            machine: Machine::new(kept),
            origin: Instant::now(),
            wanted: None,
            found: None,
            ready: None,
            serving: None,
            lost: BTreeSet::new(),
            last_load: (true, 0),
            last_state: None,
        };
        control.show();
        Ok(control)
    }

    pub(crate) fn run(mut self, inbox: &Receiver<Message<W>>) {
        self.look();
        loop {
            let wait = self.machine.deadline().map(|at| at.since(self.now()));
            let message = match wait {
                Some(wait) => inbox.recv_timeout(wait),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if self.front.stopped.load(Ordering::Relaxed) {
                return;
            }
            match message {
                Ok(Message::Look) => self.look(),
                Ok(Message::Reconfigure(spec)) => {
                    self.spec = spec;
                    self.look();
                }
                Ok(Message::Failed { seat, issue, reason }) => self.failed(seat, issue, reason),
                Ok(Message::Loaded(version)) => self.handle(Event::Loaded(version)),
                Ok(Message::Tried(version, result)) => self.tried(version, result),
                Ok(Message::Retry) => self.handle(Event::Retry),
                Err(RecvTimeoutError::Timeout) => self.handle(Event::Tick),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Tells the owner, who is told nothing any more once it has let go.
    fn changed(&self) {
        if !self.front.stopped.load(Ordering::Relaxed) {
            (self.on_change)();
        }
    }

    fn now(&self) -> Moment {
        Moment::ZERO.after(self.origin.elapsed())
    }

    /// What the directory and the fleet file ask for now.
    fn look(&mut self) {
        let content = match self.subscription.find(&self.spec.file) {
            None => return,
            // The fleet file names another file, which is not there yet: what serves has nothing to do with that.
            Some(Finding::Absent) if self.found.as_ref().is_some_and(|file| *file != self.spec.file) => {
                let reason = format!("there is no file {} in the plugin directory", self.spec.file);
                return self.handle(Event::Unusable(reason));
            }
            Some(Finding::Absent) => return self.handle(Event::Gone),
            Some(Finding::Unusable(error)) => return self.handle(Event::Unusable(error.to_string())),
            Some(Finding::Content(content)) => content,
        };
        self.found = Some(self.spec.file.clone());
        if let Some(pin) = &self.spec.sha256
            && pin.parse() != Ok(content.digest)
        {
            let reason = format!("its sha256 is {}, but the fleet file pins {pin}", content.digest);
            return self.handle(Event::Unusable(reason));
        }
        let memory = self.spec.memory.min(InstanceSpec::MEMORY_MAX);
        let version =
            Version { content: content.digest, config: kept::config_digest(&self.spec.config, memory) };
        self.wanted = Some(Source {
            version,
            wasm: Arc::clone(&content.wasm),
            config: self.spec.config.as_str().into(),
            memory,
            golden: content.golden.clone(),
        });
        self.handle(Event::Wanted(version));
    }

    fn failed(&mut self, seat: Seat, issue: u64, reason: String) {
        if issue != self.front.issue.load(Ordering::Relaxed) {
            return;
        }
        self.lost.insert(seat);
        tracing::warn!(plugin = &*self.front.name, "{reason}; {} until it is made again", W::INSTEAD);
        self.handle(Event::Failed { generation: self.machine.generation(), reason });
    }

    fn tried(&mut self, version: Version, result: Result<Box<Candidate<W>>, Refusal>) {
        match result {
            Ok(candidate) => {
                self.ready = Some(candidate);
                self.handle(Event::Passed(version));
                // Where the machine did not want it any more.
                self.ready = None;
            }
            Err(Refusal::Version(reason)) => {
                self.refused(version, &reason);
                self.handle(Event::Refused(version, reason));
            }
            Err(Refusal::Host(reason)) => {
                self.refused(version, &reason);
                self.handle(Event::Stumbled(version, reason));
            }
        }
    }

    fn refused(&mut self, version: Version, reason: &str) {
        self.last_load = (false, unix_now());
        self.front.meter.error(reason.to_owned());
        let sha256 = version.content.to_string();
        tracing::warn!(plugin = &*self.front.name, file = self.spec.file, sha256, "not put to use: {reason}");
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        let mut failures = Vec::new();
        for action in self.machine.handle(event, now) {
            match action {
                Action::Load(version) => self.load(version),
                Action::Publish(version) => self.publish(version),
                Action::Rebuild => failures.extend(self.rebuild()),
                Action::Withdraw => self.withdraw(),
                Action::Forget(version) => {
                    let forgotten = self.shelf.forget(version);
                    self.complain(forgotten);
                }
            }
        }
        self.show();
        for reason in failures {
            self.handle(Event::Failed { generation: self.machine.generation(), reason });
        }
    }

    fn complain(&self, result: Result<(), crate::compile::CacheError>) {
        if let Err(error) = result {
            tracing::warn!(plugin = &*self.front.name, %error, "the last good version cannot be kept on disk");
        }
    }

    fn load(&mut self, version: Version) {
        let wanted = self.wanted.as_ref().filter(|source| source.version == version).cloned();
        let Some(source) = wanted.or_else(|| self.shelf.read(version)) else {
            let _ = self.messages.send(Message::Tried(
                version,
                Err(Refusal::Version("the kept copy of it cannot be read".into())),
            ));
            return;
        };
        let meters = match &self.serving {
            Some(serving) => serving.mold.meters.successor(),
            None => Meters::default(),
        };
        let around = Surroundings::<W> {
            workers: self.front.mailboxes.len(),
            scene: W::scene(&self.front.known),
            voice: Arc::clone(&self.front.voice),
            meters: Arc::new(meters),
        };
        let (shared, messages) = (Arc::clone(&self.shared), self.messages.clone());
        let spawned = thread::Builder::new().name("weir-load".into()).spawn(move || {
            crate::give_way();
            let loaded = || drop(messages.send(Message::Loaded(version)));
            // A panic in the engine is a bug of the engine that this version has found; the next one is welcome.
            let work = AssertUnwindSafe(|| loader::load(&shared, source, around, loaded).map(Box::new));
            let result = panic::catch_unwind(work)
                .unwrap_or_else(|_| Err(Refusal::Version("the engine panicked over it".into())));
            let _ = messages.send(Message::Tried(version, result));
        });
        if let Err(error) = spawned {
            let refusal = Refusal::Host(format!("cannot start a thread: {error}"));
            let _ = self.messages.send(Message::Tried(version, Err(refusal)));
        }
    }

    fn publish(&mut self, version: Version) {
        let Some(candidate) = self.ready.take() else { return };
        let Candidate { mold, passed, planner, workers } = *candidate;
        let issue = self.front.issue.load(Ordering::Relaxed) + 1;
        for instance in workers.iter().chain(&planner) {
            self.front.meter.enlist(instance.lane());
        }
        for (mailbox, instance) in self.front.mailboxes.iter().zip(workers) {
            mailbox.put(instance, issue);
        }
        *lock(&self.front.planner) = planner.map(|planner| (planner, issue));
        // After the mailboxes, which give nothing out before: a worker that sees the number finds its instance.
        self.front.issue.store(issue, Ordering::Release);
        self.lost.clear();
        let kept = self.shelf.keep(&mold.source);
        self.complain(kept);
        let status = VersionStatus {
            kind: W::KIND,
            name: passed.description.name,
            version: passed.description.version,
            summary: passed.description.summary,
            sha256: version.content.to_string(),
            config_sha256: crate::digest(mold.source.config.as_bytes()).to_string(),
            loaded_unix: unix_now(),
            memory_bytes: passed.memory as u64,
            memory_limit_bytes: mold.source.memory as u64,
            self_test: passed.self_test,
        };
        tracing::info!(
            plugin = &*self.front.name,
            name = status.name,
            version = status.version,
            sha256 = status.sha256,
            plan = passed.plan,
            generation = issue,
            "put to use"
        );
        self.last_load = (true, unix_now());
        self.serving = Some(Serving { mold, status });
        self.show();
        self.changed();
    }

    /// Makes instances for the seats that have lost theirs; returns what went wrong.
    fn rebuild(&mut self) -> Option<String> {
        let serving = self.serving.as_ref()?;
        let scene = W::scene(&self.front.known);
        let issue = self.front.issue.load(Ordering::Relaxed);
        let mut planner = false;
        while let Some(seat) = self.lost.first().copied() {
            let instance = match serving.mold.cast::<W>(&self.shared, &scene) {
                Ok(instance) => instance,
                Err(error) => return Some(error.to_string()),
            };
            self.front.meter.enlist(instance.lane());
            match seat {
                Seat::Planner => {
                    *lock(&self.front.planner) = Some((instance, issue));
                    planner = true;
                }
                Seat::Worker(worker) => {
                    if let Some(mailbox) = self.front.mailboxes.get(worker) {
                        mailbox.put(instance, issue);
                    }
                }
            }
            self.lost.remove(&seat);
        }
        tracing::info!(plugin = &*self.front.name, "made again");
        if planner {
            self.changed();
        }
        None
    }

    fn withdraw(&mut self) {
        self.serving = None;
        self.lost.clear();
        self.front.mailboxes.iter().for_each(Mailbox::clear);
        *lock(&self.front.planner) = None;
        self.front.issue.fetch_add(1, Ordering::Release);
        let (state, reason) = self.machine.state();
        tracing::warn!(plugin = &*self.front.name, state = state.as_str(), "taken out of use: {reason}");
        self.changed();
    }

    /// Writes the status.
    fn show(&mut self) {
        let (state, reason) = self.machine.state();
        if self.last_state.replace(state) != Some(state) {
            tracing::debug!(plugin = &*self.front.name, state = state.as_str(), reason, "state");
        }
        *lock(&self.front.board) = PluginStatus {
            state: state.as_str(),
            reason: reason.to_owned(),
            serving: self.serving.is_some(),
            last_good: self.machine.is_last_good(),
            version: self.serving.as_ref().map(|s| s.status.clone()),
            generation: self.front.issue.load(Ordering::Relaxed),
            last_load_ok: self.last_load.0,
            last_load_unix: self.last_load.1,
            ..PluginStatus::loading(W::KIND, &self.front.name, &self.spec.file)
        };
        *lock(&self.front.meters) = self.serving.as_ref().map(|s| Arc::clone(&s.mold.meters));
    }
}

impl<W: World> Front<W> {
    pub(crate) fn status(&self) -> PluginStatus {
        let mut status = lock(&self.board).clone();
        if let Some(version) = &mut status.version
            && let Some((planner, _)) = lock(&self.planner).as_ref()
        {
            version.memory_bytes = planner.memory() as u64;
        }
        status.plan = self.meter.last_plan().filter(|_| status.serving);
        status.calls = self.meter.calls();
        status.failures = self.meter.failures();
        status.last_error = self.meter.last_error();
        status.log_lines_dropped = self.voice.dropped();
        status.custom = lock(&self.meters).as_ref().map(|m| m.read()).unwrap_or_default();
        status
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
