//! What a judge of health is told, what it answers, and what judges where there is none.
//!
//! A [`Judge`] says what an observation of a server means: a plugin of the world `agent-check`, or [`Usual`]. It answers
//! by a call back, because a plugin has a thread of its own and whoever checks must not wait for it. What it says is
//! brought within its bounds by [`Said::report`] and goes into a [`ServerHealth`](super::ServerHealth) as
//! [`Event::CheckJudged`](super::Event::CheckJudged) or one of its like. [`Asked`](super::Asked) keeps what a judge is told beside the
//! observation: how many there were in a row, and when time alone is worth a question.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::agent::{Admin, AgentReport, Health, MAX_LINE, MAX_PERCENT, MAX_REASON, Weight, parse, printable};
use crate::model::{MAX_WEIGHT, State};

/// Bytes of a body that a judge is shown.
pub const MAX_SHOWN_BODY: usize = 4096;

/// The server that was looked at: `node` of `wit/agent-check.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Stays the same for as long as a server of this name is checked.
    pub id: u32,
    /// Its name in the fleet file.
    pub name: Arc<str>,
    /// What it was before this observation.
    pub current: State,
    /// Observations of its kind in a row that were answered, or were not, as this one; at least 1.
    pub streak: u32,
    /// As in the fleet file, names unique.
    pub labels: Arc<[(String, String)]>,
}

/// What was seen: `observation` of `wit/agent-check.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The line of an agent, without its end, at most [`MAX_LINE`] bytes.
    Agent(String),
    /// An answer to an HTTP check, whatever its status.
    Http {
        /// 100 to 599.
        status: u16,
        /// Its first [`MAX_SHOWN_BODY`] bytes.
        body: Vec<u8>,
        /// To the first byte.
        latency: Duration,
    },
    /// A TCP check connected, after this time.
    Tcp(Duration),
    /// No answer, and why.
    Failed(String),
    /// Nothing was seen; a second has passed.
    Tick,
}

impl Observation {
    /// The same within the bounds of the contract.
    #[must_use]
    pub fn bounded(self) -> Self {
        match self {
            Self::Agent(line) => Self::Agent(printable(line.as_bytes(), MAX_LINE)),
            Self::Http { status, mut body, latency } => {
                body.truncate(MAX_SHOWN_BODY);
                Self::Http { status: status.clamp(100, 599), body, latency }
            }
            Self::Failed(why) => Self::Failed(printable(why.as_bytes(), MAX_LINE)),
            seen @ (Self::Tcp(_) | Self::Tick) => seen,
        }
    }

    /// Whether the server answered; `None` where nobody asked it.
    pub fn is_answer(&self) -> Option<bool> {
        match self {
            Self::Agent(_) | Self::Http { .. } | Self::Tcp(_) => Some(true),
            Self::Failed(_) => Some(false),
            Self::Tick => None,
        }
    }
}

/// What a judge said, number by number as it said it: `verdict` of `wit/agent-check.wit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Whether it finds the server fit.
    pub health: Option<Health>,
    /// What it wants done with it; undoes only its own.
    pub admin: Option<Admin>,
    /// Percent of the configured weight, or instead of it.
    pub weight: Option<SaidWeight>,
    /// 0 is no limit.
    pub max_in_flight: Option<u32>,
    /// For the operator.
    pub reason: Option<String>,
}

/// A weight before it is brought within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaidWeight {
    /// Of the configured weight.
    Percent(u32),
    /// Instead of the configured weight.
    Absolute(u32),
}

impl Said {
    /// The same within its bounds: weights capped, the reason made printable and cut. There is no wrong verdict.
    pub fn report(self) -> AgentReport {
        let weight = self.weight.map(|weight| match weight {
            SaidWeight::Percent(percent) => Weight::Percent(percent.min(MAX_PERCENT)),
            SaidWeight::Absolute(weight) => {
                Weight::Absolute(u16::try_from(weight).unwrap_or(MAX_WEIGHT).min(MAX_WEIGHT))
            }
        });
        let reason = self.reason.map(|text| printable(text.as_bytes(), MAX_REASON));
        AgentReport {
            health: self.health,
            admin: self.admin,
            weight,
            max_in_flight: self.max_in_flight,
            reason: reason.filter(|text| !text.is_empty()),
            complaint: None,
        }
    }
}

/// What an observation means, by a judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The judge has decided; its word holds at once, without rise and fall.
    Verdict(AgentReport),
    /// Counts as one passed check.
    Passed,
    /// Counts as one failed check, for this reason; of an agent's line, nothing changes. Also where the judge itself failed.
    Failed(String),
    /// There is no judge at the moment (its plugin is loading, or out): to be decided as where none is configured.
    Nobody,
}

impl fmt::Display for Judgement {
    /// In the words of agents, for an operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(report) if report.is_silent() => f.write_str("no change"),
            Self::Verdict(report) => report.fmt(f),
            Self::Passed => f.write_str("passed"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Nobody => f.write_str("nobody judged"),
        }
    }
}

/// Called once, from any thread; it must not block.
pub type Answer = Box<dyn FnOnce(Judgement) + Send>;

/// Says what observations mean.
///
/// Questions about one server are answered in the order in which they were asked. Every question is answered, within the
/// deadline of a plugin and whatever waits before it; a judge that has too many of them answers [`Judgement::Nobody`] at once.
pub trait Judge: Send + Sync + fmt::Debug {
    /// What does this mean? Never blocks.
    fn judge(&self, subject: Subject, observation: Observation, answer: Answer);
}

/// Judges as HAProxy does: a status from 200 to 399 and a connection pass, anything else does not, and an agent's line
/// means what its words say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usual;

impl Usual {
    /// The judgement.
    pub fn of(observation: &Observation) -> Judgement {
        match observation {
            Observation::Http { status: 200..=399, .. } | Observation::Tcp(_) => Judgement::Passed,
            Observation::Http { status, .. } => {
                Judgement::Failed(format!("it answered with status {status}"))
            }
            Observation::Failed(why) => Judgement::Failed(why.clone()),
            // A line that came as a whole needs no end any more.
            Observation::Agent(line) => match parse(format!("{line}\n").as_bytes()) {
                Ok(report) => Judgement::Verdict(report),
                Err(error) => Judgement::Failed(error.to_string()),
            },
            Observation::Tick => Judgement::Verdict(AgentReport::default()),
        }
    }
}

impl Judge for Usual {
    fn judge(&self, _: Subject, observation: Observation, answer: Answer) {
        answer(Self::of(&observation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_judge_says_is_within_its_bounds() {
        let said = Said {
            health: Some(Health::Down),
            admin: Some(Admin::Drain),
            weight: Some(SaidWeight::Absolute(70_000)),
            max_in_flight: Some(0),
            reason: Some(format!("\x1b[2J{}", "é".repeat(200))),
        };
        let report = said.report();
        assert_eq!((report.health, report.admin), (Some(Health::Down), Some(Admin::Drain)));
        assert_eq!((report.weight, report.max_in_flight), (Some(Weight::Absolute(256)), Some(0)));
        let reason = report.reason.unwrap();
        assert!(reason.len() <= MAX_REASON && reason.len() > MAX_REASON - 2, "{}", reason.len());
        assert!(!reason.contains('\x1b'));
        let percent = Said { weight: Some(SaidWeight::Percent(u32::MAX)), ..Said::default() };
        assert_eq!(percent.report().weight, Some(Weight::Percent(MAX_PERCENT)));
        let silent = Said { reason: Some(" ".into()), ..Said::default() };
        assert_eq!(silent.report(), AgentReport::default());
    }

    #[test]
    fn without_a_plugin_a_status_and_the_words_of_agents_mean_what_they_mean_to_haproxy() {
        let http =
            |status| Usual::of(&Observation::Http { status, body: Vec::new(), latency: Duration::ZERO });
        assert!([200, 204, 301, 399].into_iter().all(|status| http(status) == Judgement::Passed));
        for status in [101, 400, 404, 500, 503] {
            assert_eq!(http(status), Judgement::Failed(format!("it answered with status {status}")));
        }
        assert_eq!(Usual::of(&Observation::Tcp(Duration::from_millis(1))), Judgement::Passed);
        let refused = Observation::Failed("refused".into());
        assert_eq!(Usual::of(&refused), Judgement::Failed("refused".into()));
        let Judgement::Verdict(line) = Usual::of(&Observation::Agent("drain 50% #busy".into())) else {
            panic!()
        };
        assert_eq!((line.admin, line.weight), (Some(Admin::Drain), Some(Weight::Percent(50))));
        assert!(matches!(Usual::of(&Observation::Agent("sideways".into())), Judgement::Failed(_)));
        assert_eq!(Usual::of(&Observation::Tick), Judgement::Verdict(AgentReport::default()));
    }

    #[test]
    fn observations_are_cut_to_what_the_contract_promises() {
        let http = Observation::Http { status: 999, body: vec![0; 9000], latency: Duration::ZERO };
        assert!(
            matches!(http.bounded(), Observation::Http { status: 599, body, .. } if body.len() == MAX_SHOWN_BODY)
        );
        let line = Observation::Agent("x".repeat(600)).bounded();
        assert_eq!(line, Observation::Agent("x".repeat(MAX_LINE)));
        assert_eq!(Observation::Tick.bounded(), Observation::Tick);
    }
}
