//! Who says what observations of a server mean, and how often they did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;
use weir_core::health::{Judge, Judgement, Observation, Subject};

/// Who judges a server, and what it is told of it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The judge.
    pub judge: Arc<dyn Judge>,
    /// The server's name, as the judge is told.
    pub name: Arc<str>,
    /// Its labels, names unique.
    pub labels: Arc<[(String, String)]>,
}

impl PartialEq for Judged {
    /// The same judge, not one like it.
    fn eq(&self, other: &Self) -> bool {
        self.is_by(other) && self.name == other.name && self.labels == other.labels
    }
}

impl Eq for Judged {}

impl Judged {
    /// Whether both have the same judge.
    pub(super) fn is_by(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.judge, &other.judge)
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(
        &self,
        subject: Subject,
        observation: Observation,
        counts: &Arc<Judgements>,
    ) -> impl Future<Output = Judgement> + Send + use<> {
        let (tell, told) = oneshot::channel();
        // Whoever waited may be gone: a server that left, a check that another one took the place of.
        self.judge.judge(subject, observation, Box::new(move |said| drop(tell.send(said))));
        let counts = Arc::clone(counts);
        async move {
            // A judge that goes without an answer is one that is not there.
            let said = told.await.unwrap_or(Judgement::Nobody);
            counts.count(&said);
            said
        }
    }
}

/// What became of questions to judges, counted.
#[derive(Debug, Default)]
pub struct Judgements {
    decided: AtomicU64,
    failed: AtomicU64,
    nobody: AtomicU64,
}

impl Judgements {
    /// Questions that a judge decided.
    pub fn decided(&self) -> u64 {
        self.decided.load(Ordering::Relaxed)
    }

    /// Questions that ended in an error of the judge, which counts as a failed check.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Questions that found no judge: what was seen was taken as without one.
    pub fn nobody(&self) -> u64 {
        self.nobody.load(Ordering::Relaxed)
    }

    fn count(&self, said: &Judgement) {
        let counter = match said {
            Judgement::Verdict(_) | Judgement::Passed => &self.decided,
            Judgement::Failed(_) => &self.failed,
            Judgement::Nobody => &self.nobody,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
