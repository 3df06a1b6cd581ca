//! The latency that is expected of one server.

/// A value that jumps up and sinks exponentially. Microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    /// The value at `since`; `None` before the first answer.
    latency_us: Option<f64>,
    /// When it was last renewed, milliseconds of the plugin's clock.
    since_ms: u64,
}

impl Estimate {
    /// What is expected now: less the longer nothing was heard.
    pub(crate) fn at(&self, now_ms: u64, decay_ms: f64) -> Option<f64> {
        self.latency_us.map(|latency| latency * self.share_left(now_ms, decay_ms))
    }

    /// Takes an answer in. A peak is believed at once; a better answer only stops the sinking, at its own value.
    pub(crate) fn observe(&mut self, latency_us: f64, now_ms: u64, decay_ms: f64) {
        let sunk = self.at(now_ms, decay_ms).unwrap_or_default();
        *self = Self { latency_us: Some(latency_us.max(sunk)), since_ms: now_ms };
    }

    /// Which part of the old value still counts.
    fn share_left(&self, now_ms: u64, decay_ms: f64) -> f64 {
        (-(now_ms.saturating_sub(self.since_ms) as f64) / decay_ms).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_jumps_up_and_sinks_by_time_and_not_by_count() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.at(5, 100.0), None);
        estimate.observe(1000.0, 0, 100.0);
        estimate.observe(5000.0, 0, 100.0);
        assert_eq!(estimate.at(0, 100.0), Some(5000.0));
        // However many answers come at one moment, they move it nowhere.
        (0..100).for_each(|_| estimate.observe(1000.0, 0, 100.0));
        assert_eq!(estimate.at(0, 100.0), Some(5000.0));
        estimate.observe(1000.0, 100, 100.0);
        assert!((estimate.at(100, 100.0).unwrap() - 5000.0 / std::f64::consts::E).abs() < 0.001);
        estimate.observe(1000.0, 1000, 100.0);
        assert_eq!(estimate.at(1000, 100.0), Some(1000.0));
    }

    #[test]
    fn silence_makes_it_sink() {
        let mut estimate = Estimate::default();
        estimate.observe(1000.0, 0, 100.0);
        assert!((estimate.at(100, 100.0).unwrap() - 367.879).abs() < 0.001);
        assert!(estimate.at(1_000_000, 100.0).unwrap() < 1e-9);
    }
}
