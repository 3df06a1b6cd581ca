//! `<name>.golden.json` beside `<name>.wasm`: what the author of a scheduler promises that it answers.
//!
//! ```json
//! { "cases": [ {
//!     "config": "",
//!     "servers": [ { "name": "a", "weight": 2 }, { "name": "b", "state": "down" } ],
//!     "plan": "cycle",
//!     "requests": [ { "key": 1, "expect": { "server": "a" } }, { "key": 2, "expect": "fallback" } ]
//! } ] }
//! ```
//!
//! Each case has an instance of its own. Where the plan is a table or a cycle the host carries it out, as for requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use weir_core::model::{Load, MAX_WEIGHT, Server, State};
use weir_core::schedule::{By, Chooser, Policy, Request, View};

use crate::instance::{SchedulerInstance, SetupError};
use crate::trial::{TrialError, golden_cases};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    config: String,
    servers: Vec<GoldenServer>,
    plan: Option<String>,
    #[serde(default)]
    requests: Vec<GoldenRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GoldenServer {
    name: String,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default = "up")]
    state: State,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    in_flight: u16,
    #[serde(default)]
    latency_us: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenRequest {
    key: u64,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    tried: u64,
    expect: Expect,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expect {
    Server(String),
    Fallback,
    Refuse,
}

fn one() -> u16 {
    1
}

fn up() -> State {
    State::Up
}

/// Compares all cases; returns how many there were. `make` gives an instance that is configured with this text.
pub(super) fn compare(
    text: &str,
    make: &dyn Fn(&str) -> Result<SchedulerInstance, SetupError>,
) -> Result<u32, TrialError> {
    golden_cases(text, |case: Case| {
        let mut instance = make(&case.config)?;
        Ok(case.compare(&mut instance))
    })
}

impl Case {
    fn compare(&self, instance: &mut SchedulerInstance) -> Result<(), String> {
        let servers: Arc<[Server]> = (0..).zip(&self.servers).map(|(id, server)| server.real(id)).collect();
        let plan = instance.update(&servers).map_err(|failure| format!("`update` {failure}"))?;
        if let Some(expected) = self.plan.as_ref().filter(|expected| *expected != plan.as_str()) {
            return Err(format!("the plan is `{}`, expected `{expected}`", plan.as_str()));
        }
        let view = View::new(0, 0, Arc::clone(&servers), plan);
        let mut chooser = Chooser::default();
        for (number, golden) in (1..).zip(&self.requests) {
            let request = Request { key: golden.key, attempt: golden.attempt, tried: golden.tried };
            let tried = |i: u32| i < 64 && request.tried >> i & 1 == 1;
            let chosen = chooser.choose(&view, request, true, Some(instance), tried);
            if let Some(failure) = chosen.failure {
                return Err(format!("request {number}: it {failure}"));
            }
            let came = match (chosen.by, chosen.server) {
                (By::Table | By::Cycle | By::Pick, Some(index)) => {
                    let server = usize::try_from(index).ok().and_then(|i| servers.get(i));
                    Expect::Server(server.map(|s| s.name.to_string()).unwrap_or_default())
                }
                (By::Refused, _) => Expect::Refuse,
                _ => Expect::Fallback,
            };
            if came != golden.expect {
                return Err(format!("request {number}: it answered {came:?}, expected {:?}", golden.expect));
            }
        }
        Ok(())
    }
}

impl GoldenServer {
    fn real(&self, id: u32) -> Server {
        let load = Load::new(1);
        (0..self.in_flight).for_each(|_| load.begin(0));
        if self.latency_us > 0 {
            load.observe_latency(0, self.latency_us);
        }
        Server {
            id,
            name: self.name.as_str().into(),
            address: ([127, 0, 0, 1], 9).into(),
            state: self.state,
            weight: self.weight.min(MAX_WEIGHT),
            max_in_flight: None,
            labels: self.labels.clone().into_iter().collect(),
            load,
        }
    }
}
