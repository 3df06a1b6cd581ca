//! A judge as those who check see it: a queue, and a thread that asks the plugin.
//!
//! Checks end on threads that serve, or that check hundreds of servers, and `evaluate` may take 50 ms. So there is one thread
//! for each judge; it is the one worker of its [`Hosted`], and questions are answered in their order.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use weir_core::health::{Answer, Judge, Judgement, Observation, Subject};

use super::mailbox::Mailbox;
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
        let worker = Worker { hosted: Arc::downgrade(&hosted), given: Given::default() };
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
    given: Given<JudgeInstance>,
}

/// What a worker was given, and the issue that it is of.
struct Given<T> {
    issue: u64,
    instance: Option<T>,
}

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self { issue: 0, instance: None }
    }
}

impl<T> Given<T> {
    /// Lets go of what is not of this issue, and takes what there is of it. The number is read once: an instance of a later one, taken
    /// for one of this, would be let go at the next look, and there is no second.
    fn renew(&mut self, issue: u64, mailbox: &Mailbox<T>) {
        if issue != self.issue {
            self.issue = issue;
            self.instance = None;
        }
        if self.instance.is_none() {
            self.instance = mailbox.take(issue);
        }
    }
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Question>) {
        while let Ok(question) = inbox.recv() {
            let hosted = self.hosted.upgrade();
            if let Some(hosted) = &hosted
                && let Some(mailbox) = hosted.front.mailboxes.first()
            {
                self.given.renew(hosted.issue(), mailbox);
            }
            let Question::Judge(subject, observation, answer) = question else { continue };
            answer(match &hosted {
                Some(hosted) => self.judge(hosted, &subject, observation),
                None => Judgement::Nobody,
            });
        }
    }

    fn judge(&mut self, hosted: &Hosted<Checking>, subject: &Subject, observation: Observation) -> Judgement {
        hosted.front.known.push(|| (subject.clone(), observation.clone()));
        // While a failed one is made again, a plugin that stumbles over one server must not take all of them down.
        let Some(instance) = &mut self.given.instance else { return Judgement::Nobody };
        match instance.evaluate(subject, observation) {
            Ok(Ok(report)) => Judgement::Verdict(report),
            Ok(Err(said)) => Judgement::Failed(said),
            Err(failure) => {
                self.given.instance = None;
                hosted.worker_failed(0, self.given.issue, "evaluate", &failure);
                Judgement::Failed(format!("plugin {}: `evaluate` {failure}", hosted.name()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_comes_between_two_looks_is_not_lost() {
        let (mailbox, mut given) = (Mailbox::default(), Given::default());
        mailbox.put("first", 1);
        given.renew(0, &mailbox);
        assert_eq!(given.instance, None);
        given.renew(1, &mailbox);
        assert_eq!(given.instance, Some("first"));
        mailbox.put("third", 3);
        // The number was 2 when it was read, and has grown since.
        given.renew(2, &mailbox);
        assert_eq!(given.instance, None, "the first is no longer used");
        for _ in 0..2 {
            given.renew(3, &mailbox);
            assert_eq!(given.instance, Some("third"));
        }
    }
}
