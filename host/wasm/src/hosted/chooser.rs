//! A chooser of addresses as DNS workers see it.

use std::sync::Arc;

use weir_core::dns::answer::choose::{Chooser, ChooserSource, Names, Question};
use weir_core::schedule::Failure;

use super::{HostedChooser, lock};

impl ChooserSource for HostedChooser {
    fn generation(&self) -> u64 {
        self.issue()
    }

    fn instance(&self, worker: usize) -> Option<Box<dyn Chooser>> {
        Some(Box::new(self.take(worker)?))
    }

    fn names(&self, names: Names) {
        *lock(&self.front.known.names) = names;
    }

    fn failed(&self, worker: usize, generation: u64, hook: &'static str, failure: &Failure) {
        self.worker_failed(worker, generation, hook, failure);
    }

    fn seen(&self, worker: usize, name: &Arc<str>, question: &Question) {
        if let Some(recent) = self.front.known.recent.get(worker) {
            recent.push(|| (Arc::clone(name), question.clone()));
        }
    }
}
