//! Trying a scheduler: servers, a plan, a thousand requests.

mod golden;

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::model::{Load, Server, State};
use weir_core::schedule::{Choice, Failure, Outcome, Plan, Policy, Request};

use super::{CANARY_REQUESTS, QUESTIONS, TrialError, nanos, rehearse, timed};
use crate::instance::{SchedulerInstance, SetupError};
use crate::status::SelfTest;

/// Synthetic requests beside the recent ones.
const SYNTHETIC_REQUESTS: usize = 64;
/// Servers where there are no live ones.
const SYNTHETIC_SERVERS: u32 = 10;
/// A slower `pick` is warned of.
const SLOW: Duration = Duration::from_micros(1);

pub(crate) fn self_test(
    instance: &mut SchedulerInstance,
    servers: &Arc<[Server]>,
) -> Result<SelfTest, TrialError> {
    let failed = |hook| move |failure| TrialError::Call { hook, failure };
    let start = Instant::now();
    let plan = instance.update(servers).map_err(failed("update"))?;
    let mut test = SelfTest { update_ns: nanos(start.elapsed()), ..SelfTest::default() };
    if matches!(plan, Plan::PerRequest) {
        timed(&mut test, synthetic_requests(), |request| pick(instance, servers, request))
            .map_err(failed("pick"))?;
        if test.p99_ns > nanos(SLOW) {
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
    Ok(test)
}

/// Asks it what the version that serves was asked just now. The answers go nowhere; an answer that cannot be used, because the
/// server is down or was tried, is not yet a reason to refuse: the host passes over it.
pub(crate) fn canary(
    instance: &mut SchedulerInstance,
    servers: &Arc<[Server]>,
    recent: &[Request],
) -> Result<u32, TrialError> {
    if !matches!(instance.plan(), Some(Plan::PerRequest)) {
        return Ok(0);
    }
    let synthetic = synthetic_requests().skip(QUESTIONS as usize).take(SYNTHETIC_REQUESTS);
    let requests = recent.iter().copied().take(CANARY_REQUESTS).chain(synthetic);
    rehearse(requests, |request| pick(instance, servers, request))
}

/// Compares all golden cases; returns how many there were.
pub(crate) fn golden(
    text: &str,
    make: &dyn Fn(&str) -> Result<SchedulerInstance, SetupError>,
) -> Result<u32, TrialError> {
    golden::compare(text, make)
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
pub(crate) fn synthetic_servers() -> Arc<[Server]> {
    (0..SYNTHETIC_SERVERS)
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
