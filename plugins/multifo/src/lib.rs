//! Multifo: all addresses that are up; while too few are, all there are. gdnsd's plugin of this name.
//!
//! **When to use it.** Several equal addresses, and clients that try the next one. The threshold keeps a broken check, or a
//! site that is mostly dead, from sending everybody to the one address that is left. IPv4 and IPv6 are decided apart; weights
//! play no part.
//!
//! **What it costs.** A call for each query, since the order is drawn anew; with `order = listed` or a `repeat-ms`, next to
//! nothing.
//!
//! **Configuration.** Beside `ttl`, `order` (`shuffled`), `repeat-ms` (0) and `none-up`:
//!
//! ```text
//! # Percent of the addresses that have to be up, rounded up; else all are answered. 0 never does so. gdnsd's `up_thresh`.
//! up-threshold = 50
//! # Whether all are answered whatever their state: `yes` or `no`.
//! ignore-health = no
//! ```

use weir_plugin::dns_answers::{A, AAAA, Address, Decision, DnsAnswers, Names, Order, Question, Settings};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The policy.
#[derive(Debug)]
pub struct Multifo {
    settings: Settings,
    up_threshold: usize,
    ignore_health: bool,
    chosen: Names<[Vec<u32>; 2]>,
}

weir_plugin::export_dns_answers!(Multifo);

impl Plugin for Multifo {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let settings = Settings::take(&mut config, Order::Shuffled)?;
        let up_threshold = config.number("up-threshold", 0..=100, 50)?;
        let ignore_health = config.word("ignore-health", &[("yes", true), ("no", false)], false)?;
        config.finish()?;
        Ok(Self { settings, up_threshold, ignore_health, chosen: Names::default() })
    }
}

impl DnsAnswers for Multifo {
    fn update(&mut self, name: &str, addresses: &[Address]) {
        let chosen = [A, AAAA].map(|record_type| self.choose(addresses, record_type));
        self.chosen.set(name, chosen);
    }

    fn decide(&mut self, question: &Question) -> Decision {
        let Some([v4, v6]) = self.chosen.of(question) else { return Decision::Fallback };
        self.settings.decide(if question.record_type == A { v4 } else { v6 })
    }
}

impl Multifo {
    fn choose(&self, addresses: &[Address], record_type: u16) -> Vec<u32> {
        let of_type = || (0..).zip(addresses).filter(|(_, address)| address.is_of(record_type));
        let all: Vec<u32> = of_type().map(|(index, _)| index).collect();
        if self.ignore_health {
            return all;
        }
        let up: Vec<u32> =
            of_type().filter(|(_, address)| address.state.is_up()).map(|(index, _)| index).collect();
        if up.len() < (all.len() * self.up_threshold).div_ceil(100) { all } else { up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::Zone;

    /// The answer for IPv4, sorted, with `up` of `all` addresses up.
    fn ask(config: &str, up: usize, all: usize) -> Vec<String> {
        let mut zone = Zone::<Multifo>::new(config).unwrap();
        let mut addresses: Vec<Address> = (0..all).map(|n| Address::up(&format!("192.0.2.{n}"))).collect();
        addresses.iter_mut().skip(up).for_each(|address| address.state = State::Down);
        addresses.push(Address::up("2001:db8::1"));
        zone.update("www", &addresses);
        let mut answer = zone.ask("www", "0.0.0.0/0");
        answer.sort();
        answer
    }

    #[test]
    fn half_of_them_rounded_up_have_to_be_up() {
        // What gdnsd answers: up of all -> how many.
        for (up, all, answered) in [
            (2, 2, 2),
            (1, 2, 1),
            (0, 2, 2),
            (3, 3, 3),
            (2, 3, 2),
            (1, 3, 3),
            (0, 3, 3),
            (3, 5, 3),
            (2, 5, 5),
            (1, 1, 1),
            (0, 1, 1),
        ] {
            assert_eq!(ask("", up, all).len(), answered, "{up} of {all}");
        }
        assert_eq!(ask("", 1, 2), ["192.0.2.0"]);
    }

    #[test]
    fn the_threshold_and_health_can_be_set_aside() {
        assert_eq!(ask("up-threshold = 10", 1, 10).len(), 1);
        assert_eq!(ask("up-threshold = 100", 9, 10).len(), 10);
        assert_eq!(ask("up-threshold = 0", 1, 10).len(), 1);
        assert!(ask("up-threshold = 0", 0, 10).is_empty(), "the host decides");
        assert_eq!(ask("ignore-health = yes", 3, 4).len(), 4);
    }

    #[test]
    fn families_are_judged_apart_and_the_order_is_drawn() {
        let mut zone = Zone::<Multifo>::new("").unwrap();
        let down = |ip| Address::up(ip).in_state(State::Down);
        zone.update(
            "www",
            &[down("192.0.2.1"), down("192.0.2.2"), Address::up("2001:db8::1"), down("2001:db8::2")],
        );
        assert_eq!(zone.count("www", "192.0.2.0/24", 400).len(), 2, "both, in both orders");
        assert_eq!(zone.ask("www", "2001:db8::/32"), ["2001:db8::1"]);
    }
}
