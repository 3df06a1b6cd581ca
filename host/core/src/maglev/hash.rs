//! The kernel's `hsiphash` of one 32-bit word, with the two fixed keys of `mh`.

use std::net::IpAddr;

use super::Family;

/// Where a destination starts, and which row a flow has.
pub(super) const FIRST: u64 = 2_654_435_761;
/// How far a destination steps.
pub(super) const SECOND: u64 = 2_654_446_892;

/// SipHash-1-3 of the four bytes of `word` with the key (`key`, `key`), cut to 32 bits: `hsiphash` on a 64-bit kernel.
pub(super) const fn hash(word: u32, key: u64) -> u32 {
    let mut state = [
        key ^ 0x736f_6d65_7073_6575,
        key ^ 0x646f_7261_6e64_6f6d,
        key ^ 0x6c79_6765_6e65_7261,
        key ^ 0x7465_6462_7974_6573,
    ];
    // Four bytes fit in the last block, beside the length.
    let block = 4 << 56 | word as u64;
    state[3] ^= block;
    state = round(state);
    state[0] ^= block;
    state[2] ^= 0xff;
    state = round(round(round(state)));
    (state[0] ^ state[1] ^ state[2] ^ state[3]) as u32
}

const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

/// The word that stands for an address and a port. Neighbours collide: `a.b.c.d:p` is `a.b.c.(d+1):(p-1)`.
///
/// The family is the *service's*: the kernel reads a destination of the other family as if it were of this one.
pub(super) fn word(family: Family, address: IpAddr, port: u16) -> u32 {
    let folded = match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let words = [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32];
            match family {
                Family::V4 => words[0],
                Family::V6 => words.iter().fold(0, |all, word| all ^ word),
            }
        }
    };
    folded.wrapping_add(u32::from(port))
}
