//! Latency shed: the slower a server answers its checks, the less it weighs.
//!
//! **When to use it.** Servers that slow down before they fail, behind a scheduler that goes by weight. What is measured is
//! the check itself, so its page should do what requests do. Latency is smoothed, and a weight that would move by less than
//! a few percent stays, so that pools do not change with every check.
//!
//! Whether a server is fit is decided as without a plugin: a status of 400 and above, or no answer, is a failed check.
//!
//! **What it costs.** Less than a microsecond for a check.
//!
//! **Configuration.**
//!
//! ```text
//! # Milliseconds up to which a server has all its weight, and from which on it has the least.
//! good-ms = 50
//! bad-ms = 500
//! # The least, percent of the configured weight.
//! least = 10
//! # How many checks a change of latency takes to count for the most part.
//! smooth = 5
//! # Percent by which the weight has to change to be changed.
//! step = 5
//! ```

use std::collections::BTreeMap;

use weir_plugin::agent_check::{AgentCheck, Node, Observation, Verdict};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// Servers that are remembered.
const MOST_SERVERS: usize = 4096;

/// The check.
#[derive(Debug)]
pub struct LatencyShed {
    good_us: f64,
    bad_us: f64,
    least: f64,
    smooth: f64,
    step: u32,
    /// By `node.id`.
    servers: BTreeMap<u32, Server>,
}

/// What is remembered of a server.
#[derive(Debug, Clone, Copy)]
struct Server {
    /// Smoothed.
    latency_us: f64,
    /// Said last.
    percent: u32,
}

weir_plugin::export_agent_check!(LatencyShed);

impl Plugin for LatencyShed {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let good_ms = config.number("good-ms", 1..=600_000, 50u32)?;
        let bad_ms = config.number("bad-ms", 1..=600_000, 500u32)?;
        let least = config.number("least", 1..=100, 10u32)?;
        let smooth = config.number("smooth", 1..=1000, 5u32)?;
        let step = config.number("step", 0..=100, 5)?;
        config.finish()?;
        if bad_ms <= good_ms {
            let said = format!("`bad-ms` is {bad_ms}, must be more than `good-ms`, which is {good_ms}");
            return Err(ConfigError::Invalid(said));
        }
        Ok(Self {
            good_us: f64::from(good_ms) * 1000.0,
            bad_us: f64::from(bad_ms) * 1000.0,
            least: f64::from(least),
            smooth: f64::from(smooth),
            step,
            servers: BTreeMap::new(),
        })
    }
}

impl AgentCheck for LatencyShed {
    fn evaluate(&mut self, node: &Node, observation: &Observation) -> Result<Verdict, String> {
        let latency_us = match observation {
            Observation::Http(response) if response.status >= 400 => {
                return Err(format!("it answered with status {}", response.status));
            }
            Observation::Http(response) => response.latency_us,
            Observation::Tcp(latency_us) => *latency_us,
            Observation::Failed(why) => return Err(why.clone()),
            Observation::Agent(line) => return Err(format!("this plugin reads no agent lines: {line:?}")),
            Observation::Tick => return Ok(Verdict::NONE),
        };
        let seen = f64::from(latency_us);
        if self.servers.len() >= MOST_SERVERS && !self.servers.contains_key(&node.id) {
            self.servers.pop_first();
        }
        let mut server =
            self.servers.get(&node.id).copied().unwrap_or(Server { latency_us: seen, percent: u32::MAX });
        server.latency_us += (seen - server.latency_us) / self.smooth;
        let percent = self.percent(server.latency_us);
        let at_an_end = percent != server.percent && (percent == 100 || f64::from(percent) <= self.least);
        if percent.abs_diff(server.percent) >= self.step.max(1) || at_an_end {
            server.percent = percent;
        }
        self.servers.insert(node.id, server);
        let ms = server.latency_us / 1000.0;
        let reason = (server.percent < 100).then(|| format!("{ms:.0} ms to the first byte"));
        Ok(Verdict { reason, ..Verdict::UP.at_percent(server.percent) })
    }
}

impl LatencyShed {
    /// In a straight line from all at `good` to the least at `bad`.
    fn percent(&self, latency_us: f64) -> u32 {
        let excess = ((latency_us - self.good_us) / (self.bad_us - self.good_us)).clamp(0.0, 1.0);
        (100.0 - excess * (100.0 - self.least)).round() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::agent_check::Weight;
    use weir_plugin::harness::Checked;

    fn percent(verdict: Result<Verdict, String>) -> u32 {
        match verdict.unwrap().weight {
            Some(Weight::Percent(percent)) => percent,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn weight_falls_in_a_straight_line_and_not_below_the_least() {
        let mut weights = Vec::new();
        for ms in [0, 50, 275, 400, 500, 60_000] {
            let mut server = Checked::<LatencyShed>::new("").unwrap();
            weights.push(percent(server.http_after(200, "", ms * 1000)));
        }
        assert_eq!(weights, [100, 100, 55, 30, 10, 10]);
    }

    #[test]
    fn one_slow_answer_is_smoothed_and_a_server_that_stays_slow_is_not() {
        let mut server = Checked::<LatencyShed>::new("").unwrap();
        assert_eq!(percent(server.http_after(200, "", 10_000)), 100);
        // A fifth of the way from 10 to 500 ms: 108 ms.
        assert_eq!(percent(server.http_after(200, "", 500_000)), 88);
        assert_eq!(percent(server.http_after(200, "", 10_000)), 92 - 4, "a step of 4 is none");
        for _ in 0..40 {
            server.http_after(200, "", 600_000).unwrap();
        }
        let verdict = server.http_after(200, "", 600_000).unwrap();
        assert_eq!(verdict.reason.as_deref(), Some("600 ms to the first byte"));
        assert_eq!(percent(Ok(verdict)), 10);
        for _ in 0..40 {
            server.http_after(200, "", 10_000).unwrap();
        }
        assert_eq!(server.http_after(200, "", 10_000), Ok(Verdict::UP.at_percent(100)));
    }

    #[test]
    fn each_server_has_its_own_latency() {
        let mut server = Checked::<LatencyShed>::new("").unwrap();
        assert_eq!(percent(server.tcp(500_000)), 10);
        server.node.id = 1;
        assert_eq!(percent(server.tcp(1000)), 100);
    }

    #[test]
    fn fit_or_not_is_as_without_a_plugin() {
        let mut server = Checked::<LatencyShed>::new("").unwrap();
        assert_eq!(server.http(503, ""), Err("it answered with status 503".into()));
        assert_eq!(server.failed("refused"), Err("refused".into()));
        assert_eq!(server.tick(), Ok(Verdict::NONE));
        let said = LatencyShed::configure("good-ms = 500").unwrap_err();
        assert!(matches!(said, ConfigError::Invalid(text) if text.starts_with("`bad-ms` is 500")));
    }
}
