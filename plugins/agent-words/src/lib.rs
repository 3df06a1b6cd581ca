//! Agent words: what HAProxy's agents say (`up`, `down`, `drain`, `maint`, `ready`, `50%`, `maxconn:30`), also in the body of
//! an HTTP check.
//!
//! **When to use it.** The server says itself what it can take, and HTTP is what it speaks: its check page answers
//! `up 75%` or `drain # upgrade` and no agent is needed. Or as the start of an agent's grammar of your own.
//!
//! A word holds until another of its kind takes it back, as in HAProxy. A body without any known word is judged by its status
//! alone, and so is an answer of 400 and above.
//!
//! **What it costs.** About a microsecond for a check.
//!
//! **Configuration.**
//!
//! ```text
//! # What a line of only unknown words is: `error` (it counts as a failed check) or `ignore`.
//! unknown = error
//! ```

use weir_plugin::agent_check::{Admin, AgentCheck, Health, Node, Observation, Verdict, Weight};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The check.
#[derive(Debug)]
pub struct AgentWords {
    ignore_unknown: bool,
}

weir_plugin::export_agent_check!(AgentWords);

impl Plugin for AgentWords {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let ignore_unknown = config.word("unknown", &[("error", false), ("ignore", true)], false)?;
        config.finish()?;
        Ok(Self { ignore_unknown })
    }
}

impl AgentCheck for AgentWords {
    fn evaluate(&mut self, _node: &Node, observation: &Observation) -> Result<Verdict, String> {
        match observation {
            Observation::Agent(line) => {
                let said = read(line);
                let nothing = said.verdict == Verdict::NONE;
                match said.unknown {
                    Some(word) if nothing && !self.ignore_unknown => {
                        Err(format!("the agent said {word:?}, which is no word that agents say"))
                    }
                    _ => Ok(said.verdict),
                }
            }
            Observation::Http(response) if response.status >= 400 => {
                Err(format!("it answered with status {}", response.status))
            }
            Observation::Http(response) => {
                let text = response.text();
                let verdict = read(text.lines().next().unwrap_or_default()).verdict;
                // It did answer: only its own word makes that worse.
                Ok(Verdict { health: Some(verdict.health.unwrap_or(Health::Up)), ..verdict })
            }
            Observation::Tcp(_) => Ok(Verdict::UP),
            Observation::Failed(why) => Err(why.clone()),
            Observation::Tick => Ok(Verdict::NONE),
        }
    }
}

/// What a line says.
struct Said {
    verdict: Verdict,
    /// The first word that means nothing.
    unknown: Option<String>,
}

fn read(line: &str) -> Said {
    let (words, reason) = match line.split_once('#') {
        Some((words, reason)) => (words, Some(reason.trim())),
        None => (line, None),
    };
    let mut said = Said { verdict: Verdict::NONE, unknown: None };
    for word in words.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        if take(&mut said.verdict, &word.to_ascii_lowercase()).is_none() {
            said.unknown.get_or_insert_with(|| word.to_owned());
        }
    }
    if said.verdict != Verdict::NONE {
        said.verdict.reason = reason.filter(|text| !text.is_empty()).map(str::to_owned);
    }
    said
}

/// Takes one word in; `None` where it means nothing.
fn take(verdict: &mut Verdict, word: &str) -> Option<()> {
    match word {
        "up" => verdict.health = Some(Health::Up),
        "down" | "fail" | "stopped" => verdict.health = Some(Health::Down),
        "ready" => verdict.admin = Some(Admin::Ready),
        "drain" => verdict.admin = Some(Admin::Drain),
        "maint" => verdict.admin = Some(Admin::Maint),
        other => {
            if let Some(limit) = other.strip_prefix("maxconn:") {
                verdict.max_in_flight = Some(limit.parse().ok()?);
            } else {
                let weight = other.strip_prefix("weight:").unwrap_or(other);
                verdict.weight = Some(match weight.strip_suffix('%') {
                    Some(percent) => Weight::Percent(percent.parse().ok()?),
                    // A bare number is no weight: only `weight:10` is.
                    None if weight == other => return None,
                    None => Weight::Absolute(weight.parse().ok().filter(|weight| *weight <= 256)?),
                });
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::Checked;

    fn server(config: &str) -> Checked<AgentWords> {
        Checked::new(config).unwrap()
    }

    #[test]
    fn the_words_of_agents_mean_what_they_mean_to_haproxy() {
        let mut server = server("");
        assert_eq!(server.agent("up 75%"), Ok(Verdict::UP.at_percent(75)));
        let drained = server.agent("DRAIN, weight:10\tmaxconn:30 # upgrade").unwrap();
        assert_eq!(
            (drained.admin, drained.weight, drained.max_in_flight, drained.reason.as_deref()),
            (Some(Admin::Drain), Some(Weight::Absolute(10)), Some(30), Some("upgrade"))
        );
        assert_eq!(server.node.current, State::Drain);
        assert_eq!(server.agent("").unwrap(), Verdict::NONE);
        server.agent("ready").unwrap();
        assert_eq!(server.node.current, State::Up);
        server.agent("stopped").unwrap();
        assert_eq!(server.node.current, State::Down);
    }

    #[test]
    fn a_line_of_unknown_words_only_is_an_error_unless_that_is_to_be_ignored() {
        let said = server("").agent("sideways 10 50%x").unwrap_err();
        assert_eq!(said, "the agent said \"sideways\", which is no word that agents say");
        assert_eq!(server("").agent("sideways 50%"), Ok(Verdict::NONE.at_percent(50)));
        assert_eq!(server("unknown = ignore").agent("sideways"), Ok(Verdict::NONE));
        assert!(server("").agent("weight:257").is_err());
    }

    #[test]
    fn a_body_can_say_the_same_and_without_words_the_status_counts() {
        let mut server = server("");
        assert_eq!(server.http(200, "OK\n"), Ok(Verdict::UP));
        assert_eq!(server.http(200, "50%\nup 10%"), Ok(Verdict::UP.at_percent(50)), "the first line");
        let down = server.http(200, "down # disk full").unwrap();
        assert_eq!(down, Verdict::down("disk full"));
        assert!(server.http(500, "up").is_err());
        assert_eq!(server.failed("refused"), Err("refused".into()));
        assert_eq!((server.tcp(1), server.tick()), (Ok(Verdict::UP), Ok(Verdict::NONE)));
    }
}
