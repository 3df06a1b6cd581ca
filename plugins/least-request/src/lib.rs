//! Least request: the server with the fewest requests in flight for its weight.
//!
//! **When to use it.** Few servers, requests of very different cost, and few nodes in front of them: it makes the best of what
//! this node knows. Nodes that do not know of each other all run to the same idle server; with many of them, or many
//! servers, `two-choices` does better and costs less.
//!
//! **What it costs.** One call for each request, and in it one question for all loads and a walk over all servers: O(n),
//! about 340 ns with 10 servers.
//!
//! **What it promises.** The chosen server has the smallest (requests in flight / weight) of those that may be used and were
//! not tried. Servers that are equal in it are drawn by weight, so an idle pool is shared by weight.
//!
//! **Configuration.** None.

use weir_plugin::scheduler::{Choice, Load, Plan, Request, Scheduler, Server};
use weir_plugin::{Config, ConfigError, Description, Plugin, Random};

/// The scheduler.
#[derive(Debug)]
pub struct LeastRequest {
    random: Random,
    /// The weight of each server by its index; 0 where it may not be used.
    weights: Vec<u32>,
}

weir_plugin::export_scheduler!(LeastRequest);

impl Plugin for LeastRequest {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        Config::parse(config)?.finish()?;
        Ok(Self { random: Random::from_host(), weights: Vec::new() })
    }
}

impl Scheduler for LeastRequest {
    fn update(&mut self, servers: &[Server]) -> Plan {
        self.weights =
            servers.iter().map(|server| if server.is_usable() { server.weight } else { 0 }).collect();
        let mut usable = (0..).zip(&self.weights).filter(|(_, weight)| **weight > 0).map(|(index, _)| index);
        match (usable.next(), usable.next()) {
            (None, _) => Plan::Fallback,
            // There is nothing to ask.
            (Some(only), None) => Plan::Cycle(vec![only]),
            _ => Plan::PerRequest,
        }
    }

    fn pick(&mut self, request: Request, load: &impl Load) -> Choice {
        let loads = load.in_flight_all();
        let mut best: Option<Best> = None;
        for (server, (weight, in_flight)) in (0..).zip(self.weights.iter().zip(loads)) {
            if *weight == 0 || request.was_tried(server) {
                continue;
            }
            let (weight, in_flight) = (u64::from(*weight), u64::from(in_flight));
            match &mut best {
                // Fractions in flight / weight, compared without dividing.
                Some(best) if in_flight * best.weight > best.in_flight * weight => {}
                Some(best) if in_flight * best.weight == best.in_flight * weight => {
                    // Of all that are equal so far, each is kept as often as its part of their weights.
                    best.equals += weight;
                    if u64::from(self.random.below(best.equals as u32)) < weight {
                        *best = Best { server, weight, in_flight, equals: best.equals };
                    }
                }
                _ => best = Some(Best { server, weight, in_flight, equals: weight }),
            }
        }
        best.map_or(Choice::Fallback, |best| Choice::Server(best.server))
    }
}

/// The best server so far.
struct Best {
    server: u32,
    weight: u64,
    in_flight: u64,
    /// The sum of weights of those that are as good, itself included. At most 2^20: 4,096 servers of 256.
    equals: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::Harness;

    fn pool(weights: &[u32]) -> Harness<LeastRequest> {
        let servers: Vec<_> =
            (0..).zip(weights).map(|(id, weight)| Server::up(id, format!("s{id}"), *weight)).collect();
        let mut pool = Harness::new("").unwrap();
        pool.update(&servers);
        pool
    }

    #[test]
    fn the_least_loaded_for_its_weight_is_chosen() {
        let mut pool = pool(&[1, 4, 2]);
        pool.set_in_flight(&[2, 7, 4]);
        assert_eq!(pool.run(100), [0, 100, 0]);
        pool.set_in_flight(&[2, 8, 3]);
        assert_eq!(pool.run(100), [0, 0, 100]);
    }

    #[test]
    fn what_piles_up_is_shared_by_weight_exactly() {
        assert_eq!(pool(&[5, 3, 1, 1]).pile_up(10_000), [5000, 3000, 1000, 1000]);
    }

    #[test]
    fn an_idle_pool_is_shared_by_weight() {
        let counts = pool(&[5, 3, 1, 1]).run(10_000);
        for (count, owed) in counts.iter().zip([5000usize, 3000, 1000, 1000]) {
            assert!(count.abs_diff(owed) < 200, "{counts:?}");
        }
    }

    #[test]
    fn servers_that_failed_or_take_no_work_are_left_out() {
        let mut pool = pool(&[]);
        let servers = [
            Server::up(0, "a", 1),
            Server::up(1, "b", 1).with_state(State::Maint),
            Server::up(2, "c", 0),
            Server::up(3, "d", 1),
        ];
        assert_eq!(*pool.update(&servers), Plan::PerRequest);
        pool.set_in_flight(&[9, 0, 0, 8]);
        assert_eq!(pool.choose(Request { key: 0, attempt: 0, tried: 0 }), Some(3));
        assert_eq!(pool.choose(Request { key: 0, attempt: 1, tried: 0b1000 }), Some(0));
        assert_eq!(pool.pick(Request { key: 0, attempt: 2, tried: 0b1001 }), Choice::Fallback);
    }

    #[test]
    fn one_usable_server_is_a_plan_and_none_is_the_host_s() {
        let mut pool = pool(&[]);
        assert_eq!(*pool.update(&[Server::up(0, "a", 0), Server::up(1, "b", 7)]), Plan::Cycle(vec![1]));
        assert_eq!(*pool.update(&[]), Plan::Fallback);
    }
}
