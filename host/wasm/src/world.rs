//! What hosting has to know of a world: the one place where the three kinds of plugins differ.
//!
//! [`hosted`](crate::hosted), the loader and the trial are written once, over [`World`]. A world says what an instance
//! is, what is shared between the threads that ask ([`World::Known`]), and what of that a new version is told and tried with
//! ([`World::Scene`]).

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::DerefMut;
use std::sync::{Arc, Mutex};

use weir_core::dns::answer::choose::{Chooser, Names, Question};
use weir_core::health::{Observation, Subject};
use weir_core::model::Server;
use weir_core::schedule::{Failure, Plan, Policy, Request};

use crate::bindings::{AgentCheck, DnsAnswers};
use crate::check::Checked;
use crate::engine::Engines;
use crate::hosted::{Ring, lock};
use crate::imports::Host;
use crate::instance::{
    ChooserInstance, Guest, Instance, JudgeInstance, SchedulerGuest, SchedulerInstance, SetupError,
};
use crate::status::{Kind, SelfTest};
use crate::trial::{self, CANARY_REQUESTS, TrialError};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Scheduling {}
    impl Sealed for super::Checking {}
    impl Sealed for super::Answering {}
}

/// Makes an instance that is configured with this text, for golden cases.
pub type Make<'a, W> = dyn Fn(&str) -> Result<<W as World>::Instance, SetupError> + 'a;

/// A kind of plugin. There are three, and each method has one caller.
pub trait World: sealed::Sealed + Debug + Sized + Send + Sync + 'static {
    /// Which.
    const KIND: Kind;
    /// What happens while no plugin decides, for the end of a line in the log.
    const INSTEAD: &'static str;
    /// Whether the host keeps an instance of its own beside those of the workers, to make plans.
    const PLANS: bool;
    /// The bindings.
    type Guest: Guest;
    /// An instance, for one thread.
    type Instance: DerefMut<Target = Instance<Self::Guest>> + Debug + Send;
    /// What the threads that ask leave behind.
    type Known: Debug + Send + Sync;
    /// What is known, and what was asked just now.
    type Scene: Debug + Default + Send + 'static;

    /// Nothing yet, for this many workers.
    fn unknown(workers: usize) -> Self::Known;
    /// As of now.
    fn scene(known: &Self::Known) -> Self::Scene;
    /// The same, with made-up parts in place of what is missing.
    fn staged(scene: &Self::Scene) -> Self::Scene;

    /// Makes an instance.
    ///
    /// # Errors
    /// As of [`Instance::new`].
    fn instance(engines: &Engines, checked: &Checked, host: Host) -> Result<Self::Instance, SetupError>;
    /// Tells a configured instance what is known, before it is given to a worker.
    ///
    /// # Errors
    /// The call that failed, and how.
    fn tell(instance: &mut Self::Instance, scene: &Self::Scene) -> Result<(), (&'static str, Failure)>;
    /// The word for a scheduler's plan.
    fn plan(_: &Self::Instance) -> Option<&'static str> {
        None
    }

    /// Calls everything once and the question a thousand times.
    ///
    /// # Errors
    /// The first thing that it does wrong.
    fn self_test(instance: &mut Self::Instance, scene: &Self::Scene) -> Result<SelfTest, TrialError>;
    /// Compares golden cases; returns how many.
    ///
    /// # Errors
    /// The first difference.
    fn golden(text: &str, make: &Make<'_, Self>) -> Result<u32, TrialError>;
    /// Asks what was asked just now; returns how many questions.
    ///
    /// # Errors
    /// The first failure.
    fn canary(instance: &mut Self::Instance, scene: &Self::Scene) -> Result<u32, TrialError>;
}

/// The world `scheduler`.
#[derive(Debug)]
pub struct Scheduling;

/// What the workers of a pool leave behind.
#[derive(Debug)]
pub struct PoolKnown {
    /// The servers that a plan was asked for last.
    pub(crate) servers: Mutex<Arc<[Server]>>,
    /// Recent requests of each worker.
    pub(crate) rings: Box<[Ring]>,
}

impl World for Scheduling {
    const KIND: Kind = Kind::Scheduler;
    const INSTEAD: &'static str = "the native round robin chooses";
    const PLANS: bool = true;
    type Guest = SchedulerGuest;
    type Instance = SchedulerInstance;
    type Known = PoolKnown;
    type Scene = (Arc<[Server]>, Vec<Request>);

    fn unknown(workers: usize) -> PoolKnown {
        PoolKnown {
            servers: Mutex::new(Arc::new([])),
            rings: (0..workers).map(|_| Ring::default()).collect(),
        }
    }

    fn scene(known: &PoolKnown) -> Self::Scene {
        (lock(&known.servers).clone(), known.rings.iter().flat_map(Ring::read).collect())
    }

    fn staged((servers, requests): &Self::Scene) -> Self::Scene {
        let servers = if servers.is_empty() { trial::synthetic_servers() } else { Arc::clone(servers) };
        (servers, requests.clone())
    }

    fn instance(engines: &Engines, checked: &Checked, host: Host) -> Result<SchedulerInstance, SetupError> {
        SchedulerInstance::new(engines, checked, host)
    }

    fn tell(
        instance: &mut SchedulerInstance,
        (servers, _): &Self::Scene,
    ) -> Result<(), (&'static str, Failure)> {
        if servers.is_empty() {
            return Ok(());
        }
        instance.update(servers).map(|_| ()).map_err(|failure| ("update", failure))
    }

    fn plan(instance: &SchedulerInstance) -> Option<&'static str> {
        instance.plan().map(Plan::as_str)
    }

    fn self_test(
        instance: &mut SchedulerInstance,
        (servers, _): &Self::Scene,
    ) -> Result<SelfTest, TrialError> {
        trial::scheduler::self_test(instance, servers)
    }

    fn golden(text: &str, make: &Make<'_, Self>) -> Result<u32, TrialError> {
        trial::scheduler::golden(text, make)
    }

    fn canary(
        instance: &mut SchedulerInstance,
        (servers, requests): &Self::Scene,
    ) -> Result<u32, TrialError> {
        trial::scheduler::canary(instance, servers, requests)
    }
}

/// The world `agent-check`.
#[derive(Debug)]
pub struct Checking;

impl World for Checking {
    const KIND: Kind = Kind::AgentCheck;
    const INSTEAD: &'static str = "checks are judged as without a plugin";
    const PLANS: bool = false;
    type Guest = AgentCheck;
    type Instance = JudgeInstance;
    type Known = Recent<(Subject, Observation)>;
    type Scene = Vec<(Subject, Observation)>;

    fn unknown(_: usize) -> Self::Known {
        Recent::default()
    }

    fn scene(known: &Self::Known) -> Self::Scene {
        known.read()
    }

    fn staged(scene: &Self::Scene) -> Self::Scene {
        scene.clone()
    }

    fn instance(engines: &Engines, checked: &Checked, host: Host) -> Result<JudgeInstance, SetupError> {
        JudgeInstance::new(engines, checked, host)
    }

    fn tell(_: &mut JudgeInstance, _: &Self::Scene) -> Result<(), (&'static str, Failure)> {
        Ok(())
    }

    fn self_test(instance: &mut JudgeInstance, _: &Self::Scene) -> Result<SelfTest, TrialError> {
        trial::agent_check::self_test(instance)
    }

    fn golden(text: &str, make: &Make<'_, Self>) -> Result<u32, TrialError> {
        trial::agent_check::golden(text, make)
    }

    fn canary(instance: &mut JudgeInstance, scene: &Self::Scene) -> Result<u32, TrialError> {
        trial::agent_check::canary(instance, scene)
    }
}

/// The world `dns-answers`.
#[derive(Debug)]
pub struct Answering;

/// A question, with the name that it was about.
pub(crate) type Asked = (Arc<str>, Question);

/// What the workers of a DNS node leave behind.
#[derive(Debug)]
pub struct NamesKnown {
    /// The names that the policy decides now.
    pub(crate) names: Mutex<Names>,
    /// Recent questions of each worker, with the name that they were about.
    pub(crate) recent: Box<[Recent<Asked>]>,
}

impl World for Answering {
    const KIND: Kind = Kind::DnsAnswers;
    const INSTEAD: &'static str = "all healthy addresses are answered";
    const PLANS: bool = false;
    type Guest = DnsAnswers;
    type Instance = ChooserInstance;
    type Known = NamesKnown;
    type Scene = (Names, Vec<(Arc<str>, Question)>);

    fn unknown(workers: usize) -> NamesKnown {
        NamesKnown {
            names: Mutex::new(Arc::new([])),
            recent: (0..workers).map(|_| Recent::default()).collect(),
        }
    }

    fn scene(known: &NamesKnown) -> Self::Scene {
        let questions = known.recent.iter().flat_map(Recent::read).collect();
        (lock(&known.names).clone(), questions)
    }

    fn staged((names, questions): &Self::Scene) -> Self::Scene {
        let names = if names.is_empty() { trial::dns_answers::synthetic_names() } else { Arc::clone(names) };
        (names, questions.clone())
    }

    fn instance(engines: &Engines, checked: &Checked, host: Host) -> Result<ChooserInstance, SetupError> {
        ChooserInstance::new(engines, checked, host)
    }

    fn tell(instance: &mut ChooserInstance, (names, _): &Self::Scene) -> Result<(), (&'static str, Failure)> {
        for (name, addresses) in names.iter() {
            instance.update(name, addresses).map_err(|failure| ("update", failure))?;
        }
        Ok(())
    }

    fn self_test(instance: &mut ChooserInstance, (names, _): &Self::Scene) -> Result<SelfTest, TrialError> {
        trial::dns_answers::self_test(instance, names)
    }

    fn golden(text: &str, make: &Make<'_, Self>) -> Result<u32, TrialError> {
        trial::dns_answers::golden(text, make)
    }

    fn canary(instance: &mut ChooserInstance, (names, questions): &Self::Scene) -> Result<u32, TrialError> {
        trial::dns_answers::canary(instance, names, questions)
    }
}

/// The last questions of one thread, to try the next version with. Written by that thread without waiting: while
/// somebody reads, a question is left out.
#[derive(Debug)]
#[repr(align(128))]
pub struct Recent<T>(Mutex<VecDeque<T>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Recent<T> {
    pub(crate) fn push(&self, question: impl FnOnce() -> T) {
        let Ok(mut recent) = self.0.try_lock() else { return };
        if recent.len() >= CANARY_REQUESTS {
            recent.pop_front();
        }
        recent.push_back(question());
    }

    /// What is in it, the oldest first.
    pub(crate) fn read(&self) -> Vec<T> {
        lock(&self.0).iter().cloned().collect()
    }
}
