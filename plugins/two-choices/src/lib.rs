//! Random of two choices: of two servers drawn at random by weight, the one with fewer requests in flight.
//!
//! **When to use it.** Requests differ in cost, or servers in speed, and there may be many servers. Two draws are enough to
//! keep the longest queue short (it grows with log log n instead of log n), and since draws are random, nodes that
//! do not know of each other do not all run to the same idle server, as they do with `least-request`.
//!
//! **What it costs.** One call for each request, about 250 ns whatever the number of servers: two draws from tables and one
//! question about load. On an idle pool requests are shared by weight; on a busy one requests in flight are.
//!
//! **Configuration.**
//!
//! ```text
//! # Servers that are drawn for each request, 1 to 8; each costs about 45 ns.
//! choices = 2
//! ```

use weir_plugin::scheduler::{Choice, Load, Plan, Request, Scheduler, Server};
use weir_plugin::{Alias, Config, ConfigError, Description, Plugin, Random};

/// The scheduler.
#[derive(Debug)]
pub struct TwoChoices {
    choices: u32,
    random: Random,
    candidates: Vec<Candidate>,
    draws: Alias,
}

/// A server that may be chosen.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    server: u32,
    weight: u32,
}

weir_plugin::export_scheduler!(TwoChoices);

impl Plugin for TwoChoices {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let choices = config.number("choices", 1..=8, 2)?;
        config.finish()?;
        Ok(Self { choices, random: Random::from_host(), candidates: Vec::new(), draws: Alias::default() })
    }
}

impl Scheduler for TwoChoices {
    fn update(&mut self, servers: &[Server]) -> Plan {
        self.candidates = (0..)
            .zip(servers)
            .filter(|(_, server)| server.is_usable())
            .map(|(server, Server { weight, .. })| Candidate { server, weight: *weight })
            .collect();
        self.draws = Alias::new(self.candidates.iter().map(|candidate| candidate.weight));
        match self.candidates.as_slice() {
            [] => Plan::Fallback,
            // There is nothing to ask.
            [only] => Plan::Cycle(vec![only.server]),
            _ => Plan::PerRequest,
        }
    }

    fn pick(&mut self, request: Request, load: &impl Load) -> Choice {
        let Some(mut best) = self.draw(request, None) else { return Choice::Fallback };
        let mut best_load = None;
        for _ in 1..self.choices {
            let Some(other) = self.draw(request, Some(best)) else { break };
            let (least, other_load) = match best_load {
                None => load.in_flight_pair(best.server, other.server),
                Some(least) => (least, load.in_flight(other.server)),
            };
            // Fractions in flight / weight, compared without dividing. On a tie the first draw stays: draws are by
            // weight, so an idle pool is shared by weight.
            let is_better =
                u64::from(other_load) * u64::from(best.weight) < u64::from(least) * u64::from(other.weight);
            if is_better {
                best = other;
            }
            best_load = Some(if is_better { other_load } else { least });
        }
        Choice::Server(best.server)
    }
}

impl TwoChoices {
    /// A server by weight that did not fail this request and is not `taken`, if there is one.
    fn draw(&mut self, request: Request, taken: Option<Candidate>) -> Option<Candidate> {
        let good = |candidate: &Candidate| {
            !request.was_tried(candidate.server) && taken.is_none_or(|taken| taken.server != candidate.server)
        };
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
    use weir_plugin::State;
    use weir_plugin::harness::Harness;

    fn pool(weights: &[u32]) -> Harness<TwoChoices> {
        let servers: Vec<_> =
            (0..).zip(weights).map(|(id, weight)| Server::up(id, format!("s{id}"), *weight)).collect();
        let mut pool = Harness::new("").unwrap();
        pool.update(&servers);
        pool
    }

    #[test]
    fn an_idle_pool_is_shared_by_weight() {
        let counts = pool(&[5, 3, 1, 1]).run(10_000);
        for (count, owed) in counts.iter().zip([5000usize, 3000, 1000, 1000]) {
            assert!(count.abs_diff(owed) < 200, "{counts:?}");
        }
    }

    #[test]
    fn what_piles_up_is_shared_by_weight_and_evenly() {
        let counts = pool(&[2, 1, 1]).pile_up(4000);
        for (count, owed) in counts.iter().zip([2000u32, 1000, 1000]) {
            assert!(count.abs_diff(owed) < 20, "{counts:?}");
        }
    }

    #[test]
    fn the_longest_queue_of_many_servers_stays_short() {
        // One draw alone would leave about 25 on the longest of 1,000 queues of 10 on average.
        let counts = pool(&[1; 1000]).pile_up(10_000);
        assert!(counts.iter().all(|count| *count <= 13), "longest {:?}", counts.iter().max());
    }

    #[test]
    fn the_busier_of_two_servers_gets_nothing() {
        let mut pool = pool(&[1, 1]);
        pool.set_in_flight(&[3, 2]);
        assert_eq!(pool.run(1000), [0, 1000]);
    }

    #[test]
    fn a_server_that_failed_is_not_tried_again() {
        let mut pool = pool(&[250, 1, 1]);
        for _ in 0..1000 {
            assert_eq!(pool.choose(Request { key: 0, attempt: 2, tried: 0b011 }), Some(2));
            assert_eq!(pool.pick(Request { key: 0, attempt: 3, tried: 0b111 }), Choice::Fallback);
        }
    }

    #[test]
    fn a_server_that_is_down_is_never_drawn_and_a_single_one_is_a_plan() {
        let mut pool = pool(&[1, 1]);
        let servers = [
            Server::up(0, "a", 1).with_state(State::Down),
            Server::up(1, "b", 3),
            Server::up(2, "c", 0),
            Server::up(3, "d", 3),
        ];
        assert_eq!(*pool.update(&servers), Plan::PerRequest);
        let counts = pool.run(1000);
        assert_eq!((counts[0], counts[1] + counts[3], counts[2]), (0, 1000, 0));
        assert_eq!(*pool.update(&servers[..2]), Plan::Cycle(vec![1]));
        assert_eq!(*pool.update(&[]), Plan::Fallback);
    }

    #[test]
    fn with_one_choice_load_does_not_matter() {
        let mut pool = Harness::<TwoChoices>::new("choices = 1").unwrap();
        pool.update(&[Server::up(0, "a", 1), Server::up(1, "b", 1)]);
        pool.set_in_flight(&[1000, 0]);
        let counts = pool.run(1000);
        assert!(counts[0] > 400, "{counts:?}");
    }
}
