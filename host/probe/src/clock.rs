//! From tokio's instants to [`Moment`]s, which can be chosen and written down.

use tokio::time::Instant;
use weir_core::time::Moment;

/// A monotonic clock. One for each process: moments of two clocks do not compare. Copies are the same clock.
///
/// It is tokio's, so a paused runtime pauses it too.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that is at [`Moment::ZERO`] now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        Moment::ZERO.after(self.origin.elapsed())
    }

    /// The instant of a moment. Moments beyond what an instant can be are a century away.
    pub fn instant(&self, moment: Moment) -> Instant {
        const CENTURY: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 3600);
        let since = moment.since(Moment::ZERO).min(CENTURY);
        self.origin.checked_add(since).unwrap_or(self.origin)
    }
}
