//! Trying a judge: one observation of each kind for each state, a thousand times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use weir_core::health::{Admin, AgentReport, Health, Observation, Subject, Weight};
use weir_core::model::State;
use weir_core::schedule::Failure;

use super::{QUESTIONS, TrialError, golden_cases, rehearse, timed};
use crate::instance::{JudgeInstance, SetupError};
use crate::status::SelfTest;

pub(crate) fn self_test(instance: &mut JudgeInstance) -> Result<SelfTest, TrialError> {
    let mut test = SelfTest::default();
    timed(&mut test, synthetic(), |(subject, observation)| ask(instance, &subject, observation))
        .map_err(|failure| TrialError::Call { hook: "evaluate", failure })?;
    Ok(test)
}

/// Asks it what the version that serves was asked just now.
pub(crate) fn canary(
    instance: &mut JudgeInstance,
    recent: &[(Subject, Observation)],
) -> Result<u32, TrialError> {
    let synthetic = synthetic().skip(QUESTIONS as usize).take(16);
    rehearse(recent.iter().cloned().chain(synthetic), |(subject, observation)| {
        ask(instance, &subject, observation)
    })
}

/// One question. That the plugin makes nothing of an observation is an answer.
fn ask(instance: &mut JudgeInstance, subject: &Subject, observation: Observation) -> Result<(), Failure> {
    instance.evaluate(subject, observation).map(drop)
}

/// Every kind of observation, good and bad, of ten servers.
fn synthetic() -> impl Iterator<Item = (Subject, Observation)> {
    let http = |status, body: &str| {
        let (body, latency) = (body.as_bytes().to_vec(), Duration::from_millis(3));
        Observation::Http { status, body, latency }
    };
    let seen = [
        http(200, "OK\n"),
        Observation::Tcp(Duration::from_micros(300)),
        Observation::Agent("up 75%".into()),
        http(503, "draining\n"),
        Observation::Failed("connection refused".into()),
        Observation::Agent("drain # \u{fffd} upgrade".into()),
        Observation::Tick,
        http(599, &"x".repeat(5000)),
        Observation::Agent("\u{fffd},,  sideways 900%".into()),
        Observation::Agent(String::new()),
    ];
    let states = [State::Up, State::Down, State::Drain, State::Maint];
    (0u32..).zip(seen.into_iter().cycle()).map(move |(turn, seen)| {
        let id = turn / 10 % 10;
        let subject = Subject {
            id,
            name: format!("synthetic-{id}").into(),
            current: states.into_iter().cycle().nth((turn / 7 % 4) as usize).unwrap_or(State::Up),
            streak: 1 + turn % 5,
            labels: Arc::new([("site".to_owned(), format!("site-{}", id % 3))]),
        };
        (subject, seen)
    })
}

/// One instance, and what it is shown one after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    config: String,
    observations: Vec<GoldenObservation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenObservation {
    #[serde(default)]
    node: GoldenNode,
    see: See,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GoldenNode {
    id: u32,
    name: String,
    current: State,
    streak: u32,
    labels: BTreeMap<String, String>,
}

impl Default for GoldenNode {
    fn default() -> Self {
        Self { id: 0, name: "a".into(), current: State::Up, streak: 1, labels: BTreeMap::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum See {
    Agent(String),
    Http {
        status: u16,
        #[serde(default)]
        body: String,
        #[serde(default)]
        latency_us: u32,
    },
    Tcp(u32),
    Failed(String),
    Tick,
}

/// What is not named is expected to be left open; the reason is compared where it is named.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum Expect {
    Error,
    Verdict {
        health: Option<Health>,
        admin: Option<Admin>,
        weight: Option<String>,
        max_in_flight: Option<u32>,
        reason: Option<String>,
    },
}

/// Compares all golden cases; returns how many there were.
pub(crate) fn golden(
    text: &str,
    make: &dyn Fn(&str) -> Result<JudgeInstance, SetupError>,
) -> Result<u32, TrialError> {
    golden_cases(text, |case: Case| {
        let mut instance = make(&case.config)?;
        let mut observations = (1..).zip(case.observations);
        Ok(observations.try_for_each(|(at, golden)| {
            golden.compare(&mut instance).map_err(|difference| format!("observation {at}: {difference}"))
        }))
    })
}

impl GoldenObservation {
    fn compare(self, instance: &mut JudgeInstance) -> Result<(), String> {
        let observation = match self.see {
            See::Agent(line) => Observation::Agent(line),
            See::Http { status, body, latency_us } => {
                let latency = Duration::from_micros(u64::from(latency_us));
                Observation::Http { status, body: body.into_bytes(), latency }
            }
            See::Tcp(micros) => Observation::Tcp(Duration::from_micros(u64::from(micros))),
            See::Failed(why) => Observation::Failed(why),
            See::Tick => Observation::Tick,
        };
        let GoldenNode { id, name, current, streak, labels } = self.node;
        let subject =
            Subject { id, name: name.into(), current, streak, labels: labels.into_iter().collect() };
        let came = instance.evaluate(&subject, observation).map_err(|failure| format!("it {failure}"))?;
        let expected = match self.expect {
            Expect::Error => None,
            Expect::Verdict { health, admin, weight, max_in_flight, reason } => {
                let weight = weight.map(|text| {
                    Weight::parse(&text).ok_or_else(|| format!("`{text}` is no weight: `50%` or `10`"))
                });
                let weight = weight.transpose()?;
                let mut report =
                    AgentReport { health, admin, weight, max_in_flight, ..AgentReport::default() };
                report.reason = reason.or_else(|| came.as_ref().ok().and_then(|came| came.reason.clone()));
                Some(report)
            }
        };
        if came.as_ref().ok() == expected.as_ref() {
            return Ok(());
        }
        Err(match expected {
            None => format!("it answered {came:?}, expected an error"),
            Some(expected) => format!("it answered {came:?}, expected {expected:?}"),
        })
    }
}
