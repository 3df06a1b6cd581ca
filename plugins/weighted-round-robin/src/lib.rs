//! Weighted round robin: every server in turn, as often as its weight says, spread evenly.
//!
//! **When to use it.** Requests cost about the same and servers are about as fast as their weights say. It is what the
//! host does without any plugin; this one is here to be read, measured and changed.
//!
//! **What it costs.** Nothing for a request: the turns are a cycle that the host walks by itself. A change of the pool
//! costs O(sum of weights): 10 ms for the largest pool there can be, microseconds for a usual one.
//!
//! **What it promises.** In a whole cycle every server has exactly as many turns as its weight, and
//! after any part of it the counts are the Sainte-Laguë apportionment of that part: weights 5:3:1 give `a b a a b c a b a`, and
//! never five times `a` in a row. Each worker of the host goes round by itself, from the start.
//!
//! **Configuration.** None.

mod turns;

use turns::Takes;
use weir_plugin::scheduler::{Plan, Scheduler, Server};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The scheduler. It holds nothing: the plan says it all.
#[derive(Debug)]
pub struct WeightedRoundRobin;

weir_plugin::export_scheduler!(WeightedRoundRobin);

impl Plugin for WeightedRoundRobin {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        Config::parse(config)?.finish()?;
        Ok(Self)
    }
}

impl Scheduler for WeightedRoundRobin {
    fn update(&mut self, servers: &[Server]) -> Plan {
        let usable: Vec<Takes> = (0..)
            .zip(servers)
            .filter(|(_, server)| server.is_usable())
            .map(|(server, Server { weight, .. })| Takes { server, weight: u64::from(*weight) })
            .collect();
        if usable.is_empty() { Plan::Fallback } else { Plan::Cycle(turns::cycle(usable)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::Harness;

    fn servers(weights: &[u32]) -> Vec<Server> {
        (0..).zip(weights).map(|(id, weight)| Server::up(id, format!("s{id}"), *weight)).collect()
    }

    fn pool(servers: &[Server]) -> Harness<WeightedRoundRobin> {
        let mut pool = Harness::new("").unwrap();
        pool.update(servers);
        pool
    }

    #[test]
    fn five_three_one_is_spread_and_exact() {
        let mut pool = pool(&servers(&[5, 3, 1]));
        assert_eq!(*pool.update(&servers(&[5, 3, 1])), Plan::Cycle(vec![0, 1, 0, 0, 1, 2, 0, 1, 0]));
        assert_eq!(pool.run(10_000), [5556, 3333, 1111]);
    }

    #[test]
    fn after_any_number_of_requests_nobody_is_two_turns_from_what_is_owed() {
        let weights = [7, 1, 100, 3, 19, 256];
        let total: u32 = weights.iter().sum();
        let mut pool = pool(&servers(&weights));
        let mut counts = [0u32; 6];
        for n in 1..=total * 2 {
            let one = pool.run(1);
            for ((count, weight), more) in counts.iter_mut().zip(weights).zip(one) {
                *count += more as u32;
                let owed = f64::from(n) * f64::from(weight) / f64::from(total);
                assert!((f64::from(*count) - owed).abs() < 2.0, "{n}: {count} of {owed}");
            }
        }
        assert_eq!(counts, weights.map(|w| 2 * w));
    }

    #[test]
    fn equal_weights_of_any_size_take_turns_in_order() {
        assert_eq!(*pool(&[]).update(&servers(&[256, 256, 256])), Plan::Cycle(vec![0, 1, 2]));
    }

    #[test]
    fn servers_that_take_no_work_have_no_turn() {
        let mut list = servers(&[1, 0, 1, 1]);
        list[2].state = State::Drain;
        assert_eq!(*pool(&[]).update(&list), Plan::Cycle(vec![0, 3]));
        list.iter_mut().for_each(|server| server.state = State::Down);
        assert_eq!(*pool(&[]).update(&list), Plan::Fallback);
    }

    #[test]
    fn a_setting_is_a_mistake() {
        assert!(Harness::<WeightedRoundRobin>::new("smooth = yes").is_err());
    }
}
