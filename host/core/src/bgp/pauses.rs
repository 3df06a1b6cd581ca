//! How long to wait before the next try: doubled with every failure, and never quite the same on two nodes.

use std::time::Duration;

/// A session that was up for so long, and the next pause is the first one again.
pub(super) const GOOD_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(super) struct Pauses {
    failures: u32,
    dice: u64,
}

impl Pauses {
    pub(super) const fn new(seed: u64) -> Self {
        Self { failures: 0, dice: seed }
    }

    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Another failure, and the pause after it: at least a millisecond.
    pub(super) fn failed(&mut self, first: Duration, longest: Duration) -> Duration {
        let doubled = first.saturating_mul(1_u32 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        doubled.min(longest).mul_f64(self.jitter()).max(Duration::from_millis(1))
    }

    /// 0.75 to 1, as RFC 4271 §10 wants its timers to be multiplied with. A linear congruence: it need not be good.
    pub(super) fn jitter(&mut self) -> f64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        0.75 + 0.25 * ((self.dice >> 33) as f64 / (1_u64 << 31) as f64)
    }
}
