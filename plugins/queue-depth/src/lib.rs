//! Queue depth: a server says how much waits in it, and the more that is, the less it weighs. The worked example of a judge.
//!
//! **When to use it.** Servers that know better than anybody how much they have to do, and say so on the page of their check
//! (`queue 12` on a line of its own) or by their agent.
//!
//! Weights come in few steps, so that a pool does not change with every check. A full server is down; a page that cannot be
//! had or has no such line is a failed check, as a bad status is.
//!
//! **What it costs.** Less than a microsecond for a check.
//!
//! **Configuration.**
//!
//! ```text
//! # A queue of this length is full.
//! full = 100
//! # Weights are multiples of this, percent.
//! step = 25
//! ```

use weir_plugin::agent_check::{AgentCheck, Node, Observation, Verdict};
use weir_plugin::metrics::Counter;
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The judge.
#[derive(Debug)]
pub struct QueueDepth {
    full: u32,
    step: u32,
    found_full: Counter,
}

weir_plugin::export_agent_check!(QueueDepth);

impl Plugin for QueueDepth {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let full = config.number("full", 1..=1_000_000, 100)?;
        let step = config.number("step", 1..=100, 25)?;
        config.finish()?;
        Ok(Self { full, step, found_full: Counter::new("found_full") })
    }
}

impl AgentCheck for QueueDepth {
    fn evaluate(&mut self, _node: &Node, observation: &Observation) -> Result<Verdict, String> {
        let text = match observation {
            Observation::Http(page) if page.status < 400 => page.text(),
            Observation::Http(page) => return Err(format!("status {}", page.status)),
            Observation::Agent(line) => line.into(),
            Observation::Failed(why) => return Err(why.clone()),
            Observation::Tcp(_) => return Err("a connection says nothing of a queue".to_owned()),
            Observation::Tick => return Ok(Verdict::NONE),
        };
        let Some(queue) = queue(&text) else { return Err("it says no `queue NUMBER`".to_owned()) };
        if queue >= self.full {
            self.found_full.add(1);
            return Ok(Verdict::down(format!("a queue of {queue}")));
        }
        Ok(Verdict::UP.at_percent(self.percent(queue)))
    }
}

impl QueueDepth {
    /// What is free of the queue, rounded up to a step.
    fn percent(&self, queue: u32) -> u32 {
        let free = (u64::from(self.full - queue) * 100).div_ceil(u64::from(self.full)) as u32;
        (free.div_ceil(self.step) * self.step).min(100)
    }
}

/// The number in the first line `queue NUMBER`.
fn queue(text: &str) -> Option<u32> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.into_iter().find_map(|words| match words[..] {
        ["queue", number] => number.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::{self, Checked};

    #[test]
    fn a_server_weighs_what_is_free_of_its_queue() {
        let mut server = Checked::<QueueDepth>::new("").unwrap();
        for (queue, percent) in [(0, 100), (1, 100), (25, 75), (26, 75), (51, 50), (99, 25)] {
            let page = format!("ok\nqueue {queue}\n");
            assert_eq!(server.http(200, &page), Ok(Verdict::UP.at_percent(percent)), "{queue}");
        }
        assert_eq!(server.agent("queue 60"), Ok(Verdict::UP.at_percent(50)));
    }

    #[test]
    fn a_full_one_is_down_until_it_is_not() {
        let mut server = Checked::<QueueDepth>::new("full = 10").unwrap();
        assert_eq!(server.http(200, "queue 10"), Ok(Verdict::down("a queue of 10")));
        assert_eq!(server.node.current, State::Down);
        assert_eq!(harness::counter("found_full"), Some(1));
        server.http(200, "queue 9").unwrap();
        assert_eq!(server.node.current, State::Up);
    }

    #[test]
    fn what_says_nothing_of_a_queue_is_a_failed_check() {
        let mut server = Checked::<QueueDepth>::new("").unwrap();
        assert_eq!(server.http(503, "queue 1"), Err("status 503".into()));
        assert_eq!(server.failed("refused"), Err("refused".into()));
        for page in ["", "queue", "queue -1", "the queue is long", "queue 1 2"] {
            assert_eq!(server.http(200, page), Err("it says no `queue NUMBER`".into()), "{page}");
        }
        assert!(server.tcp(1).is_err());
        assert_eq!(server.tick(), Ok(Verdict::NONE));
    }

    #[test]
    fn a_wrong_configuration_names_its_line() {
        assert!(QueueDepth::configure("step = 7").is_ok());
        for wrong in ["full = 0", "step = 101", "depth = 3"] {
            assert!(QueueDepth::configure(wrong).is_err(), "{wrong}");
        }
    }
}
