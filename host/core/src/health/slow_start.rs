//! A server that comes back is not given its full share at once: caches are cold, pools are empty.

use std::time::Duration;

use crate::time::Moment;

/// One ramp from nothing to everything, in steps of a twentieth, none shorter than a second (as HAProxy's).
#[derive(Debug, Clone)]
pub(super) struct SlowStart {
    began: Moment,
    whole: Duration,
    /// Percent of the full weight, less than 100.
    share: u8,
    /// When the next step begins.
    next: Moment,
}

impl SlowStart {
    /// `None` where there is nothing to ramp over.
    pub(super) fn new(whole: Duration, now: Moment) -> Option<Self> {
        Self { began: now, whole, share: 0, next: now }.advanced(now)
    }

    /// The same ramp where it is now; `None` when it is over.
    pub(super) fn advanced(self, now: Moment) -> Option<Self> {
        let step = (self.whole / 20).max(Duration::from_secs(1));
        let ended = now.since(self.began).as_micros() / step.as_micros().max(1);
        let steps = u32::try_from(ended).unwrap_or(u32::MAX).saturating_add(1);
        let reached = step.saturating_mul(steps);
        if reached >= self.whole {
            return None;
        }
        let share = reached.as_micros() * 100 / self.whole.as_micros().max(1);
        Some(Self { share: u8::try_from(share).unwrap_or(100), next: self.began.after(reached), ..self })
    }

    pub(super) fn share(&self) -> u8 {
        self.share
    }

    pub(super) fn deadline(&self) -> Moment {
        self.next
    }
}

/// `share` percent of `whole`, rounded up: what is not nothing stays at least 1.
pub(super) fn scaled(whole: u32, share: u8) -> u32 {
    let part = (u64::from(whole) * u64::from(share)).div_ceil(100);
    u32::try_from(part).unwrap_or(whole)
}
