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

use weir_plugin::dns_answers::{Address, Decision, DnsAnswers, Names, Order, Question, Settings, best};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The policy.
#[derive(Debug)]
pub struct StickySubnet {
    settings: Settings,
    count: usize,
    bits: (u8, u8),
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
        let bits = (config.number("bits-v4", 1..=32, 24)?, config.number("bits-v6", 1..=128, 56)?);
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
        let (v4, v6) = self.bits;
        // A client is of one family whatever it asks for: A and AAAA of a network are chosen by the same bits.
        let bits = if question.client.len() == 4 { v4 } else { v6 }.min(question.client_prefix);
        let network = hash(0, &masked(&question.client, bits));
        let mut ranked: Vec<(f64, u32)> = best(addresses, question.record_type)
            .into_iter()
            .filter_map(|index| {
                let address = addresses.get(index as usize)?;
                Some((score(hash(network, &address.ip), address.weight.max(1)), index))
            })
            .collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let chosen: Vec<u32> = ranked.into_iter().take(self.count).map(|(_, index)| index).collect();
        if chosen.is_empty() {
            return self.settings.none_up();
        }
        self.settings.answer(&chosen).for_bits(bits, question).into()
    }
}

/// The first bits of an address; the rest is 0.
fn masked(address: &[u8], bits: u8) -> Vec<u8> {
    let mut left = u32::from(bits);
    let keep = |byte: &u8| {
        let kept = left.min(8);
        left -= kept;
        byte & !(0xffu16 >> kept) as u8
    };
    address.iter().map(keep).collect()
}

/// Of a uniform hash and a weight: the highest score of all wins as often as its weight says (weighted rendezvous hashing).
fn score(hash: u64, weight: u32) -> f64 {
    // In (0, 1), never at its ends.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight) / uniform.ln()
}

/// FNV-1a, and then mixed as in SplitMix64: FNV alone leaves neighbours neighbours.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    let fnv = bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mut z = fnv;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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
        assert_eq!(masked(&[0xff, 0xff, 0xff, 0xff], 20), [0xff, 0xff, 0xf0, 0]);
    }
}
