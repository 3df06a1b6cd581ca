//! Failover: the good addresses of the first tier that has enough of them.
//!
//! **When to use it.** One site serves, another waits. Each address has a label `tier` in the fleet file, a number; the
//! lowest comes first, and an address without one is of tier 0. As gdnsd's `simplefo` and `metafo`, with any number of
//! tiers. IPv4 and IPv6 are decided apart.
//!
//! **What it costs.** Nothing for a query: the answer holds for everybody until an address changes.
//!
//! **Configuration.** Beside `ttl`, `order` (`listed`), `repeat-ms` and `none-up`:
//!
//! ```text
//! # The label of an address that has its tier.
//! label = tier
//! # So many must be up in a tier, or the next one has its turn; where none has as many, the first that has any.
//! least = 1
//! ```

use std::collections::BTreeMap;

use weir_plugin::dns_answers::{
    A, AAAA, Address, Decision, DnsAnswers, Names, Order, Question, Settings, best,
};
use weir_plugin::{Config, ConfigError, Description, Plugin, log};

/// The policy.
#[derive(Debug)]
pub struct Failover {
    settings: Settings,
    label: String,
    least: usize,
    chosen: Names<Chosen>,
}

/// What is answered for a name.
#[derive(Debug, Default)]
struct Chosen {
    v4: Vec<u32>,
    v6: Vec<u32>,
}

weir_plugin::export_dns_answers!(Failover);

impl Plugin for Failover {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let settings = Settings::take(&mut config, Order::Listed)?;
        let label = config.text("label").unwrap_or("tier").to_owned();
        let least = config.number("least", 1..=64, 1)?;
        config.finish()?;
        Ok(Self { settings, label, least, chosen: Names::default() })
    }
}

impl DnsAnswers for Failover {
    fn update(&mut self, name: &str, addresses: &[Address]) {
        let tier = |address: &Address| match address.label(&self.label).map(str::parse) {
            None => 0u32,
            Some(Ok(tier)) => tier,
            // Last, and not first: it cannot be meant to be the best one.
            Some(Err(_)) => u32::MAX,
        };
        if let Some(wrong) = addresses.iter().find(|address| tier(address) == u32::MAX) {
            log::warn!("{name}: `{}` of {:?} is no number; it comes last", self.label, wrong.ip);
        }
        let choose = |record_type| {
            let mut tiers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            // Weight 0 is for when no tier has a better one.
            for index in best(addresses, record_type) {
                if let Some(address) = addresses.get(index as usize) {
                    tiers.entry(tier(address)).or_default().push(index);
                }
            }
            let enough = tiers.values().find(|tier| tier.len() >= self.least);
            enough.or_else(|| tiers.values().next()).cloned().unwrap_or_default()
        };
        let chosen = Chosen { v4: choose(A), v6: choose(AAAA) };
        self.chosen.set(name, chosen);
    }

    fn decide(&mut self, question: &Question) -> Decision {
        let Some(chosen) = self.chosen.of(question) else { return Decision::Fallback };
        self.settings.decide(if question.record_type == A { &chosen.v4 } else { &chosen.v6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::dns_answers::Otherwise;
    use weir_plugin::harness::{Zone, take_lines};

    fn addresses() -> Vec<Address> {
        let at = |ip, tier| Address::up(ip).labelled("tier", tier);
        vec![
            at("192.0.2.1", "0"),
            at("192.0.2.2", "0"),
            at("198.51.100.1", "1"),
            at("198.51.100.2", "1"),
            at("203.0.113.1", "2"),
            at("2001:db8::1", "0"),
        ]
    }

    fn ask(config: &str, down: &[usize]) -> Vec<String> {
        let mut zone = Zone::<Failover>::new(config).unwrap();
        let mut addresses = addresses();
        for at in down {
            addresses[*at].state = State::Down;
        }
        zone.update("www", &addresses);
        zone.ask("www", "0.0.0.0/0")
    }

    #[test]
    fn the_first_tier_that_has_one_up_is_answered() {
        assert_eq!(ask("", &[]), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(ask("", &[1]), ["192.0.2.1"]);
        assert_eq!(ask("", &[0, 1]), ["198.51.100.1", "198.51.100.2"]);
        assert_eq!(ask("", &[0, 1, 2, 3]), ["203.0.113.1"]);
    }

    #[test]
    fn a_tier_of_too_few_is_passed_over_unless_all_have_too_few() {
        assert_eq!(ask("least = 2", &[1]), ["198.51.100.1", "198.51.100.2"]);
        assert_eq!(ask("least = 2", &[1, 3]), ["192.0.2.1"]);
    }

    #[test]
    fn families_are_apart_and_with_none_up_the_operator_decides() {
        let mut zone = Zone::<Failover>::new("none-up = no-data").unwrap();
        let mut addresses = addresses();
        addresses.iter_mut().take(5).for_each(|address| address.state = State::Down);
        zone.update("www", &addresses);
        assert_eq!(zone.ask("www", "2001:db8::/32"), ["2001:db8::1"]);
        let question = zone.question("www", "192.0.2.0/24");
        assert_eq!(zone.decide(&question), Decision::NoneUp(Otherwise::NoData));
    }

    #[test]
    fn an_address_without_a_tier_is_of_the_first_and_one_with_nonsense_of_the_last() {
        let mut zone = Zone::<Failover>::new("label = rank").unwrap();
        let plain = Address::up("192.0.2.1");
        let nonsense = Address::up("192.0.2.2").labelled("rank", "best");
        zone.update("www", &[nonsense.clone(), plain]);
        assert_eq!(zone.ask("www", "0.0.0.0/0"), ["192.0.2.1"]);
        assert!(take_lines()[0].text.contains("`rank` of [192, 0, 2, 2] is no number"));
        zone.update("www", &[nonsense]);
        assert_eq!(zone.ask("www", "0.0.0.0/0"), ["192.0.2.2"]);
    }
}
