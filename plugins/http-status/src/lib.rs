//! HTTP status: a server is fit while its checks are answered with a good status. The template of a check.
//!
//! **When to use it.** As the start of a check of your own: it does what the host does by itself (status, rise and fall), and
//! everything that it knows of a server is in one small record. Beyond the host it can want a word in the body.
//!
//! **What it costs.** Less than a microsecond for a check.
//!
//! **Configuration.**
//!
//! ```text
//! # What is good: numbers and ranges.
//! ok = 200-399
//! # The body has to have this text in its first 4 KiB. Without it, any body will do.
//! body = healthy
//! # Good checks in a row that a server needs which is down, and failed ones for one which is up.
//! rise = 2
//! fall = 3
//! ```

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use weir_plugin::agent_check::{AgentCheck, Node, Observation, Verdict};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// Servers that are remembered. A server that is forgotten has to show `rise` or `fall` checks again, and nothing else.
const MOST_SERVERS: usize = 4096;

/// The check.
#[derive(Debug)]
pub struct HttpStatus {
    ok: Vec<RangeInclusive<u16>>,
    body: Option<String>,
    rise: u32,
    fall: u32,
    /// By `node.id`.
    runs: BTreeMap<u32, Run>,
}

/// Checks of one server that ended alike.
#[derive(Debug, Clone, Copy)]
struct Run {
    good: bool,
    length: u32,
    /// Whether there was a verdict on the server yet: the first check decides alone.
    settled: bool,
}

weir_plugin::export_agent_check!(HttpStatus);

impl Plugin for HttpStatus {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let ok = config.text("ok").unwrap_or("200-399");
        let ok = ranges(ok).ok_or_else(|| {
            ConfigError::Invalid(format!("`ok` is `{ok}`, must be numbers and ranges such as `200-299, 304`"))
        })?;
        let body = config.text("body").map(str::to_owned);
        let (rise, fall) = (config.number("rise", 1..=100, 2)?, config.number("fall", 1..=100, 3)?);
        config.finish()?;
        Ok(Self { ok, body, rise, fall, runs: BTreeMap::new() })
    }
}

impl AgentCheck for HttpStatus {
    fn evaluate(&mut self, node: &Node, observation: &Observation) -> Result<Verdict, String> {
        let failure = match observation {
            Observation::Http(response) if !self.ok.iter().any(|range| range.contains(&response.status)) => {
                Some(format!("status {}", response.status))
            }
            Observation::Http(response) => match &self.body {
                Some(wanted) if !response.text().contains(wanted.as_str()) => {
                    Some(format!("status {}, but the body lacks {wanted:?}", response.status))
                }
                _ => None,
            },
            // A connection is all that a TCP check can show.
            Observation::Tcp(_) => None,
            Observation::Failed(why) => Some(why.clone()),
            Observation::Agent(line) => return Err(format!("this plugin reads no agent lines: {line:?}")),
            Observation::Tick => return Ok(Verdict::NONE),
        };
        let (good, run) = (failure.is_none(), self.run(node.id));
        run.length = if run.good == good { run.length.saturating_add(1) } else { 1 };
        run.good = good;
        let (length, first) = (run.length, !std::mem::replace(&mut run.settled, true));
        Ok(match failure {
            None if first || length >= self.rise => Verdict::UP,
            Some(why) if first || length >= self.fall => Verdict::down(why),
            // Not often enough yet to believe it.
            _ => Verdict::NONE,
        })
    }
}

impl HttpStatus {
    fn run(&mut self, id: u32) -> &mut Run {
        if self.runs.len() >= MOST_SERVERS && !self.runs.contains_key(&id) {
            self.runs.pop_first();
        }
        self.runs.entry(id).or_insert(Run { good: true, length: 0, settled: false })
    }
}

/// Reads `200-299, 304`.
fn ranges(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let range = |text: &str| match text.split_once('-') {
        None => status(text).map(|one| one..=one),
        Some((first, last)) => Some(status(first)?..=status(last)?).filter(|range| !range.is_empty()),
    };
    text.split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::Checked;

    #[test]
    fn a_server_goes_and_comes_back_by_fall_and_rise() {
        let mut server = Checked::<HttpStatus>::new("").unwrap();
        assert_eq!(server.http(200, ""), Ok(Verdict::UP));
        assert_eq!(server.http(503, ""), Ok(Verdict::NONE));
        assert_eq!(server.failed("refused"), Ok(Verdict::NONE));
        assert_eq!(server.node.current, State::Up);
        assert_eq!(server.http(503, ""), Ok(Verdict::down("status 503")));
        assert_eq!(server.http(200, ""), Ok(Verdict::NONE));
        assert_eq!(server.node.current, State::Down);
        assert_eq!(server.http(302, ""), Ok(Verdict::UP));
        assert_eq!(server.node.current, State::Up);
    }

    #[test]
    fn the_first_check_of_each_server_decides_alone() {
        let mut server = Checked::<HttpStatus>::new("rise = 5\nfall = 5").unwrap();
        assert_eq!(server.failed("refused"), Ok(Verdict::down("refused")));
        server.node.id = 1;
        assert_eq!(server.tcp(100), Ok(Verdict::UP));
        server.node.id = 0;
        assert_eq!(server.tcp(100), Ok(Verdict::NONE), "another server's check is none of its own");
    }

    #[test]
    fn status_and_body_are_what_the_operator_says() {
        let mut server = Checked::<HttpStatus>::new("ok = 204, 300-301\nrise = 1\nfall = 1").unwrap();
        assert!([204, 300, 301].into_iter().all(|status| server.http(status, "") == Ok(Verdict::UP)));
        assert_eq!(server.http(200, ""), Ok(Verdict::down("status 200")));
        let mut server = Checked::<HttpStatus>::new("body = ready\nfall = 1").unwrap();
        assert_eq!(server.http(200, "all ready\n"), Ok(Verdict::UP));
        let said = "status 200, but the body lacks \"ready\"";
        assert_eq!(server.http(200, "starting\n"), Ok(Verdict::down(said)));
        for wrong in ["ok = ", "ok = 200-", "ok = 300-200", "ok = 600", "ok = 20x"] {
            assert!(matches!(HttpStatus::configure(wrong), Err(ConfigError::Invalid(_))), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_check_is_none() {
        let mut server = Checked::<HttpStatus>::new("").unwrap();
        assert_eq!(server.tick(), Ok(Verdict::NONE));
        assert!(server.agent("up").is_err());
    }
}
