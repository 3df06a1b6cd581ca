//! One `[plugins.*]` instance of the fleet file: a plugin across its versions, configurations and failures.
//!
//! [`Hosted`] is the same for every [`World`]: a generation number, a mailbox for each worker, counters. Everything else
//! happens on the instance's own control thread ([`control`]), which asks [`weir_core::plugin::Machine`] what to do, and on a
//! loader thread for as long as a version is compiled and tried. What is of one world only is in [`scheduler`], [`judge`] and
//! [`chooser`].

mod chooser;
mod control;
mod judge;
pub(crate) mod kept;
mod loader;
mod mailbox;
mod meter;
mod ring;
mod scheduler;

pub use judge::HostedJudge;
pub(crate) use ring::Ring;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use weir_core::schedule::Failure;

use crate::imports::{Meters, Voice};
use crate::library::Subscription;
use crate::runtime::{InstanceSpec, RuntimeError, Shared};
use crate::status::PluginStatus;
use crate::world::{Answering, Scheduling, World};

use control::{Control, Message};
use mailbox::Mailbox;
use meter::Meter;

/// Called when another version, or none, decides from now on.
pub(crate) type OnChange = Box<dyn Fn() + Send + Sync>;

/// A plugin that is loaded, watched, replaced and, when it fails, made again.
#[derive(Debug)]
pub struct Hosted<W: World> {
    front: Arc<Front<W>>,
    messages: Sender<Message<W>>,
}

/// A scheduler: a [`weir_core::schedule::PolicySource`].
pub type HostedScheduler = Hosted<Scheduling>;
/// A chooser of addresses: a [`weir_core::dns::answer::choose::ChooserSource`].
pub type HostedChooser = Hosted<Answering>;

/// What workers and the control thread share.
#[derive(Debug)]
pub(crate) struct Front<W: World> {
    pub(crate) name: Arc<str>,
    /// There is no more use for it. Looked at before each message, since [`Message::Stop`] waits behind others.
    pub(crate) stopped: AtomicBool,
    /// Grows when every worker is to exchange its instance, also for none.
    pub(crate) issue: AtomicU64,
    /// One for each worker.
    pub(crate) mailboxes: Box<[Mailbox<W::Instance>]>,
    /// Of a world that plans: the instance that makes plans, and the issue that it is of.
    pub(crate) planner: Mutex<Option<(W::Instance, u64)>>,
    /// What workers leave behind.
    pub(crate) known: W::Known,
    pub(crate) meter: Meter,
    pub(crate) voice: Arc<Voice>,
    /// As of the last event; what changes between events is filled in when it is read.
    pub(crate) board: Mutex<PluginStatus>,
    /// Metrics of the version that serves.
    pub(crate) meters: Mutex<Option<Arc<Meters>>>,
}

/// Which instance failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seat {
    /// The one that makes plans.
    Planner,
    /// A worker's.
    Worker(usize),
}

/// A lock whose holder cannot leave anything half done: what is behind it is replaced, never edited.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that has a status, whatever its world.
pub(crate) trait Shown: Send + Sync {
    fn status(&self) -> PluginStatus;
}

impl<W: World> Shown for Hosted<W> {
    fn status(&self) -> PluginStatus {
        self.front.status()
    }
}

impl<W: World> Hosted<W> {
    pub(crate) fn start(
        name: &str,
        spec: InstanceSpec,
        workers: usize,
        shared: Arc<Shared>,
        subscription: Subscription,
        on_change: OnChange,
    ) -> Result<Arc<Self>, RuntimeError> {
        let front = Arc::new(Front {
            name: name.into(),
            stopped: AtomicBool::new(false),
            issue: AtomicU64::new(0),
            mailboxes: (0..workers).map(|_| Mailbox::default()).collect(),
            planner: Mutex::default(),
            known: W::unknown(workers),
            meter: Meter::new(W::INSTEAD),
            voice: Arc::new(Voice::new(name)),
            board: Mutex::new(PluginStatus::loading(W::KIND, name, &spec.file)),
            meters: Mutex::default(),
        });
        let (messages, inbox) = mpsc::channel();
        subscription.listen({
            let messages = messages.clone();
            move || messages.send(Message::Look).is_ok()
        });
        let control =
            Control::new(Arc::clone(&front), shared, spec, subscription, messages.clone(), on_change)?;
        thread::Builder::new().name(format!("weir-plugin-{name}")).spawn(move || {
            crate::give_way();
            control.run(&inbox);
        })?;
        Ok(Arc::new(Self { front, messages }))
    }

    /// Its `[plugins.*]` table has changed. A changed configuration or limit is a new version: it is tried like one.
    pub fn reconfigure(&self, spec: InstanceSpec) {
        let _ = self.messages.send(Message::Reconfigure(spec));
    }

    /// Tries everything again that was refused, quarantined or is waited for.
    pub fn retry(&self) {
        let _ = self.messages.send(Message::Retry);
    }

    /// What an operator sees.
    pub fn status(&self) -> PluginStatus {
        self.front.status()
    }

    /// Its name in the fleet file.
    pub fn name(&self) -> &str {
        &self.front.name
    }

    /// Grows whenever there is another instance for every worker, or none any more. One atomic load.
    fn issue(&self) -> u64 {
        self.front.issue.load(Ordering::Acquire)
    }

    /// The instance for this worker, if one waits for it.
    fn take(&self, worker: usize) -> Option<W::Instance> {
        self.front.mailboxes.get(worker)?.take(self.issue())
    }

    /// A worker's instance failed, which it had when the number was this one.
    fn worker_failed(&self, worker: usize, generation: u64, hook: &'static str, failure: &Failure) {
        // The number may have grown between the worker's two questions, and then it knows the old one.
        let issue =
            self.front.mailboxes.get(worker).map_or(generation, |mailbox| mailbox.given().max(generation));
        self.report(Seat::Worker(worker), issue, hook, failure);
    }

    fn report(&self, seat: Seat, issue: u64, hook: &'static str, failure: &Failure) {
        let said = self.front.meter.failure(&self.front.name, hook, failure);
        if failure.poisons() {
            let reason = said.unwrap_or_else(|| format!("`{hook}` {failure}"));
            let _ = self.messages.send(Message::Failed { seat, issue, reason });
        }
    }
}

impl<W: World> Drop for Hosted<W> {
    fn drop(&mut self) {
        // The last reference is usually a worker's, and every request of its shard would wait for a disk or a `configure` if
        // this waited for the thread. It ends by itself; what it may still write goes through its claim on the shelf.
        self.front.stopped.store(true, Ordering::Relaxed);
        let _ = self.messages.send(Message::Stop);
    }
}
