//! Clients by their network, and addresses ranked for each.

use super::{Address, Question};
use crate::{Config, ConfigError};

/// How many bits of a client's address make it one network.
///
/// ```text
/// bits-v4 = 24
/// bits-v6 = 56
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NetworkBits {
    v4: u8,
    v6: u8,
}

impl NetworkBits {
    /// Takes these keys.
    ///
    /// # Errors
    /// A number out of range.
    pub fn take(config: &mut Config<'_>) -> Result<Self, ConfigError> {
        Ok(Self { v4: config.number("bits-v4", 1..=32, 24)?, v6: config.number("bits-v6", 1..=128, 56)? })
    }

    /// Bits of the network of whoever asks, no more than are known. A client is of one family whatever it asks for: A and AAAA
    /// are decided by the same bits.
    pub fn of(self, question: &Question) -> u8 {
        if question.client.len() == 4 { self.v4 } else { self.v6 }.min(question.client_prefix)
    }

    /// Puts addresses into the order of this network: by weight the same ones for as long as they are there (weighted rendezvous
    /// hashing). One that leaves moves its own networks and no others.
    pub fn rank(self, question: &Question, addresses: &[Address], indices: &mut [u32]) {
        let network = hash(0, &masked(&question.client, self.of(question)));
        sort_by_score(indices, |index| {
            let address = addresses.get(index as usize);
            address.map_or(0.0, |a| score(hash(network, &a.ip), a.weight.max(1)))
        });
    }
}

/// The highest score first; each is made once.
pub(super) fn sort_by_score(indices: &mut [u32], mut score_of: impl FnMut(u32) -> f64) {
    let mut scored: Vec<(f64, u32)> = indices.iter().map(|index| (score_of(*index), *index)).collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for (to, (_, index)) in indices.iter_mut().zip(scored) {
        *to = index;
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

/// Of a uniform number and a weight: the highest score of all wins as often as its weight says.
pub(super) fn score(uniform: u64, weight: u32) -> f64 {
    // In (0, 1), never at its ends.
    let uniform = ((uniform >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
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

    #[test]
    fn the_bits_past_a_network_are_not_looked_at() {
        assert_eq!(masked(&[0xff, 0xff, 0xff, 0xff], 20), [0xff, 0xff, 0xf0, 0]);
        assert_eq!(masked(&[0xff, 0xff], 0), [0, 0]);
        assert_eq!(masked(&[0xff, 0xff], 128), [0xff, 0xff]);
    }
}
