//! A policy's plugin on one thread: the instance that was given out, and what it was told.

use std::sync::Arc;
use std::time::Duration;

use super::table::Policy;
use crate::dns::answer::choose::{Address, Choice, Chooser, ChooserSource, Question};
use crate::schedule::Failure;
use crate::time::Moment;

/// How often an instance that failed is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The plugin of one policy on one thread.
#[derive(Default)]
pub(super) struct Instance {
    chooser: Option<Box<dyn Chooser>>,
    /// The addresses that it was told of last, and its number for them.
    told: Option<(Arc<[Address]>, u32)>,
    generation: u64,
    /// When an instance was last asked for.
    asked: Option<Moment>,
    /// Whether `chooser` was given while `generation` stayed the same: it may be of the next one.
    early: bool,
}

impl Instance {
    /// What the plugin says; [`Choice::Fallback`] where there is none or it fails.
    pub(super) fn choose(
        &mut self,
        source: &dyn ChooserSource,
        worker: usize,
        policy: &Policy,
        mut question: Question,
        now: Moment,
    ) -> Choice {
        self.take(source, worker, now);
        let Some(chooser) = &mut self.chooser else { return Choice::Fallback };
        let number = match &self.told {
            Some((told, number)) if Arc::ptr_eq(told, &policy.addresses) => *number,
            _ => match chooser.update(&policy.name, &policy.addresses) {
                Ok(number) => {
                    self.told = Some((Arc::clone(&policy.addresses), number));
                    number
                }
                Err(failure) => return self.failed(source, worker, "update", &failure),
            },
        };
        question.name = number;
        let choice = chooser.decide(&question);
        source.seen(worker, &policy.name, &question);
        match choice.and_then(|choice| choice.checked(&question, &policy.addresses)) {
            Ok(choice) => choice,
            Err(failure) => self.failed(source, worker, "decide", &failure),
        }
    }

    fn take(&mut self, source: &dyn ChooserSource, worker: usize, now: Moment) {
        let generation = source.generation();
        let is_new = generation != self.generation || self.asked.is_none();
        let is_due = self.asked.is_none_or(|at| now.since(at) >= ASK_AGAIN);
        if !(is_new || self.chooser.is_none() && is_due) {
            return;
        }
        // The old one is of no more use. But a source fills its hands before it changes its number: one that was given in between
        // is the new one already.
        let early = self.chooser.take().filter(|_| self.early);
        let given = source.instance(worker);
        if given.is_some() || early.is_none() {
            self.told = None;
        }
        self.early = given.is_some() && !is_new;
        self.chooser = given.or(early);
        self.generation = generation;
        self.asked = Some(now);
    }

    fn failed(
        &mut self,
        source: &dyn ChooserSource,
        worker: usize,
        hook: &'static str,
        failure: &Failure,
    ) -> Choice {
        if failure.poisons() {
            self.chooser = None;
            self.told = None;
        }
        source.failed(worker, self.generation, hook, failure);
        Choice::Fallback
    }
}
