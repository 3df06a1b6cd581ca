//! Subset: a few of the good addresses.
//!
//! **When to use it.** A name with many addresses, of which a client needs two or three: the answer stays small, and clients
//! are spread. Which few is a matter of `by`.
//!
//! **What it costs.** `listed` and `load` hold for everybody until an address changes; `random` and `weight` are a call for
//! each query, unless `repeat-ms` allows the host to repeat an answer.
//!
//! **Configuration.** Beside `ttl`, `order`, `repeat-ms` and `none-up`:
//!
//! ```text
//! # How many.
//! count = 2
//! # `random`, `weight` (drawn by weight, each once), `listed` (the first ones) or `load` (the least busy ones; those of which
//! # nobody says a load count as half full).
//! by = random
//! # Leave out those with a load over this percent while others are below it. 100 leaves out none.
//! shed-over = 100
//! ```

use weir_plugin::dns_answers::{
    A, AAAA, Address, Decision, DnsAnswers, Names, Order, Question, Settings, best,
};
use weir_plugin::{Config, ConfigError, Description, Plugin, Random};

/// The policy.
#[derive(Debug)]
pub struct Subset {
    settings: Settings,
    count: usize,
    by: By,
    shed_over: f32,
    names: Names<[Vec<Candidate>; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Random,
    Weight,
    Listed,
    Load,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: u32,
    weight: u32,
}

weir_plugin::export_dns_answers!(Subset);

impl Plugin for Subset {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let count = config.number("count", 1..=64, 2)?;
        let words =
            [("random", By::Random), ("weight", By::Weight), ("listed", By::Listed), ("load", By::Load)];
        let by = config.word("by", &words, By::Random)?;
        let order = if matches!(by, By::Random | By::Weight) { Order::Shuffled } else { Order::Listed };
        let settings = Settings::take(&mut config, order)?;
        let shed_over = f32::from(config.number("shed-over", 0..=100, 100u8)?) / 100.0;
        config.finish()?;
        Ok(Self { settings, count, by, shed_over, names: Names::default() })
    }
}

impl DnsAnswers for Subset {
    fn update(&mut self, name: &str, addresses: &[Address]) {
        let families = [A, AAAA].map(|record_type| self.candidates(addresses, record_type));
        self.names.set(name, families);
    }

    fn decide(&mut self, question: &Question) -> Decision {
        let Some([v4, v6]) = self.names.of(question) else { return Decision::Fallback };
        let candidates = if question.record_type == A { v4 } else { v6 };
        let chosen: Vec<u32> = match self.by {
            By::Listed | By::Load => candidates.iter().take(self.count).map(|c| c.address).collect(),
            By::Random => draw(candidates, self.count, |_| 1, self.settings.random()),
            By::Weight => draw(candidates, self.count, |c| c.weight.max(1), self.settings.random()),
        };
        self.settings.decide(&chosen)
    }
}

impl Subset {
    /// The good ones, best first.
    fn candidates(&self, addresses: &[Address], record_type: u16) -> Vec<Candidate> {
        let load = |index: &u32| match addresses.get(*index as usize) {
            Some(address) if address.load >= 0.0 => address.load,
            _ => 0.5,
        };
        let mut good = best(addresses, record_type);
        if self.shed_over < 1.0 && good.iter().any(|index| load(index) <= self.shed_over) {
            good.retain(|index| load(index) <= self.shed_over);
        }
        if self.by == By::Load {
            good.sort_by(|a, b| load(a).total_cmp(&load(b)));
        }
        let weight = |index: u32| addresses.get(index as usize).map_or(1, |address| address.weight);
        good.into_iter().map(|address| Candidate { address, weight: weight(address) }).collect()
    }
}

/// Draws so many, each once, each time by weight among those that are left.
fn draw(
    candidates: &[Candidate],
    count: usize,
    weight: impl Fn(&Candidate) -> u32,
    random: &mut Random,
) -> Vec<u32> {
    let mut left: Vec<(u32, u32)> = candidates.iter().map(|c| (c.address, weight(c))).collect();
    let mut drawn = Vec::with_capacity(count.min(left.len()));
    while drawn.len() < count && !left.is_empty() {
        let mut at = random.below(left.iter().map(|(_, weight)| weight).sum());
        let position = left.iter().position(|(_, weight)| {
            let found = at < *weight;
            at = at.saturating_sub(*weight);
            found
        });
        drawn.push(left.swap_remove(position.unwrap_or(0)).0);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use weir_plugin::State;
    use weir_plugin::harness::Zone;

    fn loaded(n: u32, load: f32) -> Address {
        Address { load, ..Address::up(&format!("192.0.2.{n}")) }
    }

    fn zone(config: &str, addresses: &[Address]) -> Zone<Subset> {
        let mut zone = Zone::new(config).unwrap();
        zone.update("www", addresses);
        zone
    }

    fn count(zone: &mut Zone<Subset>, times: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (list, times) in zone.count("www", "0.0.0.0/0", times) {
            list.into_iter().for_each(|ip| *counts.entry(ip).or_default() += times);
        }
        counts
    }

    #[test]
    fn every_good_address_is_as_often_among_the_few() {
        let mut addresses: Vec<Address> = (0..5).map(|n| loaded(n, -1.0)).collect();
        addresses[4].state = State::Down;
        let counts = count(&mut zone("", &addresses), 4000);
        assert!(counts.len() == 4 && counts.values().all(|n| n.abs_diff(2000) < 150), "{counts:?}");
    }

    #[test]
    fn by_weight_a_heavy_one_comes_more_often() {
        let addresses = [loaded(1, -1.0).weighing(8), loaded(2, -1.0), loaded(3, -1.0)];
        let counts = count(&mut zone("by = weight\ncount = 1", &addresses), 10_000);
        assert!(counts["192.0.2.1"].abs_diff(8000) < 200, "{counts:?}");
    }

    #[test]
    fn the_first_ones_or_the_least_busy_ones_are_the_same_for_everybody() {
        let addresses = [loaded(1, 0.9), loaded(2, -1.0), loaded(3, 0.1), loaded(4, 0.4)];
        let mut listed = zone("by = listed\ncount = 3", &addresses);
        assert_eq!(listed.ask("www", "0.0.0.0/0"), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let mut by_load = zone("by = load\ncount = 3", &addresses);
        assert_eq!(by_load.ask("www", "0.0.0.0/0"), ["192.0.2.3", "192.0.2.4", "192.0.2.2"]);
        let question = by_load.question("www", "0.0.0.0/0");
        let Decision::Answer(answer) = by_load.decide(&question) else { panic!() };
        assert_eq!((answer.lifetime_ms, answer.scope), (60_000, 0));
    }

    #[test]
    fn busy_ones_are_left_out_while_others_are_not() {
        let shed = |addresses: &[Address]| {
            let mut zone = zone("by = listed\ncount = 9\nshed-over = 80", addresses);
            zone.ask("www", "0.0.0.0/0")
        };
        assert_eq!(shed(&[loaded(1, 0.9), loaded(2, 0.8)]), ["192.0.2.2"]);
        assert_eq!(shed(&[loaded(1, 0.9), loaded(2, 0.81)]).len(), 2);
    }

    #[test]
    fn fewer_than_asked_for_are_all_and_none_is_for_the_operator() {
        assert_eq!(zone("count = 9", &[loaded(1, 0.0), loaded(2, 0.0)]).ask("www", "0.0.0.0/0").len(), 2);
        let mut none = zone("", &[loaded(1, 0.0).in_state(State::Maint)]);
        let question = none.question("www", "0.0.0.0/0");
        assert_eq!(none.decide(&question), Decision::Fallback);
    }
}
