//! Deadlines in processor time, for the price of an epoch check.
//!
//! A guest that was merely preempted on a busy core has done nothing wrong, so a deadline counts the *thread's processor
//! time*. Reading that clock is a system call, four times the cost of a whole `pick`, so it is read only when a tick passes
//! inside a call: the first tick notes the time, each one after it compares. A call therefore is never stopped before its
//! deadline, and at most one look and one tick of work after it, 2.5 ms. A backstop in wall-clock time stops a call that gets no processor at
//! all: a request is waiting for it.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

/// How long a call may take.
#[derive(Debug, PartialEq, Eq)]
pub struct Budget {
    /// Processor time of the thread.
    pub limit: Duration,
    /// Time on the wall.
    pub backstop: Duration,
}

impl Budget {
    /// `pick` and `on-result`. A request that waited a quarter of a second for a processor is better served by the fallback.
    pub const PICK: Self = Self { limit: Duration::from_millis(2), backstop: Duration::from_millis(250) };
    /// `update`, `describe` and a plugin's start.
    pub const UPDATE: Self = Self { limit: Duration::from_millis(50), backstop: Duration::from_secs(2) };
    /// `configure`.
    pub const CONFIGURE: Self = Self { limit: Duration::from_secs(1), backstop: Duration::from_secs(10) };
}

/// It ran past its deadline.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("ran past its deadline of {limit:?}")]
pub(crate) struct Overrun {
    pub(crate) limit: Duration,
}

/// The deadline of the call that runs now.
#[derive(Debug)]
pub struct Watch {
    budget: &'static Budget,
    /// Processor time and wall-clock time at the first tick.
    first: Option<(Duration, Instant)>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { budget: &Budget::UPDATE, first: None }
    }
}

impl Watch {
    /// A call begins.
    #[inline]
    pub(crate) fn start(&mut self, budget: &'static Budget) {
        self.budget = budget;
        self.first = None;
    }

    /// A tick has passed inside the call: on with it, or not?
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        if self.is_over(processor_time(), Instant::now()) {
            return Err(wasmtime::Error::new(Overrun { limit: self.budget.limit }));
        }
        Ok(UpdateDeadline::Continue(1))
    }

    fn is_over(&mut self, processor: Duration, wall: Instant) -> bool {
        let (processor_first, wall_first) = *self.first.get_or_insert((processor, wall));
        processor.saturating_sub(processor_first) >= self.budget.limit
            || wall.saturating_duration_since(wall_first) >= self.budget.backstop
    }
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_guest_that_was_preempted_is_not_late() {
        let (mut watch, wall) = (Watch::default(), Instant::now());
        watch.start(&Budget::PICK);
        assert!(!watch.is_over(MS * 7, wall));
        assert!(!watch.is_over(MS * 8, wall + MS * 100));
        assert!(watch.is_over(MS * 9, wall + MS * 101));
    }

    #[test]
    fn a_guest_that_gets_no_processor_is_stopped_by_the_wall_clock() {
        let (mut watch, wall) = (Watch::default(), Instant::now());
        watch.start(&Budget::PICK);
        assert!(!watch.is_over(MS, wall));
        assert!(watch.is_over(MS, wall + Budget::PICK.backstop));
    }

    #[test]
    fn each_call_has_its_own_deadline() {
        let (mut watch, wall) = (Watch::default(), Instant::now());
        watch.start(&Budget::PICK);
        assert!(!watch.is_over(MS, wall));
        watch.start(&Budget::PICK);
        assert!(!watch.is_over(MS * 50, wall + MS * 500));
    }
}
