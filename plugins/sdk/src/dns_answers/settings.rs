//! What every plugin of this repository that chooses addresses can be told about its answers.

use std::ops::RangeInclusive;

use super::network::{score, sort_by_score};
use super::{Address, Answer, Decision, Otherwise};
use crate::{Config, ConfigError, Random};

/// The most addresses of an answer.
const MOST: usize = 64;
/// TTLs that make sense: 0 is for those who want to be asked each time, a week is what resolvers cap at.
const TTL: RangeInclusive<u32> = 0..=604_800;

/// For how long an answer may be repeated, milliseconds.
const REPEAT_MS: RangeInclusive<u32> = 0..=3_600_000;
/// For how long one is that is the same until an address changes, where nothing is said of it.
const LISTED_MS: u32 = 60_000;

/// In which order addresses are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As the plugin lists them. The answer is the same until an address changes.
    Listed,
    /// Drawn anew for each query.
    Shuffled,
}

/// TTL, order, repetition, and what is done when nothing is up:
///
/// ```text
/// # Seconds; without it, and at most, the time in which an address could be found to have changed, within the fleet file's bounds.
/// ttl = 30
/// # `listed` or `shuffled`.
/// order = shuffled
/// # For how many milliseconds the host may repeat an answer without asking, while no address changes.
/// repeat-ms = 100
/// # When no address is up: `host` does as the fleet file says, or `all`, `fallback-set`, `no-data`.
/// none-up = all
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    ttl: u32,
    order: Order,
    /// `None`: nothing was said of it.
    repeat_ms: Option<u32>,
    /// What is answered is drawn anew for each query.
    draws: bool,
    none_up: Decision,
    random: Random,
}

impl Settings {
    /// Takes these keys. Without a word, the order is this one; what is drawn anew for each query is not repeated, and
    /// anything else for a minute.
    ///
    /// # Errors
    /// A number out of range, or another word.
    pub fn take(config: &mut Config<'_>, order: Order) -> Result<Self, ConfigError> {
        let ttl = config.number("ttl", TTL, u32::MAX)?;
        let order =
            config.word("order", &[("listed", Order::Listed), ("shuffled", Order::Shuffled)], order)?;
        let repeat_ms = config.number("repeat-ms", REPEAT_MS, u32::MAX)?;
        let repeat_ms = Some(repeat_ms).filter(|said| REPEAT_MS.contains(said));
        let words = [
            ("host", None),
            ("all", Some(Otherwise::All)),
            ("fallback-set", Some(Otherwise::FallbackSet)),
            ("no-data", Some(Otherwise::NoData)),
        ];
        let none_up = config.word("none-up", &words, None)?.map_or(Decision::Fallback, Decision::NoneUp);
        let draws = order == Order::Shuffled;
        Ok(Self { ttl, order, repeat_ms, draws, none_up, random: Random::from_host() })
    }

    /// What is answered is drawn anew for each query, whatever the order: without a word of `repeat-ms` it is not repeated.
    #[must_use]
    pub fn drawing(self) -> Self {
        Self { draws: true, ..self }
    }

    /// These addresses for everybody, in this order or shuffled; without any, what is done when nothing is up.
    pub fn decide(&mut self, addresses: &[u32]) -> Decision {
        if addresses.is_empty() { self.none_up.clone() } else { self.answer(addresses).into() }
    }

    /// These addresses for everybody, at least one.
    pub fn answer(&mut self, addresses: &[u32]) -> Answer {
        let mut addresses = addresses.to_vec();
        if self.order == Order::Shuffled {
            self.random.shuffle(&mut addresses);
        }
        addresses.truncate(MOST);
        let repeat_ms = self.repeat_ms.unwrap_or(if self.draws { 0 } else { LISTED_MS });
        Answer::of(addresses).with_ttl(self.ttl).for_ms(repeat_ms)
    }

    /// Puts addresses into an order that is drawn by weight, as if one after the other were drawn among those that are left.
    pub fn draw(&mut self, addresses: &[Address], indices: &mut [u32]) {
        let weight = |index: u32| addresses.get(index as usize).map_or(1, |address| address.weight.max(1));
        sort_by_score(indices, |index| score(self.random.bits(), weight(index)));
    }

    /// What is done when nothing is up.
    pub fn none_up(&self) -> Decision {
        self.none_up.clone()
    }

    /// Random numbers, for what else is drawn.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, order: Order) -> Result<Settings, ConfigError> {
        let mut config = Config::parse(text)?;
        let settings = Settings::take(&mut config, order)?;
        config.finish()?;
        Ok(settings)
    }

    #[test]
    fn what_is_listed_is_repeated_and_what_is_drawn_is_not() {
        let mut listed = settings("", Order::Listed).unwrap();
        assert_eq!(listed.answer(&[3, 1, 2]), Answer::of(vec![3, 1, 2]).for_ms(60_000));
        let mut shuffled = settings("ttl = 9", Order::Shuffled).unwrap();
        let mut answer = shuffled.answer(&[3, 1, 2]);
        answer.addresses.sort_unstable();
        assert_eq!(answer, Answer::of(vec![1, 2, 3]).with_ttl(9));
        let mut told = settings("order = listed\nrepeat-ms = 7", Order::Shuffled).unwrap();
        assert_eq!(told.answer(&[3, 1]), Answer::of(vec![3, 1]).for_ms(7));
        let many: Vec<u32> = (0..100).collect();
        assert_eq!(told.answer(&many).addresses.len(), MOST);
    }

    #[test]
    fn without_an_address_the_operator_decides() {
        assert_eq!(settings("", Order::Listed).unwrap().decide(&[]), Decision::Fallback);
        let words = [
            ("all", Otherwise::All),
            ("fallback-set", Otherwise::FallbackSet),
            ("no-data", Otherwise::NoData),
        ];
        for (word, otherwise) in words {
            let mut settings = settings(&format!("none-up = {word}"), Order::Listed).unwrap();
            assert_eq!(settings.decide(&[]), Decision::NoneUp(otherwise));
        }
        assert!(settings("none-up = maybe", Order::Listed).is_err());
    }
}
