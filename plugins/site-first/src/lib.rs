//! Site first: servers of the own site, and those of other sites while the own ones are busy.
//!
//! **When to use it.** Servers stand in several places, a request that leaves its place pays for the way, and a request
//! that waits in a queue pays more. It is the worked example of the book as well (`docs/src/writing-a-scheduler.md`).
//!
//! **What it costs.** Nothing where there is no choice between sites: that is a plan. Otherwise one call for each request,
//! one question for all loads and a walk over all servers: O(n).
//!
//! **Configuration.**
//!
//! ```text
//! # The value of the label `site` of the servers to prefer. Not set: no server is preferred.
//! site = fra1
//! # A server is busy from this many requests in flight, for each point of its weight.
//! busy = 8
//! ```

use std::cmp::Ordering;

use weir_plugin::metrics::Counter;
use weir_plugin::scheduler::{Choice, Load, Plan, Request, Scheduler, Server};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The scheduler.
#[derive(Debug)]
pub struct SiteFirst {
    site: Option<String>,
    busy: u32,
    candidates: Vec<Candidate>,
    spilled: Counter,
}

/// A server that may be chosen.
#[derive(Debug)]
struct Candidate {
    server: u32,
    weight: u32,
    home: bool,
    /// How often this instance chose it: of servers that are equally busy, the one that is owed most has its turn.
    chosen: u64,
}

weir_plugin::export_scheduler!(SiteFirst);

impl Plugin for SiteFirst {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let site = config.text("site").map(str::to_owned);
        let busy = config.number("busy", 1..=10_000, 8)?;
        config.finish()?;
        Ok(Self { site, busy, candidates: Vec::new(), spilled: Counter::new("spilled") })
    }
}

impl Scheduler for SiteFirst {
    fn update(&mut self, servers: &[Server]) -> Plan {
        let home = |server: &Server| self.site.is_some() && server.label("site") == self.site.as_deref();
        self.candidates = (0..)
            .zip(servers)
            .filter(|(_, server)| server.is_usable())
            .map(|(index, server)| Candidate {
                server: index,
                weight: server.weight,
                home: home(server),
                chosen: 0,
            })
            .collect();
        let at_home = self.candidates.iter().filter(|candidate| candidate.home).count();
        if at_home == 0 || at_home == self.candidates.len() {
            // There is nothing to prefer: the host's own weighted round robin is as good, and free.
            return Plan::Fallback;
        }
        Plan::PerRequest
    }

    fn pick(&mut self, request: Request, load: &impl Load) -> Choice {
        let loads = load.in_flight_all();
        let home = self.least_busy(true, request, &loads);
        let chosen = match home {
            Some(home) if !self.is_busy(home, &loads) => Some(home),
            _ => match self.least_busy(false, request, &loads) {
                Some(away) if home.is_none() || !self.is_busy(away, &loads) => {
                    self.spilled.add(1);
                    Some(away)
                }
                // Busy everywhere: then rather at home.
                _ => home,
            },
        };
        let Some(candidate) = chosen.and_then(|at| self.candidates.get_mut(at)) else {
            return Choice::Fallback;
        };
        candidate.chosen += 1;
        Choice::Server(candidate.server)
    }
}

impl SiteFirst {
    /// Where in `candidates` the least busy one for its weight stands, at home or away, that did not fail this request.
    fn least_busy(&self, home: bool, request: Request, loads: &[u32]) -> Option<usize> {
        let wanted = |candidate: &Candidate| candidate.home == home && !request.was_tried(candidate.server);
        let candidates = self.candidates.iter().enumerate().filter(|(_, candidate)| wanted(candidate));
        candidates.min_by(|(_, a), (_, b)| a.compare(b, loads)).map(|(at, _)| at)
    }

    fn is_busy(&self, at: usize, loads: &[u32]) -> bool {
        let limit = |candidate: &Candidate| u64::from(self.busy) * u64::from(candidate.weight);
        self.candidates.get(at).is_some_and(|candidate| candidate.in_flight(loads) >= limit(candidate))
    }
}

impl Candidate {
    fn in_flight(&self, loads: &[u32]) -> u64 {
        loads.get(self.server as usize).copied().map_or(0, u64::from)
    }

    /// By requests in flight for its weight, then by turns for its weight. Fractions are compared without dividing.
    fn compare(&self, other: &Self, loads: &[u32]) -> Ordering {
        let (own, others) = (u64::from(self.weight), u64::from(other.weight));
        let by_load = (self.in_flight(loads) * others).cmp(&(other.in_flight(loads) * own));
        by_load.then_with(|| (self.chosen * others).cmp(&(other.chosen * own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::{self, Harness};

    /// Two servers at home (weights 3 and 1), two away (weights 1 and 1).
    fn servers() -> Vec<Server> {
        let at = |id, name: &str, weight, site: &str| Server {
            labels: vec![("site".into(), site.into())],
            ..Server::up(id, name, weight)
        };
        vec![at(0, "a", 3, "fra1"), at(1, "b", 1, "fra1"), at(2, "c", 1, "ams1"), at(3, "d", 1, "ams1")]
    }

    fn pool(config: &str) -> Harness<SiteFirst> {
        let mut pool = Harness::new(config).unwrap();
        pool.update(&servers());
        pool
    }

    #[test]
    fn an_idle_site_takes_everything_by_weight() {
        assert_eq!(pool("site = fra1").run(400), [300, 100, 0, 0]);
        assert_eq!(harness::counter("spilled"), Some(0));
    }

    #[test]
    fn what_is_too_much_for_the_site_goes_elsewhere_and_comes_back() {
        let mut pool = pool("site = fra1\nbusy = 2");
        // Room at home: 3 x 2 and 1 x 2. The next four fill the other site.
        assert_eq!(pool.pile_up(8), [6, 2, 0, 0]);
        assert_eq!(pool.pile_up(4), [6, 2, 2, 2]);
        assert_eq!(harness::counter("spilled"), Some(4));
        // Busy everywhere: at home again, by weight.
        assert_eq!(pool.pile_up(4), [9, 3, 2, 2]);
        pool.set_in_flight(&[5, 2, 0, 0]);
        assert_eq!(pool.run(10), [10, 0, 0, 0]);
    }

    #[test]
    fn a_retry_goes_to_another_server_and_in_the_end_to_another_site() {
        let mut pool = pool("site = fra1");
        let retry = |tried: u64| Request { key: 0, attempt: tried.count_ones(), tried };
        assert_eq!(pool.choose(retry(0b0001)), Some(1));
        assert_eq!(pool.choose(retry(0b0011)), Some(2));
        assert_eq!(pool.choose(retry(0b0111)), Some(3));
        assert_eq!(pool.pick(retry(0b1111)), Choice::Fallback);
    }

    #[test]
    fn without_a_choice_between_sites_there_is_nothing_to_ask() {
        assert_eq!(*pool("site = lon1").update(&servers()), Plan::Fallback);
        assert_eq!(*pool("").update(&servers()), Plan::Fallback);
        let mut pool = pool("site = fra1");
        let mut some = servers();
        some.iter_mut().skip(2).for_each(|server| server.state = State::Down);
        assert_eq!(*pool.update(&some), Plan::Fallback);
        assert_eq!(*pool.update(&servers()), Plan::PerRequest);
    }

    #[test]
    fn a_wrong_configuration_names_its_line() {
        let error = Harness::<SiteFirst>::new("site = fra1\nbusy = 0").unwrap_err();
        let expected = "line 2: `busy` is `0`, must be a number from 1 to 10000";
        assert_eq!(error, ConfigError::Invalid(expected.into()));
    }
}
