//! A random number generator inside the plugin, so that a choice does not cost a call of the host.

use crate::env;

/// SplitMix64: two multiplications for 64 bits. Good for choosing and no good for keys.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Seeded by the host, so that the instances of different workers choose differently.
    pub fn from_host() -> Self {
        Self(env::random())
    }

    /// Always the same numbers for the same seed.
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to and without `limit`; 0 for a limit of 0. One value in 2^32 / `limit` too often at most.
    pub const fn below(&mut self, limit: u32) -> u32 {
        // Multiply and take the high half: a division costs more than the whole generator.
        (((self.bits() >> 32) * limit as u64) >> 32) as u32
    }

    /// Puts a list into a random order, each as likely as any other.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let at = self.below(u32::try_from(last + 1).unwrap_or(u32::MAX));
            list.swap(last, at as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_their_limit_and_spread_evenly() {
        let mut random = Random::from_seed(1);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[random.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|c| c.abs_diff(10_000) < 400), "{counts:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn every_order_is_as_likely_as_any_other() {
        let mut random = Random::from_seed(1);
        let mut orders = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut list = [1, 2, 3];
            random.shuffle(&mut list);
            *orders.entry(list).or_insert(0u32) += 1;
        }
        assert!(orders.len() == 6 && orders.values().all(|n| n.abs_diff(1000) < 150), "{orders:?}");
    }
}
