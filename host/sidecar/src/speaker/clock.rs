//! Moments for the machines, instants for the timers.

use std::time::Duration;

use tokio::time::Instant;
use weir_core::time::Moment;

/// One for a whole speaker: its threads compare moments. Copies are the same clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        Moment::ZERO.after(self.0.elapsed())
    }

    /// Sleeps until then; for ever where there is no then.
    pub(super) async fn reach(self, moment: Option<Moment>) {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        let Some(moment) = moment else { return std::future::pending().await };
        let since = moment.since(Moment::ZERO).min(CENTURY);
        tokio::time::sleep_until(self.0.checked_add(since).unwrap_or(self.0)).await;
    }
}
