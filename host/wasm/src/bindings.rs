//! The contract of `wit/` as Rust types, generated, with the conversions to what `weir-core` speaks.
//!
//! One module for each world; what the worlds share is generated once, with the scheduler's. `feedback` is optional, so it
//! is looked up by name and its one enum is written out here.

mod agent_check;
mod dns_answers;

use weir_core::model::State;
use weir_core::schedule;

#[allow(missing_docs, unreachable_pub, reason = "generated; the documentation is in wit/")]
#[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing, reason = "generated")]
mod generated {
    pub mod scheduler {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "weir:policy/scheduler",
        });
    }

    pub mod agent_check {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "weir:policy/agent-check",
            with: {
                "weir:policy/types": super::scheduler::weir::policy::types,
                "weir:policy/log": super::scheduler::weir::policy::log,
                "weir:policy/metrics": super::scheduler::weir::policy::metrics,
                "weir:policy/env": super::scheduler::weir::policy::env,
            },
        });
    }

    pub mod dns_answers {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "weir:policy/dns-answers",
            with: {
                "weir:policy/types": super::scheduler::weir::policy::types,
                "weir:policy/log": super::scheduler::weir::policy::log,
                "weir:policy/metrics": super::scheduler::weir::policy::metrics,
                "weir:policy/env": super::scheduler::weir::policy::env,
            },
        });
    }
}

pub use generated::agent_check::exports::weir::policy::checking;
pub use generated::agent_check::{AgentCheck, AgentCheckPre};
pub use generated::dns_answers::exports::weir::policy::answering;
pub use generated::dns_answers::{DnsAnswers, DnsAnswersPre};
pub use generated::scheduler::exports::weir::policy::scheduling;
pub use generated::scheduler::weir::policy::{env, load, log, metrics, types};
pub use generated::scheduler::{Scheduler, SchedulerPre};

/// The package, without its version.
pub const PACKAGE: &str = "weir:policy";
/// The version of the contract that this host speaks: major and minor.
pub const VERSION: (u64, u64) = (0, 1);
/// The export that a learning scheduler has, looked up by semantic version.
pub const FEEDBACK: &str = "weir:policy/feedback@0.1.0";

/// `outcome` of `feedback`.
#[derive(Debug, Clone, Copy, wasmtime::component::ComponentType, wasmtime::component::Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Outcome {
    /// A status below 500.
    #[component(name = "success")]
    Success,
    /// A status of 500 or more.
    #[component(name = "server-error")]
    ServerError,
    /// No connection, or it broke.
    #[component(name = "connection-failed")]
    ConnectionFailed,
    /// A time limit ended it.
    #[component(name = "timed-out")]
    TimedOut,
}

impl From<schedule::Outcome> for Outcome {
    fn from(outcome: schedule::Outcome) -> Self {
        match outcome {
            schedule::Outcome::Success => Self::Success,
            schedule::Outcome::ServerError => Self::ServerError,
            schedule::Outcome::ConnectionFailed => Self::ConnectionFailed,
            schedule::Outcome::TimedOut => Self::TimedOut,
        }
    }
}

impl From<State> for types::State {
    fn from(state: State) -> Self {
        match state {
            State::Up => Self::Up,
            State::Down => Self::Down,
            State::Drain => Self::Drain,
            State::Maint => Self::Maint,
        }
    }
}

impl From<&weir_core::model::Server> for scheduling::Server {
    fn from(server: &weir_core::model::Server) -> Self {
        Self {
            id: server.id,
            name: server.name.to_string(),
            state: server.state.into(),
            weight: u32::from(server.weight),
            labels: server.labels.to_vec(),
        }
    }
}

impl From<schedule::Request> for scheduling::Request {
    fn from(request: schedule::Request) -> Self {
        Self { key: request.key, attempt: request.attempt, tried: request.tried }
    }
}

impl From<scheduling::Choice> for schedule::Choice {
    fn from(choice: scheduling::Choice) -> Self {
        match choice {
            scheduling::Choice::Server(index) => Self::Server(index),
            scheduling::Choice::Fallback => Self::Fallback,
            scheduling::Choice::Refuse => Self::Refuse,
        }
    }
}
