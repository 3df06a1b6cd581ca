//! What the fleet file says of checking a server. Whoever reads the file makes these.

use std::time::Duration;

use crate::model::MAX_WEIGHT;

/// No check is made more often than this: a spec of zero must not become a loop.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// When a server is checked, and how many results it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckTiming {
    /// From the start of a check to the start of the next, give or take a tenth. At least [`MIN_INTERVAL`].
    pub interval: Duration,
    /// The same while the latest results contradict the state, so that it is known sooner.
    pub fast_interval: Duration,
    /// For one whole check, from connecting to the last byte. Longer than the interval delays the next check.
    pub timeout: Duration,
    /// Passed checks in a row that a server which is down needs. At least 1.
    pub rise: u32,
    /// Failed checks in a row that a server which is up needs. At least 1.
    pub fall: u32,
}

impl Default for CheckTiming {
    /// As HAProxy's `check` without words: `inter 2s fastinter 2s rise 2 fall 3`, and the interval is the timeout.
    fn default() -> Self {
        let interval = Duration::from_secs(2);
        Self { interval, fast_interval: interval, timeout: interval, rise: 2, fall: 3 }
    }
}

/// When an agent is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentTiming {
    /// From the start of a question to the start of the next, give or take a tenth; its timeout as well.
    pub interval: Duration,
}

impl Default for AgentTiming {
    /// As HAProxy's `agent-inter`: two seconds.
    fn default() -> Self {
        Self { interval: Duration::from_secs(2) }
    }
}

/// All that a [`ServerHealth`](super::ServerHealth) is told of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSpec {
    /// The configured weight, 0 to 256: what `100%` means.
    pub weight: u16,
    /// The configured limit of requests in flight; `None` is no limit.
    pub max_in_flight: Option<u32>,
    /// `None`: it is not checked, and up as far as checks are concerned.
    pub check: Option<CheckTiming>,
    /// `None`: it has no agent.
    pub agent: Option<AgentTiming>,
    /// How long weight and limit grow after it came back; zero is at once.
    pub slow_start: Duration,
}

impl Default for HealthSpec {
    /// Weight 1, no limit, no check, no agent, no slow start.
    fn default() -> Self {
        Self { weight: 1, max_in_flight: None, check: None, agent: None, slow_start: Duration::ZERO }
    }
}

impl HealthSpec {
    /// The same with every value in its range, since a machine must stand any.
    pub(super) fn bounded(mut self) -> Self {
        self.weight = self.weight.min(MAX_WEIGHT);
        self.max_in_flight = self.max_in_flight.filter(|limit| *limit > 0);
        if let Some(check) = &mut self.check {
            check.interval = check.interval.max(MIN_INTERVAL);
            check.fast_interval = check.fast_interval.max(MIN_INTERVAL);
            check.rise = check.rise.max(1);
            check.fall = check.fall.max(1);
        }
        if let Some(agent) = &mut self.agent {
            agent.interval = agent.interval.max(MIN_INTERVAL);
        }
        self
    }
}
