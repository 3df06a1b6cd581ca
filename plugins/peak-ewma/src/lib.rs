//! Peak EWMA: of two servers drawn by weight, the one where a request is expected to be answered first.
//!
//! **When to use it.** Servers whose speed differs or changes: another generation of machine, another site, a neighbour that eats
//! the disk, a garbage collector. It sees a slow server within one answer and forgives it within a few `decay-ms`.
//!
//! **What it costs.** One call for each request, about 320 ns whatever the number of servers: two draws, two questions about
//! load and one about the time; and one call for each answer.
//!
//! **How it expects.** Each server has an estimate of its latency. An answer that took longer than the estimate replaces it
//! at once (the peak). One that was faster does not: the estimate sinks by itself, exponentially over time, until it meets
//! the answers again. It sinks by time and not by count, so that a busy server and an idle one forget alike. A request is
//! expected to take the estimate times (requests in flight + 1), divided by the weight. A server that has not answered yet
//! is asked before all others, once.
//!
//! A failure, or a status of 500 or more, counts as `failure-ms`: a server that fails fast must not look fast.
//!
//! Estimates are of one worker each; requests in flight are those of the node.
//!
//! **Configuration.**
//!
//! ```text
//! # Time in which an estimate falls to 37 % of itself when nothing renews it; 1 to 600000 milliseconds.
//! decay-ms = 10000
//! # What a failed attempt counts as; 0 to 600000 milliseconds.
//! failure-ms = 1000
//! ```
//!
//! After Finagle's balancer of this name, which sinks whenever it is read and so does the same.

mod estimate;

use std::collections::BTreeMap;

use estimate::Estimate;
use weir_plugin::scheduler::{Choice, Feedback, Load, Outcome, Plan, Request, Scheduler, Server};
use weir_plugin::{Alias, Config, ConfigError, Description, Plugin, Random, env};

/// The scheduler.
#[derive(Debug)]
pub struct PeakEwma {
    decay_ms: f64,
    failure_us: u32,
    random: Random,
    /// Every server, by its index.
    servers: Vec<Known>,
    /// Indices of those that may be chosen.
    candidates: Vec<u32>,
    draws: Alias,
}

/// A server and what is expected of it.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: u32,
    weight: f64,
    latency: Estimate,
}

weir_plugin::export_scheduler_with_feedback!(PeakEwma);

impl Plugin for PeakEwma {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let decay_ms: u32 = config.number("decay-ms", 1..=600_000, 10_000)?;
        let failure_ms: u32 = config.number("failure-ms", 0..=600_000, 1000)?;
        config.finish()?;
        Ok(Self {
            decay_ms: f64::from(decay_ms),
            failure_us: failure_ms * 1000,
            random: Random::from_host(),
            servers: Vec::new(),
            candidates: Vec::new(),
            draws: Alias::default(),
        })
    }
}

impl Scheduler for PeakEwma {
    fn update(&mut self, servers: &[Server]) -> Plan {
        // What was learned stays with the id, whatever the new order is.
        let learned: BTreeMap<u32, Estimate> =
            self.servers.iter().map(|known| (known.id, known.latency)).collect();
        self.servers = servers
            .iter()
            .map(|server| Known {
                id: server.id,
                weight: f64::from(server.weight),
                latency: learned.get(&server.id).copied().unwrap_or_default(),
            })
            .collect();
        let usable = || (0..).zip(servers).filter(|(_, server)| server.is_usable());
        self.candidates = usable().map(|(index, _)| index).collect();
        self.draws = Alias::new(usable().map(|(_, server)| server.weight));
        match self.candidates.as_slice() {
            [] => Plan::Fallback,
            // There is nothing to ask.
            [only] => Plan::Cycle(vec![*only]),
            _ => Plan::PerRequest,
        }
    }

    fn pick(&mut self, request: Request, load: &impl Load) -> Choice {
        let Some(first) = self.draw(request, None) else { return Choice::Fallback };
        let Some(second) = self.draw(request, Some(first)) else { return Choice::Server(first) };
        let now = env::monotonic_ms();
        let (of_first, of_second) = load.in_flight_pair(first, second);
        let expected_of_first = self.expected(first, of_first, now);
        let expected_of_second = self.expected(second, of_second, now);
        Choice::Server(if expected_of_second < expected_of_first { second } else { first })
    }
}

impl Feedback for PeakEwma {
    fn on_result(&mut self, server: u32, outcome: Outcome, latency_us: u32) {
        let Some(known) = self.servers.get_mut(server as usize) else { return };
        let latency = match outcome {
            Outcome::Success => latency_us,
            Outcome::ServerError | Outcome::ConnectionFailed | Outcome::TimedOut => {
                latency_us.max(self.failure_us)
            }
        };
        known.latency.observe(f64::from(latency), env::monotonic_ms(), self.decay_ms);
    }
}

impl PeakEwma {
    /// In how many microseconds, for a weight of 1, a request to this server is expected to be answered.
    fn expected(&self, server: u32, in_flight: u32, now: u64) -> f64 {
        let Some(known) = self.servers.get(server as usize) else { return f64::INFINITY };
        let in_flight = f64::from(in_flight);
        match known.latency.at(now, self.decay_ms) {
            Some(latency) => latency * (in_flight + 1.0) / known.weight,
            // Nothing is known: worth one request, and then no other until it is answered.
            None => in_flight * 1e12 / known.weight,
        }
    }

    /// The index of a server by weight that did not fail this request and is not `taken`, if there is one.
    fn draw(&mut self, request: Request, taken: Option<u32>) -> Option<u32> {
        let good = |server: &u32| !request.was_tried(*server) && taken != Some(*server);
        // A draw is bad only when it hits one of at most a few servers.
        for _ in 0..4 {
            let drawn = self.candidates.get(self.draws.draw(&mut self.random)).copied();
            if drawn.as_ref().is_some_and(good) {
                return drawn;
            }
        }
        // One server outweighs the rest, or most have failed: the first good one from a random place.
        let start = self.random.below(self.candidates.len() as u32) as usize;
        self.candidates.iter().cycle().skip(start).take(self.candidates.len()).copied().find(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::harness::{Harness, advance_ms};

    fn servers(weights: &[u32]) -> Vec<Server> {
        (0..).zip(weights).map(|(id, weight)| Server::up(id, format!("s{id}"), *weight)).collect()
    }

    fn pool(weights: &[u32]) -> Harness<PeakEwma> {
        let mut pool = Harness::new("").unwrap();
        pool.update(&servers(weights));
        pool
    }

    /// Servers of these latencies, answering at once.
    fn serve(pool: &mut Harness<PeakEwma>, requests: usize, latencies_us: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; latencies_us.len()];
        for key in 0..requests as u64 {
            advance_ms(1);
            let server = pool.choose(Request { key, attempt: 0, tried: 0 }).unwrap();
            counts[server as usize] += 1;
            pool.result(server, Outcome::Success, latencies_us[server as usize]);
        }
        counts
    }

    #[test]
    fn the_faster_of_two_servers_gets_nearly_all() {
        let counts = serve(&mut pool(&[1, 1]), 1000, &[9000, 1000]);
        assert_eq!(counts[0], 1, "{counts:?}");
    }

    #[test]
    fn the_slowest_of_many_is_left_alone() {
        let counts = serve(&mut pool(&[1; 5]), 5000, &[1000, 1000, 1000, 1000, 50_000]);
        assert!(counts[4] <= 5 && counts[..4].iter().all(|count| *count > 1000), "{counts:?}");
    }

    #[test]
    fn a_slow_server_is_seen_at_once_and_forgotten_in_time() {
        let mut pool = pool(&[1, 1]);
        serve(&mut pool, 100, &[1000, 1000]);
        pool.result(0, Outcome::Success, 100_000);
        assert_eq!(serve(&mut pool, 100, &[1000, 1000]), [0, 100]);
        // Five times `decay-ms`: 100 ms have become 0.7.
        advance_ms(50_000);
        pool.result(1, Outcome::Success, 1000);
        let counts = serve(&mut pool, 1000, &[1000, 1000]);
        assert!(counts[0] > 300, "{counts:?}");
    }

    #[test]
    fn a_server_that_fails_fast_is_not_fast() {
        for outcome in [Outcome::ServerError, Outcome::ConnectionFailed, Outcome::TimedOut] {
            let mut pool = pool(&[1, 1]);
            pool.result(0, outcome, 10);
            pool.result(1, Outcome::Success, 5000);
            assert_eq!(pool.run(100), [0, 100]);
        }
    }

    #[test]
    fn a_busy_server_is_as_bad_as_a_slow_one() {
        let mut pool = pool(&[1, 1]);
        pool.result(0, Outcome::Success, 1000);
        pool.result(1, Outcome::Success, 3000);
        pool.set_in_flight(&[1, 0]);
        assert_eq!(pool.run(100), [100, 0]);
        pool.set_in_flight(&[3, 0]);
        assert_eq!(pool.run(100), [0, 100]);
    }

    #[test]
    fn a_server_without_answers_gets_one_request_and_then_waits_for_it() {
        let mut pool = pool(&[1, 1]);
        pool.result(0, Outcome::Success, 1000);
        assert_eq!(pool.run(10), [0, 10]);
        pool.set_in_flight(&[5, 1]);
        assert_eq!(pool.run(10), [10, 0]);
    }

    #[test]
    fn what_was_learned_stays_with_the_id() {
        let mut pool = pool(&[1, 1]);
        pool.result(0, Outcome::Success, 9000);
        pool.result(1, Outcome::Success, 1000);
        let mut turned = servers(&[1, 1]);
        turned.reverse();
        pool.update(&turned);
        assert_eq!(pool.run(100), [100, 0]);
    }

    #[test]
    fn of_equal_servers_weights_decide() {
        let counts = serve(&mut pool(&[3, 1, 1, 1]), 6000, &[1000; 4]);
        assert!(counts[0] > 2 * counts[1], "{counts:?}");
    }

    #[test]
    fn a_server_that_failed_the_request_is_not_tried_again() {
        let mut pool = pool(&[250, 1, 1]);
        assert_eq!(pool.choose(Request { key: 0, attempt: 2, tried: 0b011 }), Some(2));
        assert_eq!(pool.pick(Request { key: 0, attempt: 3, tried: 0b111 }), Choice::Fallback);
        pool.result(7, Outcome::Success, 1); // no such server
    }
}
