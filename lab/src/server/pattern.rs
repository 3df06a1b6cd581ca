//! A body whose every byte is a known function of its seed and its offset. Whoever knows the seed can tell a byte that
//! was changed, lost, doubled or taken from another connection, without a copy of the body anywhere.
//!
//! Eight bytes come of one step of SplitMix64 over the word's number: 1 to 2 GB a second, no state to carry.

/// The odd constant of SplitMix64: words that follow each other share no bits.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the bits of one number over all 64.
pub(crate) const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The number `index` of the sequence that `seed` starts.
pub(crate) const fn word(seed: u64, index: u64) -> u64 {
    mixed(mixed(seed).wrapping_add(index.wrapping_add(1).wrapping_mul(STEP)))
}

/// Writes the body's bytes from `offset` on into `piece`.
pub(crate) fn fill(seed: u64, offset: u64, piece: &mut [u8]) {
    let inside = (offset % 8) as usize;
    let head = piece.len().min((8 - inside) % 8);
    let (first, rest) = piece.split_at_mut(head);
    for (byte, value) in first.iter_mut().zip(word(seed, offset / 8).to_le_bytes().iter().skip(inside)) {
        *byte = *value;
    }
    for (index, chunk) in (offset.div_ceil(8)..).zip(rest.chunks_mut(8)) {
        let bytes = word(seed, index).to_le_bytes();
        match <&mut [u8; 8]>::try_from(&mut *chunk) {
            Ok(whole) => *whole = bytes,
            Err(_) => chunk.iter_mut().zip(bytes).for_each(|(byte, value)| *byte = value),
        }
    }
}

/// Compares a body with what it should be, piece by piece as it comes.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    seed: u64,
    offset: u64,
    right: u64,
    first_wrong: Option<u64>,
}

impl Verifier {
    /// Nothing of the body of `seed` has come yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, offset: 0, right: 0, first_wrong: None }
    }

    /// Takes the next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let mut expected = [0; 1024];
        for piece in bytes.chunks(expected.len()) {
            let (expected, _) = expected.split_at_mut(piece.len());
            fill(self.seed, self.offset, expected);
            if expected == piece {
                self.right += piece.len() as u64;
            } else {
                for (index, (byte, wanted)) in (self.offset..).zip(piece.iter().zip(expected.iter())) {
                    if byte == wanted {
                        self.right += 1;
                    } else if self.first_wrong.is_none() {
                        self.first_wrong = Some(index);
                    }
                }
            }
            self.offset += piece.len() as u64;
        }
    }

    /// Bytes taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.offset
    }

    /// Bytes that were what they should be.
    pub(crate) fn right(&self) -> u64 {
        self.right
    }

    /// Offset of the first byte that was not.
    pub(crate) fn first_wrong(&self) -> Option<u64> {
        self.first_wrong
    }
}

/// FNV-1a over 64 bits: shows that two sides saw the same bytes. Cheap; no protection against malice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// The digest of nothing.
    pub(crate) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Takes the next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.0 =
            bytes.iter().fold(self.0, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    }

    /// Sixteen hexadecimal digits.
    pub(crate) fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_from_any_offset_is_that_part_of_the_whole() {
        let mut whole = vec![0; 100];
        fill(7, 0, &mut whole);
        for start in 0..40 {
            for length in 0..40 {
                let mut piece = vec![0; length];
                fill(7, start as u64, &mut piece);
                assert_eq!(piece, whole[start..start + length], "{start} {length}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_found_at_its_offset() {
        let mut body = vec![0; 5000];
        fill(1, 0, &mut body);
        body[3210] ^= 1;
        let mut verifier = Verifier::new(1);
        body.chunks(7).for_each(|piece| verifier.take(piece));
        assert_eq!((verifier.first_wrong(), verifier.right()), (Some(3210), 4999));
    }

    #[test]
    fn a_lost_byte_and_the_body_of_another_seed_are_wrong() {
        let mut body = vec![0; 4096];
        fill(1, 0, &mut body);
        let mut verifier = Verifier::new(1);
        verifier.take(&body[..100]);
        verifier.take(&body[101..]);
        assert_eq!(verifier.first_wrong(), Some(100));
        let mut verifier = Verifier::new(2);
        verifier.take(&body);
        assert!(verifier.right() < 100, "{}", verifier.right());
    }

    #[test]
    fn the_digest_is_fnv_1a_and_the_same_over_any_pieces() {
        let mut digest = Digest::EMPTY;
        digest.take(b"foo");
        digest.take(b"bar");
        assert_eq!(digest.text(), "85944171f73967e8");
    }
}
