//! Numbers by chance, where no two nodes should do the same: pauses, ports, discriminators. Nothing secret comes of them.

use std::hash::{BuildHasher, RandomState};

/// A sequence that is another one in each process.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        // The standard library seeds its hash maps from the kernel.
        Self(RandomState::new().hash_one(0))
    }

    pub(crate) const fn number(&mut self) -> u64 {
        // SplitMix64: good for any seed.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
