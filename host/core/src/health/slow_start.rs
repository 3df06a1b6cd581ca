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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// (seconds after the start, share) of each step until it is over, and when that is.
    fn steps(whole: Duration) -> (Vec<(u64, u8)>, u64) {
        let mut now = Moment::ZERO;
        let mut ramp = SlowStart::new(whole, now);
        let mut seen = Vec::new();
        while let Some(at) = ramp {
            seen.push((now.as_micros() / 1_000_000, at.share()));
            assert!(at.deadline() > now, "a deadline that is not ahead is a busy loop");
            now = at.deadline();
            ramp = at.advanced(now);
        }
        (seen, now.as_micros() / 1_000_000)
    }

    #[test]
    fn it_takes_twenty_steps_and_exactly_its_time() {
        let (seen, end) = steps(SECOND * 40);
        assert_eq!(seen.len(), 19);
        assert_eq!(seen.first(), Some(&(0, 5)));
        assert_eq!(seen.get(1), Some(&(2, 10)));
        assert_eq!(seen.last(), Some(&(36, 95)));
        assert_eq!(end, 38, "the last step is to the full weight");
    }

    #[test]
    fn no_step_is_shorter_than_a_second() {
        assert_eq!(steps(SECOND * 4), (vec![(0, 25), (1, 50), (2, 75)], 3));
        assert_eq!(steps(SECOND), (vec![], 0));
        assert_eq!(steps(Duration::ZERO), (vec![], 0));
    }

    #[test]
    fn a_late_timer_finds_the_step_of_its_time() {
        let ramp = SlowStart::new(SECOND * 20, Moment::ZERO).unwrap();
        let late = ramp.advanced(Moment::ZERO.after(SECOND * 9)).unwrap();
        assert_eq!((late.share(), late.deadline()), (50, Moment::ZERO.after(SECOND * 10)));
        assert!(late.advanced(Moment::ZERO.after(SECOND * 100)).is_none());
    }

    #[test]
    fn a_share_of_something_is_something() {
        assert_eq!((scaled(0, 5), scaled(1, 5), scaled(100, 5), scaled(30, 50)), (0, 1, 5, 15));
        assert_eq!(scaled(u32::MAX, 100), u32::MAX);
    }
}
