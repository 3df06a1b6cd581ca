//! A host for tests: runs a plugin natively, as the real one would.
//!
//! ```
//! # use weir_plugin::scheduler::{Plan, Scheduler, Server};
//! # use weir_plugin::{ConfigError, Description, Plugin};
//! # struct Turns;
//! # impl Plugin for Turns {
//! #     fn describe() -> Description { weir_plugin::describe!() }
//! #     fn configure(_: &str) -> Result<Self, ConfigError> { Ok(Self) }
//! # }
//! # impl Scheduler for Turns {
//! #     fn update(&mut self, servers: &[Server]) -> Plan { Plan::Cycle((0..servers.len() as u32).collect()) }
//! # }
//! use weir_plugin::harness::Harness;
//!
//! let mut pool = Harness::<Turns>::new("").unwrap();
//! pool.update(&[Server::up(0, "a", 1), Server::up(1, "b", 1)]);
//! assert_eq!(pool.run(10), [5, 5]);
//! ```
//!
//! [`Harness`] is for schedulers, [`Checked`] for plugins that judge checks, [`Zone`] for those that choose addresses.
//!
//! Log lines, counters, loads, time and randomness belong to the thread, and each test has its own; a new
//! harness begins with a fresh host. A plugin that answers what the host would refuse panics here, since a test is where
//! that should be seen.

mod checked;
pub(crate) mod fake;
mod zone;

pub use checked::Checked;
pub use zone::Zone;

use crate::ConfigError;
use crate::log::Level;
use crate::scheduler::{Choice, Feedback, Outcome, Plan, Request, Scheduler, Server};

/// A line that a plugin wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How bad it is.
    pub level: Level,
    /// What it says.
    pub text: String,
}

/// Lines that plugins on this thread wrote since the last call of this.
pub fn take_lines() -> Vec<Line> {
    fake::with(|host| std::mem::take(&mut host.lines))
}

/// The value of a counter on this thread; `None` when no plugin has registered it.
pub fn counter(name: &str) -> Option<u64> {
    fake::with(|host| host.counters.get(name).copied())
}

/// The value of a gauge on this thread; `None` when no plugin has registered it.
pub fn gauge(name: &str) -> Option<f64> {
    fake::with(|host| host.gauges.get(name).copied())
}

/// Lets time pass for [`env::monotonic_ms`](crate::env::monotonic_ms).
pub fn advance_ms(by: u64) {
    fake::with(|host| host.now_ms = host.now_ms.saturating_add(by));
}

/// A pool with one scheduler.
#[derive(Debug)]
pub struct Harness<S> {
    scheduler: S,
    servers: Vec<Server>,
    plan: Plan,
    step: usize,
}

impl<S: Scheduler> Harness<S> {
    /// Configures a scheduler, with seed 1 for all randomness.
    ///
    /// # Errors
    /// The scheduler's own, for this configuration.
    pub fn new(config: &str) -> Result<Self, ConfigError> {
        Self::with_seed(config, 1)
    }

    /// Configures a scheduler; the same seed gives the same run.
    ///
    /// # Errors
    /// The scheduler's own, for this configuration.
    pub fn with_seed(config: &str, seed: u64) -> Result<Self, ConfigError> {
        fake::with(|host| *host = fake::Host::new(seed));
        Ok(Self { scheduler: S::configure(config)?, servers: Vec::new(), plan: Plan::Fallback, step: 0 })
    }

    /// Tells the scheduler of these servers; loads start at 0.
    ///
    /// # Panics
    /// The plan is one that the host refuses.
    pub fn update(&mut self, servers: &[Server]) -> &Plan {
        self.servers = servers.to_vec();
        self.step = 0;
        fake::with(|host| {
            host.in_flight = vec![0; servers.len()];
            host.latency_us = vec![0; servers.len()];
        });
        self.plan = self.scheduler.update(servers);
        if let Plan::Table(list) | Plan::Cycle(list) = &self.plan {
            assert!((1..=1 << 20).contains(&list.len()), "a plan of {} entries", list.len());
            let wrong = list.iter().find(|server| **server as usize >= servers.len());
            assert_eq!(wrong, None, "the plan names a server that does not exist");
        }
        &self.plan
    }

    /// Sets the requests in flight of each server.
    pub fn set_in_flight(&mut self, in_flight: &[u32]) {
        fake::with(|host| host.in_flight = in_flight.to_vec());
    }

    /// Sets the smoothed latency of each server, microseconds.
    pub fn set_latency_us(&mut self, latency_us: &[u32]) {
        fake::with(|host| host.latency_us = latency_us.to_vec());
    }

    /// Chooses a server for a request, by the plan or by asking. `None` for what the host does by itself: fallback,
    /// refusal, or a plan without a server that may be used.
    ///
    /// # Panics
    /// The scheduler picked a server that the host refuses.
    pub fn choose(&mut self, request: Request) -> Option<u32> {
        let good = |index: &u32| {
            self.servers.get(*index as usize).is_some_and(Server::is_usable) && !request.was_tried(*index)
        };
        match &self.plan {
            Plan::Table(rows) => {
                let row = (request.key % rows.len() as u64) as usize;
                rows.iter().cycle().skip(row).take(rows.len()).copied().find(good)
            }
            Plan::Cycle(steps) => {
                let (taken, server) = steps
                    .iter()
                    .cycle()
                    .skip(self.step)
                    .take(steps.len())
                    .copied()
                    .enumerate()
                    .find(|(_, s)| good(s))?;
                self.step = (self.step + taken + 1) % steps.len();
                Some(server)
            }
            Plan::PerRequest => match self.scheduler.pick(request, &fake::HostLoad) {
                Choice::Server(server) => {
                    assert!(good(&server), "picked server {server} for {request:?}, which the host refuses");
                    Some(server)
                }
                Choice::Fallback | Choice::Refuse => None,
            },
            Plan::Fallback => None,
        }
    }

    /// What the scheduler itself answers, unchecked.
    pub fn pick(&mut self, request: Request) -> Choice {
        self.scheduler.pick(request, &fake::HostLoad)
    }

    /// Chooses for this many requests with random keys that are over at once, and counts them for each server.
    pub fn run(&mut self, requests: usize) -> Vec<usize> {
        let mut counts = vec![0; self.servers.len()];
        for _ in 0..requests {
            let chosen = self.choose(Request { key: fake::random(), attempt: 0, tried: 0 });
            if let Some(count) = chosen.and_then(|server| counts.get_mut(server as usize)) {
                *count += 1;
            }
        }
        counts
    }

    /// Chooses for this many requests that all stay in flight, and returns how many each server has then.
    pub fn pile_up(&mut self, requests: usize) -> Vec<u32> {
        for _ in 0..requests {
            let chosen = self.choose(Request { key: fake::random(), attempt: 0, tried: 0 });
            fake::with(|host| {
                if let Some(count) = chosen.and_then(|server| host.in_flight.get_mut(server as usize)) {
                    *count += 1;
                }
            });
        }
        fake::with(|host| host.in_flight.clone())
    }
}

impl<S: Feedback> Harness<S> {
    /// Tells the scheduler how an attempt ended.
    pub fn result(&mut self, server: u32, outcome: Outcome, latency_us: u32) {
        self.scheduler.on_result(server, outcome, latency_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Counter, Gauge};
    use crate::scheduler::Load;
    use crate::{Description, Plugin, env, log};

    /// Picks server `in flight of server 0`, and says what it does.
    struct Talkative {
        picks: Counter,
    }

    impl Plugin for Talkative {
        fn describe() -> Description {
            crate::describe!()
        }

        fn configure(config: &str) -> Result<Self, ConfigError> {
            log::warn!("configured with {config:?}");
            Gauge::new("answer").set(42.0);
            Ok(Self { picks: Counter::new("picks") })
        }
    }

    impl Scheduler for Talkative {
        fn update(&mut self, _: &[Server]) -> Plan {
            Plan::PerRequest
        }

        fn pick(&mut self, _: Request, load: &impl Load) -> Choice {
            self.picks.add(1);
            Choice::Server(load.in_flight(0))
        }
    }

    fn pool() -> Harness<Talkative> {
        let mut pool = Harness::new("x").unwrap();
        pool.update(&[Server::up(0, "a", 1), Server::up(1, "b", 1)]);
        pool
    }

    #[test]
    fn what_a_plugin_tells_the_host_can_be_read_back() {
        let mut pool = pool();
        pool.run(3);
        let line = Line { level: Level::Warn, text: "configured with \"x\"".into() };
        assert_eq!((take_lines(), take_lines()), (vec![line], vec![]));
        assert_eq!((counter("picks"), counter("other"), gauge("answer")), (Some(3), None, Some(42.0)));
    }

    #[test]
    fn loads_and_time_are_what_the_test_says_and_randomness_repeats() {
        let mut pool = pool();
        pool.set_in_flight(&[1, 0]);
        assert_eq!(pool.choose(Request { key: 0, attempt: 0, tried: 0 }), Some(1));
        let before = env::monotonic_ms();
        advance_ms(5);
        assert_eq!(env::monotonic_ms() - before, 5);
        let random = env::random();
        self::pool();
        assert_eq!(env::random(), random);
    }

    #[test]
    #[should_panic(expected = "which the host refuses")]
    fn a_choice_that_the_host_refuses_fails_the_test() {
        let mut pool = pool();
        pool.set_in_flight(&[7, 0]);
        pool.run(1);
    }
}
