//! Weighted: one address drawn by weight, or several, each as likely as its weight.
//!
//! **When to use it.** Sites of different size, or a new one that gets a little of the traffic first. As gdnsd's plugin of
//! the same name: where less than a part of all weight is up, the rest could not carry the load, and all addresses
//! count as up. IPv4 and IPv6 are decided apart. Where addresses say their load, a busy one can be given less.
//!
//! **What it costs.** A call for each query, unless `repeat-ms` allows the host to repeat an answer.
//!
//! **Configuration.** Beside `ttl`, `repeat-ms` (0) and `none-up`:
//!
//! ```text
//! # `single`: one address, drawn by weight. `multi`: each with the likelihood of its weight to the largest; at least one.
//! mode = single
//! # Percent of all configured weight that has to be up; else all count as up. 0 never does so.
//! up-threshold = 50
//! # Percent of load from which on an address weighs less: all of its weight there, none when it is full. Where all are full, all
//! # weigh as configured; so does one of which nobody says a load. 100 never sheds.
//! shed-over = 100
//! ```

use weir_plugin::dns_answers::{A, AAAA, Address, Decision, DnsAnswers, Names, Order, Question, Settings};
use weir_plugin::{Alias, Config, ConfigError, Description, Plugin};

/// The policy.
#[derive(Debug)]
pub struct Weighted {
    settings: Settings,
    multi: bool,
    up_threshold: u64,
    shed_over: f32,
    names: Names<[Family; 2]>,
}

/// The addresses of one record type that may be answered.
#[derive(Debug, Default)]
struct Family {
    candidates: Vec<Candidate>,
    draws: Alias,
    largest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: u32,
    weight: u32,
}

weir_plugin::export_dns_answers!(Weighted);

impl Plugin for Weighted {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let settings = Settings::take(&mut config, Order::Shuffled)?;
        let multi = config.word("mode", &[("single", false), ("multi", true)], false)?;
        let up_threshold = config.number("up-threshold", 0..=100, 50)?;
        let shed_over = f32::from(config.number("shed-over", 0..=100, 100u8)?) / 100.0;
        config.finish()?;
        Ok(Self { settings, multi, up_threshold, shed_over, names: Names::default() })
    }
}

impl DnsAnswers for Weighted {
    fn update(&mut self, name: &str, addresses: &[Address]) {
        let families = [A, AAAA].map(|record_type| self.family(addresses, record_type));
        self.names.set(name, families);
    }

    fn decide(&mut self, question: &Question) -> Decision {
        let Some([v4, v6]) = self.names.of(question) else { return Decision::Fallback };
        let family = if question.record_type == A { v4 } else { v6 };
        let random = self.settings.random();
        let chosen: Vec<u32> = if self.multi {
            let included = |candidate: &&Candidate| random.below(family.largest) < candidate.weight;
            family.candidates.iter().filter(included).map(|candidate| candidate.address).collect()
        } else {
            let drawn = family.candidates.get(family.draws.draw(random));
            drawn.map(|candidate| candidate.address).into_iter().collect()
        };
        self.settings.decide(&chosen)
    }
}

/// The share of an address that is not too busy.
const WHOLE: u8 = 128;

impl Weighted {
    /// How much of its weight an address has, of [`WHOLE`].
    fn share(&self, address: &Address) -> u32 {
        if address.load > self.shed_over {
            let spare = (1.0 - address.load) / (1.0 - self.shed_over);
            (spare.clamp(0.0, 1.0) * f32::from(WHOLE)).round() as u32
        } else {
            u32::from(WHOLE)
        }
    }

    fn family(&self, addresses: &[Address], record_type: u16) -> Family {
        let all = || (0..).zip(addresses).filter(|(_, address)| address.is_of(record_type));
        let sum = |up: bool| -> u64 {
            let counted = all().filter(|(_, address)| !up || address.state.is_up());
            counted.map(|(_, address)| u64::from(address.weight)).sum()
        };
        // As gdnsd: rounded up, so that half of 3 is 2.
        let all_up = sum(true) < (sum(false) * self.up_threshold).div_ceil(100);
        let counts = |address: &Address| all_up || address.state.is_up();
        let with = |least: u32, share: &dyn Fn(&Address) -> u32| -> Vec<Candidate> {
            let good = all().filter(|(_, address)| counts(address) && address.weight >= least);
            let weighed = good.map(|(index, address)| Candidate {
                address: index,
                weight: address.weight.max(1) * share(address),
            });
            weighed.filter(|candidate| candidate.weight > 0).collect()
        };
        let whole = |_: &Address| 1;
        // Where too few are up, a busy one is still better than one that is dead.
        let mut candidates = if all_up { with(1, &whole) } else { with(1, &|address| self.share(address)) };
        if candidates.is_empty() {
            candidates = with(1, &whole);
        }
        if candidates.is_empty() {
            // Weight 0 is for when nothing else is up.
            candidates = with(0, &whole);
        }
        Family {
            draws: Alias::new(candidates.iter().map(|candidate| candidate.weight)),
            largest: candidates.iter().map(|candidate| candidate.weight).max().unwrap_or_default(),
            candidates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use weir_plugin::State;
    use weir_plugin::harness::Zone;

    fn zone(config: &str, weights: &[u32], down: &[usize]) -> Zone<Weighted> {
        let mut zone = Zone::new(config).unwrap();
        let mut addresses: Vec<Address> = (1..)
            .zip(weights)
            .map(|(n, weight): (u32, _)| Address::up(&format!("192.0.2.{n}")).weighing(*weight))
            .collect();
        for at in down {
            addresses[*at].state = State::Down;
        }
        zone.update("www", &addresses);
        zone
    }

    /// How often each address was answered to this many queries.
    fn count(zone: &mut Zone<Weighted>, times: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (list, times) in zone.count("www", "0.0.0.0/0", times) {
            list.into_iter().for_each(|ip| *counts.entry(ip).or_default() += times);
        }
        counts
    }

    fn near(counts: &BTreeMap<String, usize>, owed: &[(&str, usize)]) {
        assert_eq!(counts.len(), owed.len(), "{counts:?}");
        for (ip, owed) in owed {
            assert!(counts[*ip].abs_diff(*owed) < 200, "{counts:?}");
        }
    }

    #[test]
    fn one_address_is_drawn_by_weight() {
        let counts = count(&mut zone("", &[3, 1, 0], &[]), 10_000);
        near(&counts, &[("192.0.2.1", 7500), ("192.0.2.2", 2500)]);
    }

    #[test]
    fn of_several_each_comes_as_often_as_its_weight_to_the_largest() {
        let mut zone = zone("mode = multi", &[4, 2, 1], &[]);
        near(&count(&mut zone, 10_000), &[("192.0.2.1", 10_000), ("192.0.2.2", 5000), ("192.0.2.3", 2500)]);
    }

    #[test]
    fn what_is_down_is_left_out_until_less_than_the_threshold_is_up() {
        // 5 of 10 are up: half is enough.
        near(&count(&mut zone("", &[4, 1, 5], &[2]), 10_000), &[("192.0.2.1", 8000), ("192.0.2.2", 2000)]);
        // 4 of 9: all count as up.
        let counts = count(&mut zone("", &[4, 0, 5], &[2]), 9000);
        near(&counts, &[("192.0.2.1", 4000), ("192.0.2.3", 5000)]);
        let never = count(&mut zone("up-threshold = 0", &[1, 9], &[1]), 100);
        assert_eq!(never, BTreeMap::from([("192.0.2.1".into(), 100)]));
    }

    /// Addresses of these loads, of weight 1.
    fn loaded(config: &str, loads: &[f32], down: &[usize]) -> Zone<Weighted> {
        let mut zone = Zone::new(config).unwrap();
        let busy = |(n, load): (u32, &f32)| Address { load: *load, ..Address::up(&format!("192.0.2.{n}")) };
        let mut addresses: Vec<Address> = (1..).zip(loads).map(busy).collect();
        down.iter().for_each(|at| addresses[*at].state = State::Down);
        zone.update("www", &addresses);
        zone
    }

    #[test]
    fn an_address_over_the_limit_is_given_less_the_busier_it_is_and_none_when_it_is_full() {
        let mut zone = loaded("shed-over = 50", &[0.75, 0.5, -1.0, 1.0], &[]);
        let owed = [("192.0.2.1", 2000), ("192.0.2.2", 4000), ("192.0.2.3", 4000)];
        near(&count(&mut zone, 10_000), &owed);
        let mut several = loaded("shed-over = 50\nmode = multi", &[0.75, 0.5, 1.0], &[]);
        near(&count(&mut several, 10_000), &[("192.0.2.1", 5000), ("192.0.2.2", 10_000)]);
    }

    #[test]
    fn load_plays_no_part_where_nobody_sheds_or_all_are_full_or_too_few_are_up() {
        let both = [("192.0.2.1", 5000), ("192.0.2.2", 5000)];
        near(&count(&mut loaded("", &[1.0, 0.0], &[]), 10_000), &both);
        near(&count(&mut loaded("shed-over = 0", &[1.0, 1.0], &[]), 10_000), &both);
        near(&count(&mut loaded("shed-over = 80\nup-threshold = 100", &[1.0, -1.0], &[1]), 10_000), &both);
    }

    #[test]
    fn with_nothing_up_and_no_threshold_the_operator_decides() {
        let mut zone = zone("up-threshold = 0", &[1, 1], &[0, 1]);
        let question = zone.question("www", "0.0.0.0/0");
        assert_eq!(zone.decide(&question), Decision::Fallback);
        let question = zone.question("www", "::/0");
        assert_eq!(zone.decide(&question), Decision::Fallback, "no address of this family");
    }

    #[test]
    fn weight_0_is_answered_when_nothing_else_is_up() {
        let mut zone = zone("up-threshold = 0", &[1, 0], &[0]);
        assert_eq!(zone.ask("www", "0.0.0.0/0"), ["192.0.2.2"]);
    }
}
