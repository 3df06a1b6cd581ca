//! Choosing the server of a request: `wit/scheduler.wit`.
//!
//! A policy is a *plan* where it can be and a *call* where it must be. [`Scheduler::update`] runs when a server comes,
//! goes or changes, and what it returns is carried out by the host in about a nanosecond; only for
//! [`Plan::PerRequest`] the host calls [`Scheduler::pick`], which costs about 140 ns before it has done anything.

use crate::Plugin;
pub use crate::bindings::exports::weir::policy::feedback::Outcome;
pub use crate::bindings::exports::weir::policy::scheduling::{Choice, Plan, Request, Server};
use crate::lifecycle::State;

/// Chooses servers.
pub trait Scheduler: Plugin {
    /// The servers of the pool are these now. Indices of everything after are into this list. Not on the hot path; it may
    /// take 50 ms.
    ///
    /// The host may call it on one instance and use the plan for all workers. Where the plan is
    /// [`Plan::PerRequest`], every worker's instance has had the call before its first `pick`.
    fn update(&mut self, servers: &[Server]) -> Plan;

    /// The server for this request, where the plan is [`Plan::PerRequest`]. A request waits for it: aim for less than a
    /// microsecond; 2 ms end it.
    fn pick(&mut self, request: Request, load: &impl Load) -> Choice {
        let _ = (request, load);
        Choice::Fallback
    }
}

/// A scheduler that is told how its choices ended.
pub trait Feedback: Scheduler {
    /// An attempt at the server of this index has ended, after `latency_us` microseconds to the first byte of the answer or to
    /// the failure. Once for each attempt, by the worker that had made the choice.
    fn on_result(&mut self, server: u32, outcome: Outcome, latency_us: u32);
}

/// What each server is busy with, as this node counts it over all its workers: `load` of `wit/host.wit`.
///
/// An argument and not a set of functions, so that a test can decide with the loads that it names:
/// a slice of counts is a `Load` without latencies.
pub trait Load {
    /// Requests that were sent to this server and are not answered yet; 0 out of range. About 42 ns.
    fn in_flight(&self, server: u32) -> u32;

    /// [`Load::in_flight`] of two servers, for little more than the price of one.
    fn in_flight_pair(&self, a: u32, b: u32) -> (u32, u32) {
        (self.in_flight(a), self.in_flight(b))
    }

    /// [`Load::in_flight`] of every server. Cheaper than five calls for one.
    fn in_flight_all(&self) -> Vec<u32>;

    /// Time to the first byte of this server's answers in microseconds, smoothed; 0 when unknown or out of range.
    fn latency_us(&self, server: u32) -> u32;

    /// [`Load::latency_us`] of every server.
    fn latency_us_all(&self) -> Vec<u32>;
}

impl Load for [u32] {
    fn in_flight(&self, server: u32) -> u32 {
        self.get(server as usize).copied().unwrap_or_default()
    }

    fn in_flight_all(&self) -> Vec<u32> {
        self.to_vec()
    }

    fn latency_us(&self, _server: u32) -> u32 {
        0
    }

    fn latency_us_all(&self) -> Vec<u32> {
        vec![0; self.len()]
    }
}

impl Server {
    /// A server that is up, for tests.
    pub fn up(id: u32, name: impl Into<String>, weight: u32) -> Self {
        Self { id, name: name.into(), state: State::Up, weight, labels: Vec::new() }
    }

    /// The same server in another state, for tests.
    pub fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Whether it may be given new work: up, and weighs something. The host refuses a choice that is not.
    pub fn is_usable(&self) -> bool {
        self.state.is_up() && self.weight > 0
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Request {
    /// Whether the server of this index failed this request already. From 64 on nobody can say, and it is `false`.
    pub const fn was_tried(&self, server: u32) -> bool {
        server < 64 && self.tried >> server & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tried_server_is_seen_up_to_the_sixty_fourth() {
        let request = Request { key: 0, attempt: 1, tried: 1 << 63 | 1 };
        let tried: Vec<u32> = (0..70).filter(|s| request.was_tried(*s)).collect();
        assert_eq!(tried, [0, 63]);
    }

    #[test]
    fn a_server_is_usable_when_it_is_up_and_weighs_something() {
        assert!(Server::up(0, "a", 1).is_usable());
        assert!(!Server::up(0, "a", 0).is_usable());
        for state in [State::Down, State::Drain, State::Maint] {
            assert!(!Server::up(0, "a", 1).with_state(state).is_usable());
        }
    }
}
