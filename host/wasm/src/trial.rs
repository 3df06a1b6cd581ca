//! A version is tried before it decides anything: self-test, golden cases, canary. Off the serving threads, on an instance
//! that is thrown away afterwards, with metrics that nobody sees.
//!
//! What is asked depends on the world: `scheduler`, `agent_check`, `dns_answers`.

pub(crate) mod agent_check;
pub(crate) mod dns_answers;
pub(crate) mod scheduler;

pub(crate) use scheduler::synthetic_servers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_core::schedule::Failure;

use crate::check::Checked;
use crate::engine::Engines;
use crate::imports::{Host, Meters, Voice};
use crate::instance::{Description, SetupError};
use crate::status::SelfTest;
use crate::world::World;

/// Synthetic questions.
const QUESTIONS: u32 = 1000;
/// Recent questions that the new version is asked.
pub const CANARY_REQUESTS: usize = 256;
/// How long it is asked them.
const CANARY_TIME: Duration = Duration::from_millis(200);

/// A file of golden cases, whatever a case is in its world.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden<C> {
    cases: Vec<C>,
}

/// Compares all golden cases of a file; returns how many there were. `compare` says what differs, or that no instance could be made.
fn golden_cases<C: DeserializeOwned>(
    text: &str,
    mut compare: impl FnMut(C) -> Result<Result<(), String>, SetupError>,
) -> Result<u32, TrialError> {
    let golden: Golden<C> = serde_json::from_str(text).map_err(|e| TrialError::GoldenFile(e.to_string()))?;
    let mut compared = 0;
    for case in golden.cases {
        compare(case)?
            .map_err(|difference| TrialError::Golden { case: compared as usize + 1, difference })?;
        compared += 1;
    }
    Ok(compared)
}

/// Why a version is not put to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// It has not come so far as to be asked.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It failed in a call.
    #[error("self-test: `{hook}` {failure}")]
    Call {
        /// Which.
        hook: &'static str,
        /// How.
        failure: Failure,
    },
    /// `<name>.golden.json` cannot be read. Its author is at fault.
    #[error("the golden cases cannot be read: {0}")]
    GoldenFile(String),
    /// It answers otherwise than its author said.
    #[error("golden case {case}: {difference}")]
    Golden {
        /// Which, from 1.
        case: usize,
        /// What was expected and what came.
        difference: String,
    },
    /// It failed at a question that the old version was asked.
    #[error("canary: at request {at} it {failure}")]
    Canary {
        /// Which, from 1.
        at: usize,
        /// How.
        failure: Failure,
    },
}

/// What a version is tried with.
#[derive(Debug)]
pub struct Trial<'a, W: World> {
    /// Its instance's configuration.
    pub config: &'a str,
    /// Its instance's memory limit, bytes.
    pub memory: usize,
    /// Where it may write lines.
    pub voice: &'a Arc<Voice>,
    /// Golden cases, unread.
    pub golden: Option<&'a str>,
    /// What is known and what was asked just now; what is missing in it is made up.
    pub scene: &'a W::Scene,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Passed {
    /// What the plugin says of itself.
    pub description: Description,
    /// The kind of a scheduler's plan.
    pub plan: Option<&'static str>,
    /// Latencies and counts.
    pub self_test: SelfTest,
    /// Linear memory after all that, bytes.
    pub memory: usize,
    /// How long each step took.
    pub steps: Vec<(&'static str, Duration)>,
}

impl<W: World> Trial<'_, W> {
    /// Tries it.
    ///
    /// # Errors
    /// The first thing that it does wrong.
    pub fn run(&self, engines: &Engines, checked: &Checked) -> Result<Passed, TrialError> {
        let mut steps = Vec::new();
        let mut instance = step(&mut steps, "instantiate", || self.instance(engines, checked))?;
        let description = step(&mut steps, "describe", || instance.describe())?;
        step(&mut steps, "configure", || instance.configure(self.config))?;
        let scene = W::staged(self.scene);
        let mut self_test = step(&mut steps, "self-test", || W::self_test(&mut instance, &scene))?;
        if let Some(golden) = self.golden {
            self_test.golden_cases = step(&mut steps, "golden cases", || {
                W::golden(golden, &|config| {
                    let mut instance = self.instance(engines, checked)?;
                    instance.configure(config)?;
                    Ok(instance)
                })
            })?;
        }
        self_test.canary_requests = step(&mut steps, "canary", || W::canary(&mut instance, &scene))?;
        let (plan, memory) = (W::plan(&instance), instance.memory());
        Ok(Passed { description, plan, self_test, memory, steps })
    }

    fn instance(&self, engines: &Engines, checked: &Checked) -> Result<W::Instance, SetupError> {
        let host = Host::new(self.memory, Arc::clone(self.voice), Arc::new(Meters::default()));
        W::instance(engines, checked, host)
    }
}

fn step<T>(steps: &mut Vec<(&'static str, Duration)>, name: &'static str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    steps.push((name, start.elapsed()));
    done
}

/// Times some questions into the numbers of a self-test. Stops at the first that is answered with a failure.
fn timed<Q>(
    test: &mut SelfTest,
    questions: impl Iterator<Item = Q>,
    mut ask: impl FnMut(Q) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut times = Vec::with_capacity(QUESTIONS as usize);
    for question in questions.take(QUESTIONS as usize) {
        let start = Instant::now();
        let answered = ask(question);
        times.push(start.elapsed());
        answered?;
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    test.questions = u32::try_from(times.len()).unwrap_or(u32::MAX);
    (test.p50_ns, test.p99_ns) = (nanos(at(50)), nanos(at(99)));
    Ok(())
}

/// Asks some questions whose answers go nowhere, for a limited time. Returns how many there were.
fn rehearse<Q>(
    questions: impl Iterator<Item = Q>,
    mut ask: impl FnMut(Q) -> Result<(), Failure>,
) -> Result<u32, TrialError> {
    let start = Instant::now();
    let mut asked = 0;
    for question in questions {
        if start.elapsed() > CANARY_TIME {
            break;
        }
        asked += 1;
        ask(question).map_err(|failure| TrialError::Canary { at: asked as usize, failure })?;
    }
    Ok(asked)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
