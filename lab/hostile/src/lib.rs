//! Hostile bytes for everything that reads them: mutations of real input, thrown at a decoder as an ordinary test.
//!
//! A decoder gets a [`Target`], in a module `hostile` of the crate that has it, and a test:
//!
//! ```ignore
//! #[test]
//! fn bfd_packet() {
//!     weir_hostile::attack(&BfdPacket);
//! }
//! ```
//!
//! That is all of the registration. `cargo test` runs a bounded number of inputs, always the same ones; `cargo lab fuzz` finds the
//! test by its module, runs it for as long as it is told, from another seed each time, and with feedback from the code that each
//! input reaches.
//!
//! What is asked of a decoder beside not to panic: not to hang, not to hold more memory than a multiple of its input
//! ([`Target::memory`]), and whatever [`Target::attack`] asserts itself: most of all that what was understood and is written again is
//! understood as the same.
//!
//! An input that breaks it is made as small as it gets and written to `target/hostile/`; the message says how to have it again. It
//! belongs into the target's corpus then, so that it is tried for ever.
//!
//! | module | is |
//! |---|---|
//! | [`corpus`] | real input, as text in the repository |
//! | [`mutate`] | what is done to it |
//! | [`run`] | inputs one after the other, and what is worth keeping of them |
//! | [`guard`] | what an input is not allowed to do |
//! | [`memory`] | what is allocated by whom |
//! | [`coverage`] | which code an input has reached, where the compiler was asked to count |
//! | [`smaller`] | less of an input that breaks something |

pub mod corpus;
mod coverage;
mod dice;
mod guard;
mod memory;
mod mutate;
mod run;
mod smaller;

use std::fmt::{Debug, Write};

pub use dice::Dice;
pub use memory::Memory;
pub use run::attack;

/// A decoder, and what it is told.
pub trait Target {
    /// Its name: that of its test, in messages and file names.
    fn name(&self) -> &'static str;

    /// Real input to begin with. Each of them is tried as it is first.
    fn corpus(&self) -> Vec<Vec<u8>>;

    /// Has these bytes read, and asserts what must be true of the result. What it gives tells results of different kinds apart: an
    /// input with a result that was not seen before is worth more mutations.
    fn attack(&self, bytes: &[u8]) -> Shape;

    /// Repairs what nearly every mutation breaks and nothing would get past, such as the length of the whole. Called for most inputs,
    /// not for all.
    fn mend(&self, bytes: &mut Vec<u8>) {
        let _ = bytes;
    }

    /// Words that mean something in the format.
    fn words(&self) -> &'static [&'static [u8]] {
        &[]
    }

    /// The most that one call may hold at once.
    fn memory(&self) -> Memory {
        Memory::default()
    }

    /// The longest input, bytes.
    fn longest(&self) -> usize {
        4096
    }
}

/// What kind of result came of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape(u64);

impl Shape {
    /// By its variants and fields, not by the numbers in it; of a long one by its beginning.
    pub fn of(result: &impl Debug) -> Self {
        let mut hash = Hash { state: 0xcbf2_9ce4_8422_2325, left: 512, digits: false };
        // Ends early with an error once enough is read.
        let _ = write!(hash, "{result:?}");
        Self(hash.state)
    }

    /// Of several results, in their order.
    pub fn of_all(shapes: impl IntoIterator<Item = Self>) -> Self {
        let fold = |state, shape: Self| Dice::new(state ^ shape.0).number();
        Self(shapes.into_iter().fold(0, fold))
    }
}

/// FNV-1a over text whose numbers are all the same.
struct Hash {
    state: u64,
    left: usize,
    digits: bool,
}

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            let digit = byte.is_ascii_digit();
            if !(digit && self.digits) {
                let byte = if digit { b'0' } else { byte };
                self.state = (self.state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                self.left = self.left.checked_sub(1).ok_or(std::fmt::Error)?;
            }
            self.digits = digit;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_of_the_kind_of_a_result_and_not_of_its_numbers() {
        let of = |result: Result<Vec<u32>, &str>| Shape::of(&result);
        assert_eq!(of(Ok(vec![1])), of(Ok(vec![23_456])));
        assert_ne!(of(Ok(vec![1])), of(Ok(vec![1, 1])));
        assert_ne!(of(Ok(vec![])), of(Err("")));
        assert_ne!(of(Err("short")), of(Err("long")));
        let [one, other] = [of(Err("short")), of(Err("long"))];
        assert_ne!(Shape::of_all([one, other]), Shape::of_all([other, one]));
    }
}
