//! Sticky by subnet: clients of one network meet the same addresses for as long as these are up.
//!
//! **When to use it.** Caches or sessions of a site are of use to those who were there before. A weighted rendezvous hash of
//! the client's network: an address that goes away moves its own clients and nobody else's, and moves them back when it
//! returns. The client is the subnet that its resolver sent along, else the resolver.
//!
//! **What it costs.** A call for the first query of each network; the answer is then repeated for that network until an address
//! changes.
//!
//! **Configuration.** Beside `ttl`, `repeat-ms` (60000) and `none-up`:
//!
//! ```text
//! # Addresses in an answer: the one of the network first, then those that would come next.
//! count = 1
//! # Bits of a client's address that make it one network.
//! bits-v4 = 24
//! bits-v6 = 56
//! ```

use weir_plugin::dns_answers::{
    Address, Decision, DnsAnswers, Names, NetworkBits, Order, Question, Settings, best,
};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The policy.
#[derive(Debug)]
pub struct StickySubnet {
    settings: Settings,
    count: usize,
    bits: NetworkBits,
    names: Names<Vec<Address>>,
}

weir_plugin::export_dns_answers!(StickySubnet);

impl Plugin for StickySubnet {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let settings = Settings::take(&mut config, Order::Listed)?;
        let count = config.number("count", 1..=64, 1)?;
        let bits = NetworkBits::take(&mut config)?;
        config.finish()?;
        Ok(Self { settings, count, bits, names: Names::default() })
    }
}

impl DnsAnswers for StickySubnet {
    fn update(&mut self, name: &str, addresses: &[Address]) {
        self.names.set(name, addresses.to_vec());
    }

    fn decide(&mut self, question: &Question) -> Decision {
        let Some(addresses) = self.names.of(question) else { return Decision::Fallback };
        let mut chosen = best(addresses, question.record_type);
        if chosen.is_empty() {
            return self.settings.none_up();
        }
        // Weighted rendezvous hashing: who leaves moves its own networks and nobody else's.
        self.bits.rank(question, addresses, &mut chosen);
        chosen.truncate(self.count);
        self.settings.answer(&chosen).for_bits(self.bits.of(question), question).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use weir_plugin::State;
    use weir_plugin::harness::Zone;

    fn addresses(weights: &[u32]) -> Vec<Address> {
        (1u32..).zip(weights).map(|(n, w)| Address::up(&format!("192.0.2.{n}")).weighing(*w)).collect()
    }

    fn zone(config: &str, addresses: &[Address]) -> Zone<StickySubnet> {
        let mut zone = Zone::new(config).unwrap();
        zone.update("www", addresses);
        zone
    }

    /// What each of many networks is answered.
    fn all(zone: &mut Zone<StickySubnet>) -> BTreeMap<String, Vec<String>> {
        let networks = (0..4000u32).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256));
        networks.map(|network| (network.clone(), zone.ask("www", &network))).collect()
    }

    #[test]
    fn networks_are_shared_by_weight() {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for answer in all(&mut zone("", &addresses(&[2, 1, 1]))).into_values() {
            *counts.entry(answer[0].clone()).or_default() += 1;
        }
        for (ip, owed) in [("192.0.2.1", 2000usize), ("192.0.2.2", 1000), ("192.0.2.3", 1000)] {
            assert!(counts[ip].abs_diff(owed) < 150, "{counts:?}");
        }
    }

    #[test]
    fn an_address_that_goes_away_moves_its_own_networks_only_and_gets_them_back() {
        let mut addresses = addresses(&[1; 5]);
        let mut zone = zone("", &addresses);
        let before = all(&mut zone);
        addresses[2].state = State::Down;
        zone.update("www", &addresses);
        for (network, answer) in all(&mut zone) {
            let old = &before[&network];
            assert!(answer == *old || old == &["192.0.2.3"], "{network}: {old:?} -> {answer:?}");
        }
        addresses[2].state = State::Up;
        zone.update("www", &addresses);
        assert_eq!(all(&mut zone), before);
    }

    #[test]
    fn an_answer_holds_for_the_network_and_for_no_more_than_is_known_of_it() {
        let mut zone = zone("count = 2\nbits-v4 = 20", &addresses(&[1; 9]));
        let mut scope = |client: &str| {
            let question = zone.question("www", client);
            let Decision::Answer(answer) = zone.decide(&question) else { panic!() };
            (answer.addresses, answer.scope)
        };
        let (first, bits) = scope("10.1.16.0/24");
        assert_eq!((first.len(), bits), (2, 20));
        assert_eq!(scope("10.1.31.0/24").0, first, "the same 20 bits");
        assert_eq!(scope("10.0.0.0/8").1, 8);
    }

    #[test]
    fn an_ipv4_client_that_asks_for_ipv6_is_the_same_client() {
        let v6: Vec<Address> = (1..9).map(|n| Address::up(&format!("2001:db8::{n}"))).collect();
        let mut zone = zone("", &v6);
        let question = zone.question("www", "10.1.2.0/24");
        let question = Question { record_type: weir_plugin::dns_answers::AAAA, ..question };
        let Decision::Answer(answer) = zone.decide(&question) else { panic!() };
        assert_eq!(answer.scope, 24);
    }
}
