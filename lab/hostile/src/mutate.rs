//! What is done to real input: what a broken sender does by accident and a hostile one on purpose.

use crate::dice::Dice;

/// Changes on top of each other at most.
const STACKED: usize = 6;
/// Numbers at which decoders change their minds; cut to the width that they are written with.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    3,
    4,
    0x10,
    0x20,
    0x7f,
    0x80,
    0xfe,
    0xff,
    0x100,
    0x1000,
    0x7fff,
    0x8000,
    0xfffe,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    u64::MAX,
];

/// Changes an input a few times. `others` are inputs to take pieces of.
pub(crate) fn mutate(
    bytes: &mut Vec<u8>,
    others: &[Vec<u8>],
    words: &[&[u8]],
    longest: usize,
    dice: &mut Dice,
) {
    for _ in 0..=dice.below(STACKED) {
        change(bytes, others, words, dice);
        bytes.truncate(longest);
    }
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], words: &[&[u8]], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(14) {
        0 => alter(bytes, at, |byte, dice| byte ^ 1 << dice.below(8), dice),
        1 => alter(bytes, at, |_, dice| dice.number() as u8, dice),
        2 => alter(bytes, at, |byte, dice| byte.wrapping_add(1 + dice.below(16) as u8), dice),
        3 => alter(bytes, at, |byte, dice| byte.wrapping_sub(1 + dice.below(16) as u8), dice),
        4 => {
            let edge = dice.pick(&EDGES).copied().unwrap_or_default();
            write(bytes, at, edge, dice);
        }
        // Twice as likely as others: most decoders fall over lengths.
        5 | 6 => lie(bytes, at, dice),
        7 => bytes.truncate(at),
        8 => {
            let end = at + dice.below(bytes.len() - at + 1).min(64);
            bytes.drain(at..end);
        }
        9 => {
            let end = at + dice.below(bytes.len() - at + 1).min(64);
            let piece = bytes.get(at..end).unwrap_or_default().to_vec();
            insert(bytes, at, &piece);
        }
        10 => {
            let filler = [0, 0xff, dice.number() as u8].get(dice.below(3)).copied().unwrap_or_default();
            let piece = vec![filler; 1 + dice.below(32)];
            insert(bytes, at, &piece);
        }
        11 => {
            let piece: Vec<u8> = (0..=dice.below(16)).map(|_| dice.number() as u8).collect();
            insert(bytes, at, &piece);
        }
        12 => {
            let Some(other) = dice.pick(others) else { return };
            let from = dice.below(other.len());
            let piece = other.get(from..).unwrap_or_default();
            if dice.one_in(2) {
                // One that begins as this one and ends as the other.
                bytes.truncate(at);
                bytes.extend_from_slice(piece);
            } else {
                insert(bytes, at, piece.get(..dice.below(piece.len() + 1)).unwrap_or_default());
            }
        }
        _ => {
            let Some(word) = dice.pick(words) else { return };
            if dice.one_in(2) {
                insert(bytes, at, word);
            } else if let Some(place) = bytes.get_mut(at..at + word.len()) {
                place.copy_from_slice(word);
            }
        }
    }
}

fn alter(bytes: &mut [u8], at: usize, to: impl Fn(u8, &mut Dice) -> u8, dice: &mut Dice) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = to(*byte, dice);
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, piece.iter().copied());
}

/// Overwrites a number of 1, 2, 4 or 8 bytes in either order.
fn write(bytes: &mut [u8], at: usize, number: u64, dice: &mut Dice) {
    let width = 1 << dice.below(4);
    put(bytes, at, width, dice.one_in(2), number);
}

fn put(bytes: &mut [u8], at: usize, width: usize, little: bool, number: u64) {
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    let all = if little { number.to_le_bytes() } else { number.to_be_bytes() };
    let of = if little { all.get(..width) } else { all.get(all.len() - width..) };
    place.copy_from_slice(of.unwrap_or_default());
}

/// Makes a lie of a number that may well be a length: one that does not reach beyond the end.
fn lie(bytes: &mut [u8], start: usize, dice: &mut Dice) {
    let (width, little) = (1 << dice.below(3), dice.one_in(2));
    let places = start..bytes.len().saturating_sub(width);
    for at in places.take(64) {
        let Some(place) = bytes.get(at..at + width) else { return };
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let number = if little { place.iter().rev().fold(0, fold) } else { place.iter().fold(0, fold) };
        let rest = (bytes.len() - at) as u64;
        if number == 0 || number > rest {
            continue;
        }
        let lies = [
            0,
            number - 1,
            number + 1,
            number + 2,
            number.saturating_sub(2),
            rest,
            rest - width as u64,
            rest + 1,
            number * 2,
            u64::MAX,
        ];
        put(bytes, at, width, little, dice.pick(&lies).copied().unwrap_or_default());
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_too_short_to_be_changed_and_nothing_grows_beyond_its_limit() {
        let mut dice = Dice::new(1);
        let others = [vec![], vec![1], (0..200).collect()];
        for round in 0..50_000 {
            let mut bytes: Vec<u8> = (0..round % 70).map(|at| at as u8).collect();
            mutate(&mut bytes, &others, &[b"word", b""], 100, &mut dice);
            assert!(bytes.len() <= 100);
        }
    }

    #[test]
    fn a_length_is_found_and_made_a_lie() {
        let mut lies = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let mut bytes = vec![0, 6, 1, 2, 3, 4, 5, 6];
            lie(&mut bytes, 0, &mut Dice::new(seed));
            lies.insert(u16::from_be_bytes([bytes[0], bytes[1]]));
        }
        for lie in [0, 5, 7, 8, 9, 0xffff] {
            assert!(lies.contains(&lie), "{lie} of {lies:?}");
        }
    }

    #[test]
    fn numbers_are_written_in_both_orders() {
        let mut bytes = [0; 4];
        put(&mut bytes, 0, 2, false, 0x0102);
        put(&mut bytes, 2, 2, true, 0x0102);
        assert_eq!(bytes, [1, 2, 2, 1]);
        put(&mut bytes, 3, 2, true, 0xffff);
        assert_eq!(bytes, [1, 2, 2, 1], "not beyond the end");
    }
}
