//! A version is tried before it decides anything: self-test, golden cases, canary. Off the serving threads, on an instance
//! that is thrown away afterwards, with metrics that nobody sees.

mod golden;

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::model::{Load, Server, State};
use weir_core::schedule::{Choice, Failure, Outcome, Plan, Policy, Request};

use crate::check::Checked;
use crate::engine::Engines;
use crate::imports::{Host, Meters, Voice};
use crate::instance::{Description, SchedulerInstance, SetupError};
use crate::status::SelfTest;

/// Synthetic calls of `pick`.
const PICKS: u32 = 1000;
/// Recent requests that the new version is asked.
pub const CANARY_REQUESTS: usize = 256;
/// Synthetic ones beside them.
const SYNTHETIC_REQUESTS: usize = 64;
/// How long it is asked them.
const CANARY_TIME: Duration = Duration::from_millis(200);
/// A slower `pick` is warned of.
const SLOW: Duration = Duration::from_micros(1);
/// Servers where there are no live ones.
const SYNTHETIC_SERVERS: u32 = 10;

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
    /// It failed at a request that was served by the old version.
    #[error("canary: at request {at} it {failure}")]
    Canary {
        /// Which, from 1.
        at: usize,
        /// How.
        failure: Failure,
    },
}

/// What a version is tried with.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    /// Its instance's configuration.
    pub config: &'a str,
    /// Its instance's memory limit, bytes.
    pub memory: usize,
    /// Where it may write lines.
    pub voice: &'a Arc<Voice>,
    /// Golden cases, unread.
    pub golden: Option<&'a str>,
    /// The live servers; empty where none are known.
    pub servers: &'a Arc<[Server]>,
    /// Recent requests.
    pub requests: &'a [Request],
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Passed {
    /// What the plugin says of itself.
    pub description: Description,
    /// The kind of its plan.
    pub plan: &'static str,
    /// Latencies and counts.
    pub self_test: SelfTest,
    /// Linear memory after all that, bytes.
    pub memory: usize,
    /// How long each step took.
    pub steps: Vec<(&'static str, Duration)>,
}

impl Trial<'_> {
    /// Tries it.
    ///
    /// # Errors
    /// The first thing that it does wrong.
    pub fn run(&self, engines: &Engines, checked: &Checked) -> Result<Passed, TrialError> {
        let mut steps = Vec::new();
        let mut instance = step(&mut steps, "instantiate", || self.instance(engines, checked))?;
        let description = step(&mut steps, "describe", || instance.describe())?;
        step(&mut steps, "configure", || instance.configure(self.config))?;
        let synthetic;
        let servers = if self.servers.is_empty() {
            synthetic = synthetic_servers(SYNTHETIC_SERVERS);
            &synthetic
        } else {
            self.servers
        };
        let (plan, mut self_test) = step(&mut steps, "self-test", || self_test(&mut instance, servers))?;
        if let Some(golden) = self.golden {
            self_test.golden_cases = step(&mut steps, "golden cases", || {
                golden::compare(golden, |config| {
                    let mut instance = self.instance(engines, checked)?;
                    instance.configure(config)?;
                    Ok(instance)
                })
            })?;
        }
        self_test.canary_requests =
            step(&mut steps, "canary", || canary(&mut instance, servers, &plan, self.requests))?;
        Ok(Passed { description, plan: plan.as_str(), self_test, memory: instance.memory(), steps })
    }

    fn instance(&self, engines: &Engines, checked: &Checked) -> Result<SchedulerInstance, SetupError> {
        let host = Host::new(self.memory, Arc::clone(self.voice), Arc::new(Meters::default()));
        SchedulerInstance::new(engines, checked, host)
    }
}

fn step<T>(steps: &mut Vec<(&'static str, Duration)>, name: &'static str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    steps.push((name, start.elapsed()));
    done
}

fn self_test(
    instance: &mut SchedulerInstance,
    servers: &Arc<[Server]>,
) -> Result<(Plan, SelfTest), TrialError> {
    let failed = |hook| move |failure| TrialError::Call { hook, failure };
    let start = Instant::now();
    let plan = instance.update(servers).map_err(failed("update"))?;
    let mut test = SelfTest { update_ns: nanos(start.elapsed()), ..SelfTest::default() };
    if matches!(plan, Plan::PerRequest) {
        let mut times = Vec::with_capacity(PICKS as usize);
        for request in synthetic_requests().take(PICKS as usize) {
            let start = Instant::now();
            let picked = pick(instance, servers, request);
            times.push(start.elapsed());
            picked.map_err(failed("pick"))?;
        }
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        (test.picks, test.p50_ns, test.p99_ns) = (PICKS, nanos(at(50)), nanos(at(99)));
        if at(99) > SLOW {
            tracing::warn!(
                p99_ns = test.p99_ns,
                "a plugin's `pick` took more than a microsecond in the self-test"
            );
        }
    }
    if instance.wants_results() {
        for outcome in [Outcome::Success, Outcome::ServerError, Outcome::ConnectionFailed, Outcome::TimedOut]
        {
            instance.on_result(0, outcome, Duration::from_millis(3)).map_err(failed("on-result"))?;
        }
    }
    Ok((plan, test))
}

/// Asks it what the version that serves was asked just now. The answers go nowhere; an answer that cannot be used, because the
/// server is down or was tried, is not yet a reason to refuse: the host passes over it.
fn canary(
    instance: &mut SchedulerInstance,
    servers: &Arc<[Server]>,
    plan: &Plan,
    recent: &[Request],
) -> Result<u32, TrialError> {
    if !matches!(plan, Plan::PerRequest) {
        return Ok(0);
    }
    let start = Instant::now();
    let mut asked = 0;
    let synthetic: Vec<Request> =
        synthetic_requests().skip(PICKS as usize).take(SYNTHETIC_REQUESTS).collect();
    for request in recent.iter().take(CANARY_REQUESTS).chain(&synthetic) {
        if start.elapsed() > CANARY_TIME {
            break;
        }
        asked += 1;
        pick(instance, servers, *request)
            .map_err(|failure| TrialError::Canary { at: asked as usize, failure })?;
    }
    Ok(asked)
}

/// One question, the index checked.
fn pick(instance: &mut SchedulerInstance, servers: &[Server], request: Request) -> Result<(), Failure> {
    match instance.pick(request)? {
        Choice::Server(index) if usize::try_from(index).map_or(true, |i| i >= servers.len()) => {
            Err(Failure::Invalid(format!("picked server {index} of {}", servers.len())))
        }
        _ => Ok(()),
    }
}

/// Servers for a plugin that has none yet: one in five is not up, so that it meets that.
pub fn synthetic_servers(count: u32) -> Arc<[Server]> {
    (0..count)
        .map(|id| Server {
            id,
            name: format!("synthetic-{id}").into(),
            address: ([127, 0, 0, 1], 9).into(),
            state: if id % 5 == 3 { State::Down } else { State::Up },
            weight: u16::try_from(1 + id % 8).unwrap_or(1),
            max_in_flight: None,
            labels: Arc::new([("site".to_owned(), format!("site-{}", id % 3))]),
            load: Load::new(1),
        })
        .collect()
}

/// Requests with keys all over, every eighth a second attempt.
fn synthetic_requests() -> impl Iterator<Item = Request> {
    (0u64..).map(|i| {
        let key = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let second = i % 8 == 7;
        Request { key, attempt: u32::from(second), tried: u64::from(second) << (i / 8 % 4) }
    })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
