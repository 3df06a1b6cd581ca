//! Which server a request goes to.
//!
//! A policy is a *plan* where it can be and a *call* where it must be. A [`Policy`] is told of the servers and
//! returns a [`Plan`]; a worker holds a [`View`] (servers and plan, immutable, swapped whole) and a [`Chooser`]
//! (its own position in it), and [`Chooser::choose`] is all that happens for a request. What a policy
//! answers is checked here, and whatever is wrong with it ends in the native weighted round robin of
//! [`apportion`]: a failure of a policy is an ordinary event with a written default.

mod apportion;
mod choose;
mod plan;

pub use apportion::cycle_by_weight;
pub use choose::{By, Chooser, Chosen};
pub use plan::{MAX_PLAN, Plan, PlanError};

use std::sync::Arc;
use std::time::Duration;

use crate::model::Server;

/// Servers and what to do with them: all that a worker needs to choose. Immutable; a change makes another.
#[derive(Debug, Clone)]
pub struct View {
    /// Grows with every view of a pool.
    pub epoch: u64,
    /// Every server of the pool, whatever its state; indices of plans and choices are into this.
    pub servers: Arc<[Server]>,
    /// Changes only when `servers` does: an instance that was updated with this number knows these servers.
    pub servers_epoch: u64,
    /// What the policy wants done.
    pub plan: Plan,
    /// The native weighted round robin over the usable servers; empty where none is usable.
    pub native: Arc<[u32]>,
}

impl View {
    /// A view of these servers. `native` is computed here.
    pub fn new(epoch: u64, servers_epoch: u64, servers: Arc<[Server]>, plan: Plan) -> Self {
        let native = cycle_by_weight(&servers).into();
        Self { epoch, servers, servers_epoch, plan, native }
    }

    /// Servers that may be given new work.
    pub fn usable(&self) -> usize {
        self.servers.iter().filter(|s| s.is_usable()).count()
    }
}

/// What a policy is told of a request: `request` of `wit/scheduler.wit`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// Hash of the affinity key, or random bits.
    pub key: u64,
    /// 0 for the first try.
    pub attempt: u32,
    /// Bit i is set when server i of the view failed this request already; from 64 on there is no bit.
    pub tried: u64,
}

/// What a policy answers: `choice` of `wit/scheduler.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The server at this index.
    Server(u32),
    /// The native weighted round robin shall choose.
    Fallback,
    /// Answer with 503.
    Refuse,
}

/// How an attempt ended: `outcome` of `wit/scheduler.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A status below 500.
    Success,
    /// A status of 500 or more.
    ServerError,
    /// No connection, or it broke before an answer.
    ConnectionFailed,
    /// A time limit ended it.
    TimedOut,
}

/// Why a policy gave no answer that can be used. The plugin is at fault, always.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It ran into `unreachable`, an out-of-bounds access, a full stack ...
    #[error("trapped: {0}")]
    Trap(String),
    /// It ran past its deadline and was stopped.
    #[error("ran past its deadline of {0:?}")]
    Deadline(Duration),
    /// It wanted more memory than it may have.
    #[error("memory limit reached: {0}")]
    Memory(String),
    /// It answered, and the answer is not one.
    #[error("answered nonsense: {0}")]
    Invalid(String),
}

impl Failure {
    /// The label of metrics: `trap`, `deadline`, `memory`, `invalid`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline(_) => "deadline",
            Self::Memory(_) => "memory",
            Self::Invalid(_) => "invalid",
        }
    }

    /// Whether the instance is of no more use: all but a wrong answer.
    pub const fn poisons(&self) -> bool {
        !matches!(self, Self::Invalid(_))
    }
}

/// A scheduler that can be asked: one instance, for one worker.
///
/// After a [`Failure`] that [poisons](Failure::poisons) it must not be called again.
pub trait Policy: Send {
    /// The servers are these now; what is to be done with them? Indices of everything after are into this list.
    fn update(&mut self, servers: &Arc<[Server]>) -> Result<Plan, Failure>;

    /// The server for this request, where the plan was [`Plan::PerRequest`].
    fn pick(&mut self, request: Request) -> Result<Choice, Failure>;

    /// Whether [`Policy::on_result`] is to be called.
    fn wants_results(&self) -> bool {
        false
    }

    /// An attempt at the server of this index has ended.
    fn on_result(&mut self, server: u32, outcome: Outcome, latency: Duration) -> Result<(), Failure> {
        let _ = (server, outcome, latency);
        Ok(())
    }
}

/// Where a pool's policy comes from, across versions, configurations and failures. One for each pool; shared by
/// the workers and the thread that makes views. `weir-wasm` is the one that implements it for plugins.
pub trait PolicySource: Send + Sync {
    /// Asks the policy for a plan for these servers. Blocks for up to the deadline of `update`, so never
    /// called by a worker. Any failure is reported inside and is [`Plan::Fallback`] here.
    fn plan(&self, servers: &Arc<[Server]>) -> Plan;

    /// Grows whenever [`PolicySource::instance`] has another instance for every worker (a new version or
    /// configuration). One relaxed atomic load.
    fn generation(&self) -> u64;

    /// The prepared, configured instance for this worker, or `None` while there is none (loading, backing off,
    /// quarantined). Taking it is a move: it is given out once for each generation and, after a failure
    /// and its pause, once again. Cheap: it was made by another thread.
    fn instance(&self, worker: usize) -> Option<Box<dyn Policy>>;

    /// A worker's instance failed. Where the failure poisons, the worker has dropped it and asks
    /// [`PolicySource::instance`] again from time to time.
    fn failed(&self, worker: usize, generation: u64, hook: &'static str, failure: &Failure);

    /// A worker served this request; kept, in a small ring, to try the next version with. A few nanoseconds.
    fn seen(&self, worker: usize, request: Request);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{Load, State};

    /// Servers of these weights, all up.
    pub(crate) fn servers(weights: &[u16]) -> Arc<[Server]> {
        (0u32..)
            .zip(weights)
            .map(|(id, weight)| Server {
                id,
                name: format!("s{id}").into(),
                address: ([127, 0, 0, 1], 8000).into(),
                state: State::Up,
                weight: *weight,
                max_in_flight: None,
                labels: Arc::new([]),
                load: Load::new(1),
            })
            .collect()
    }

    pub(crate) fn view(servers: &[Server], plan: Plan) -> View {
        View::new(1, 1, servers.into(), plan)
    }

    /// A policy that answers from a list.
    pub(crate) struct Scripted(pub(crate) Vec<Result<Choice, Failure>>);

    impl Policy for Scripted {
        fn update(&mut self, _: &Arc<[Server]>) -> Result<Plan, Failure> {
            Ok(Plan::PerRequest)
        }

        fn pick(&mut self, _: Request) -> Result<Choice, Failure> {
            self.0.remove(0)
        }
    }
}
