//! Consistent hash: the same key to the same server, and few keys move when servers come and go. Maglev's table.
//!
//! **When to use it.** Servers are better at what they have seen: caches, sessions, sharded data. The pool's `key` in the fleet
//! file says what belongs together (a header, a cookie, the path, the client's address). Load is spread as well as the
//! keys are: one key that is half of the traffic makes one server carry half of it.
//!
//! **What it costs.** Nothing for a request: the table is a plan that the host looks keys up in. A change of the pool costs
//! O(table size · log(table size)): about 2 ms for the default size.
//!
//! **What it promises.**
//!
//! - Every node that knows the same names and weights has the same table, in whatever order the servers are listed: a
//!   server is its name. The mapping is the same in every later version of this plugin.
//! - A server that goes *down*, into maintenance or drain keeps its rows, and the host passes them over: its keys are spread over
//!   all others, no other key moves, and each returns when the server does.
//! - A server that is added to or taken from the fleet file moves its own share of keys and a few per cent of the others.
//! - Rows are shared by weight, within one row of each other's due for equal weights.
//!
//! **Configuration.**
//!
//! ```text
//! # Rows of the table: a prime from 101 to 262139. At least 100 for each server keeps shares within 1 %.
//! table-size = 65537
//! ```

mod maglev;

use weir_plugin::scheduler::{Plan, Scheduler, Server};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The scheduler.
#[derive(Debug)]
pub struct ConsistentHash {
    table_size: u32,
}

weir_plugin::export_scheduler!(ConsistentHash);

impl Plugin for ConsistentHash {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let table_size = config.number("table-size", 101..=262_139, 65_537)?;
        config.finish()?;
        if !is_prime(table_size) {
            // A step and a size with a common divisor would visit only some of the rows.
            let next = (table_size..).find(|n| is_prime(*n)).unwrap_or(65_537);
            return Err(ConfigError::Invalid(format!(
                "`table-size` is {table_size}, must be a prime; the next one is {next}"
            )));
        }
        Ok(Self { table_size })
    }
}

impl Scheduler for ConsistentHash {
    fn update(&mut self, servers: &[Server]) -> Plan {
        // Whatever their state: the host passes over rows of servers that take no work.
        let weighing: Vec<(u32, &str, u32)> = (0..)
            .zip(servers)
            .filter(|(_, server)| server.weight > 0)
            .map(|(index, server)| (index, server.name.as_str(), server.weight))
            .collect();
        if weighing.is_empty() {
            Plan::Fallback
        } else {
            Plan::Table(maglev::table(weighing, self.table_size))
        }
    }
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::Harness;
    use weir_plugin::scheduler::Request;

    const KEYS: u64 = 20_000;

    fn servers(names: &[&str]) -> Vec<Server> {
        (0..).zip(names).map(|(id, name)| Server::up(id, *name, 1)).collect()
    }

    /// The name of the server of each key.
    fn mapping(servers: &[Server]) -> Vec<String> {
        let mut pool = Harness::<ConsistentHash>::new("").unwrap();
        pool.update(servers);
        (0..KEYS)
            .map(|key| {
                // Keys are hashes in the host.
                let key = weir_plugin::Random::from_seed(key).bits();
                let index = pool.choose(Request { key, attempt: 0, tried: 0 }).unwrap();
                servers[index as usize].name.clone()
            })
            .collect()
    }

    fn moved<'a>(before: &'a [String], after: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        before.iter().zip(after).filter(|(b, a)| b != a).map(|(b, a)| (b.as_str(), a.as_str()))
    }

    #[test]
    fn a_key_goes_to_the_same_server_in_whatever_order_they_are_listed() {
        let before = mapping(&servers(&["a", "b", "c", "d", "e"]));
        assert_eq!(before, mapping(&servers(&["d", "a", "e", "c", "b"])));
    }

    #[test]
    fn of_a_server_that_is_down_only_its_own_keys_move_and_they_spread() {
        let mut list = servers(&["a", "b", "c", "d", "e"]);
        let before = mapping(&list);
        for state in [State::Down, State::Drain, State::Maint] {
            list[2].state = state;
            let after = mapping(&list);
            assert!(moved(&before, &after).all(|(from, _)| from == "c"));
            for name in ["a", "b", "d", "e"] {
                let taken = moved(&before, &after).filter(|(_, to)| *to == name).count() as u64;
                assert!(taken.abs_diff(KEYS / 20) < KEYS / 100, "{name} took {taken}");
            }
        }
    }

    #[test]
    fn a_server_that_leaves_the_fleet_moves_few_keys_of_others() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let (before, after) = (mapping(&servers(&names)), mapping(&servers(&names[..9])));
        let others = moved(&before, &after).filter(|(from, _)| *from != "j").count() as u64;
        assert!(others < KEYS * 4 / 100, "{others} of {KEYS} moved without need");
        assert_eq!(
            before.iter().filter(|name| *name == "j").count(),
            moved(&before, &after).filter(|(from, _)| *from == "j").count()
        );
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let mut list = servers(&["a", "b", "c"]);
        (list[0].weight, list[1].weight) = (5, 3);
        let Plan::Table(rows) = ConsistentHash::configure("").unwrap().update(&list) else { panic!() };
        for (index, weight) in [(0, 5.0), (1, 3.0), (2, 1.0)] {
            let share = rows.iter().filter(|row| **row == index).count() as f64 / rows.len() as f64;
            assert!((share - weight / 9.0).abs() < 0.001, "{index} has {share}");
        }
        list[2].weight = 0;
        assert!(!mapping(&list).contains(&"c".to_owned()));
    }

    #[test]
    fn without_weights_the_host_decides() {
        let list = [Server::up(0, "a", 0)];
        assert_eq!(*Harness::<ConsistentHash>::new("").unwrap().update(&list), Plan::Fallback);
    }

    #[test]
    fn a_size_that_is_no_prime_is_refused_with_one_that_is() {
        let refused = ConsistentHash::configure("table-size = 65536").err();
        let expected = "`table-size` is 65536, must be a prime; the next one is 65537";
        assert_eq!(refused, Some(ConfigError::Invalid(expected.into())));
        assert!(ConsistentHash::configure("table-size = 262139").is_ok());
        assert!(ConsistentHash::configure("table-size = 97").is_err());
    }
}
