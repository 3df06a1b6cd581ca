//! What is counted of one plugin instance while it serves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_core::schedule::{Failure, Plan};

use super::lock;
use crate::engine::Lane;

/// Between two lines about wrong answers: they can come with every request.
const LINE_EVERY: Duration = Duration::from_secs(10);

const KINDS: [&str; 4] = ["trap", "deadline", "memory", "invalid"];
const PLANS: [&str; 4] = ["table", "cycle", "per-request", "fallback"];

/// Counters and the last failure.
#[derive(Debug)]
pub(crate) struct Meter {
    /// What happens in place of an answer, for the log.
    instead: &'static str,
    failures: [AtomicU64; KINDS.len()],
    /// 1 + index into [`PLANS`]; 0 before the first plan.
    plan: AtomicU8,
    last: Mutex<Last>,
    lanes: Mutex<Lanes>,
}

#[derive(Debug, Default)]
struct Last {
    error: Option<String>,
    line_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Lanes {
    live: Vec<Arc<Lane>>,
    /// Calls of instances that are gone.
    retired: u64,
}

impl Meter {
    pub(crate) fn new(instead: &'static str) -> Self {
        Self {
            instead,
            failures: Default::default(),
            plan: AtomicU8::new(0),
            last: Mutex::default(),
            lanes: Mutex::default(),
        }
    }

    /// Counts a failure. Returns it in words when it was kept as the last error, which is not always: a worker does not wait
    /// for that, and wrong answers are not put into words for every request.
    pub(crate) fn failure(&self, plugin: &str, hook: &str, failure: &Failure) -> Option<String> {
        if let Some(count) =
            KINDS.iter().position(|k| *k == failure.kind()).and_then(|k| self.failures.get(k))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut last = self.last.try_lock().ok()?;
        let now = Instant::now();
        let quiet = last.line_at.is_some_and(|at| now.saturating_duration_since(at) < LINE_EVERY);
        if quiet && !failure.poisons() {
            return None;
        }
        let said = format!("`{hook}` {failure}");
        if !failure.poisons() {
            last.line_at = Some(now);
            tracing::warn!(plugin, kind = failure.kind(), "{said}; {} instead", self.instead);
        }
        last.error = Some(said.clone());
        Some(said)
    }

    /// Something else went wrong.
    pub(crate) fn error(&self, said: String) {
        lock(&self.last).error = Some(said);
    }

    pub(crate) fn plan(&self, plan: &Plan) {
        let at = PLANS.iter().position(|p| *p == plan.as_str()).and_then(|at| u8::try_from(at + 1).ok());
        self.plan.store(at.unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn last_plan(&self) -> Option<&'static str> {
        PLANS.get(usize::from(self.plan.load(Ordering::Relaxed)).checked_sub(1)?).copied()
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        lock(&self.last).error.clone()
    }

    pub(crate) fn failures(&self) -> BTreeMap<&'static str, u64> {
        KINDS.iter().zip(&self.failures).map(|(k, n)| (*k, n.load(Ordering::Relaxed))).collect()
    }

    /// Calls of this instance count from now on.
    pub(crate) fn enlist(&self, lane: &Arc<Lane>) {
        let mut lanes = lock(&self.lanes);
        lanes.retire();
        lanes.live.push(Arc::clone(lane));
    }

    /// Calls of all instances so far.
    pub(crate) fn calls(&self) -> u64 {
        let mut lanes = lock(&self.lanes);
        lanes.retire();
        lanes.retired + lanes.live.iter().map(|lane| lane.calls()).sum::<u64>()
    }
}

impl Lanes {
    /// Keeps only the count of instances that are gone.
    fn retire(&mut self) {
        let retired = &mut self.retired;
        self.live.retain(|lane| {
            let gone = Arc::strong_count(lane) == 1;
            if gone {
                *retired += lane.calls();
            }
            !gone
        });
    }
}
