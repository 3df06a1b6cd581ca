//! Chance that repeats: the same seed gives the same sequence, so a run can be told again.

use crate::server::pattern::word;

/// A sequence of numbers that look random.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    /// The sequence of this seed, apart from every other `player`'s.
    pub(crate) fn new(seed: u64, player: u64) -> Self {
        Self { seed: word(seed, player), thrown: 0 }
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.thrown += 1;
        word(self.seed, self.thrown)
    }

    /// A number below `limit`; 0 where the limit is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // The bias of a remainder is below 1e-10 for all that is asked here.
        self.number().checked_rem(limit).unwrap_or(0)
    }

    /// True in this share of the throws, 0 to 1.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        (self.number() >> 11) as f64 / ((1u64 << 53) as f64) < share
    }

    /// One of these; `None` of none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_repeats_and_players_differ() {
        let thrown = |seed, player| {
            let mut dice = Dice::new(seed, player);
            [dice.number(), dice.number(), dice.number()]
        };
        assert_eq!(thrown(1, 2), thrown(1, 2));
        assert_ne!(thrown(1, 2), thrown(1, 3));
        assert_ne!(thrown(1, 2), thrown(2, 2));
    }

    #[test]
    fn a_chance_of_five_percent_is_about_that() {
        let mut dice = Dice::new(1, 1);
        let hits = (0..10_000).filter(|_| dice.chance(0.05)).count();
        assert!((400..600).contains(&hits), "{hits}");
    }
}
