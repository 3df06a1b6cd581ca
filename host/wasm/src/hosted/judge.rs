//! A judge as those who check see it: a queue, and a thread that asks the plugin.
//!
//! Checks end on threads that serve, or that check hundreds of servers, and `evaluate` may take 50 ms. So there is one thread
//! for each judge; it is the one worker of its [`Hosted`], and questions are answered in their order.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use weir_core::health::{Answer, Judge, Judgement, Observation, Subject};

use super::{Hosted, OnChange, Shown};
use crate::instance::JudgeInstance;
use crate::library::Subscription;
use crate::runtime::{InstanceSpec, RuntimeError, Shared};
use crate::status::PluginStatus;
use crate::world::Checking;

/// Questions that may wait. A plugin that cannot keep up with as many is one to do without.
const QUEUE: usize = 1024;

/// A plugin that judges observations, across its versions, configurations and failures.
#[derive(Debug)]
pub struct HostedJudge {
    hosted: Arc<Hosted<Checking>>,
    questions: SyncSender<Question>,
}

enum Question {
    Judge(Subject, Observation, Answer),
    /// Another version decides: the old one is to be let go, also where nothing is asked.
    Look,
}

impl HostedJudge {
    pub(crate) fn start(
        name: &str,
        spec: InstanceSpec,
        shared: Arc<Shared>,
        subscription: Subscription,
        on_change: OnChange,
    ) -> Result<Arc<Self>, RuntimeError> {
        let (questions, inbox) = mpsc::sync_channel(QUEUE);
        let nudge = questions.clone();
        let changed = Box::new(move || {
            // A full queue looks by itself.
            let _ = nudge.try_send(Question::Look);
            on_change();
        });
        let hosted = Hosted::start(name, spec, 1, shared, subscription, changed)?;
        let worker = Worker { hosted: Arc::downgrade(&hosted), generation: 0, instance: None };
        thread::Builder::new().name(format!("weir-judge-{name}")).spawn(move || worker.run(&inbox))?;
        Ok(Arc::new(Self { hosted, questions }))
    }

    /// See [`Hosted::reconfigure`].
    pub fn reconfigure(&self, spec: InstanceSpec) {
        self.hosted.reconfigure(spec);
    }

    /// See [`Hosted::retry`].
    pub fn retry(&self) {
        self.hosted.retry();
    }

    /// See [`Hosted::status`].
    pub fn status(&self) -> PluginStatus {
        self.hosted.status()
    }

    /// See [`Hosted::name`].
    pub fn name(&self) -> &str {
        self.hosted.name()
    }
}

impl Shown for HostedJudge {
    fn status(&self) -> PluginStatus {
        self.hosted.status()
    }
}

impl Judge for HostedJudge {
    fn judge(&self, subject: Subject, observation: Observation, answer: Answer) {
        match self.questions.try_send(Question::Judge(subject, observation.bounded(), answer)) {
            Ok(()) => {}
            Err(
                mpsc::TrySendError::Full(Question::Judge(.., answer))
                | mpsc::TrySendError::Disconnected(Question::Judge(.., answer)),
            ) => {
                answer(Judgement::Nobody);
            }
            Err(_) => {}
        }
    }
}

struct Worker {
    /// Dropped with the judge: the control thread holds a sender of the queue, so its end does not tell.
    hosted: std::sync::Weak<Hosted<Checking>>,
    generation: u64,
    instance: Option<JudgeInstance>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Question>) {
        while let Ok(question) = inbox.recv() {
            let hosted = self.hosted.upgrade();
            if let Some(hosted) = &hosted {
                self.renew(hosted);
            }
            let Question::Judge(subject, observation, answer) = question else { continue };
            answer(match &hosted {
                Some(hosted) => self.judge(hosted, &subject, observation),
                None => Judgement::Nobody,
            });
        }
    }

    /// Lets go of what is old, and takes what is there.
    fn renew(&mut self, hosted: &Hosted<Checking>) {
        let generation = hosted.issue();
        if generation != self.generation {
            self.generation = generation;
            self.instance = None;
        }
        if self.instance.is_none() {
            self.instance = hosted.take(0);
        }
    }

    fn judge(&mut self, hosted: &Hosted<Checking>, subject: &Subject, observation: Observation) -> Judgement {
        hosted.front.known.push(|| (subject.clone(), observation.clone()));
        // While a failed one is made again, a plugin that stumbles over one server must not take all of them down.
        let Some(instance) = &mut self.instance else { return Judgement::Nobody };
        match instance.evaluate(subject, observation) {
            Ok(Ok(report)) => Judgement::Verdict(report),
            Ok(Err(said)) => Judgement::Failed(said),
            Err(failure) => {
                self.instance = None;
                hosted.worker_failed(0, self.generation, "evaluate", &failure);
                Judgement::Failed(format!("plugin {}: `evaluate` {failure}", hosted.name()))
            }
        }
    }
}
