//! Answers that are given again: resolvers ask for the same few names with the same bytes, and only the number of the message differs.
//!
//! What is kept is the whole message, so nothing has to be read to know that it is the same. Only answers are kept that depend on nothing
//! but the zones and the turn ([`Reply::turns`]); whoever swaps the zones calls [`Known::clear`]. A message is kept when it comes for the second
//! time in a row at its place, so that those that come once, random names above all, cost a look and no more.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::{How, Reply};
use crate::dns::wire::Rcode;

/// Places for messages: each message has one, and shares it with others.
const PLACES: usize = 1024;

/// The longest message and answer that are kept, bytes: with them and [`MAX_TURNS`] a thread keeps some four megabytes at most.
const MAX_MESSAGE: usize = 128;
const MAX_ANSWER: usize = 512;
const MAX_TURNS: u16 = 8;

/// The answers of one thread.
#[derive(Debug)]
pub struct Known {
    places: Box<[Place]>,
    hasher: FixedState,
}

#[derive(Debug, Default)]
struct Place {
    /// Of the message that was here last without being kept.
    seen: u64,
    kept: Option<Box<Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// Behind its number.
    message: Box<[u8]>,
    said: Said,
    /// One for each turn, as far as it has come up.
    answers: Box<[Option<Box<[u8]>>]>,
}

/// What an answer says, for metrics and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The response code.
    pub rcode: Rcode,
    /// It did not fit.
    pub truncated: bool,
    /// How it came about.
    pub how: How,
}

impl Known {
    /// Nothing is known. `seed` is secret, so that nobody can choose messages that push others out.
    pub fn new(seed: u64) -> Self {
        let places = std::iter::repeat_with(Place::default).take(PLACES).collect();
        Self { places, hasher: FixedState::with_seed(seed) }
    }

    /// The zones are others, or what a server says of itself.
    pub fn clear(&mut self) {
        self.places.iter_mut().for_each(|place| *place = Place::default());
    }

    /// Writes the answer to this message into `out`, which is empty, where it is known.
    pub fn say(&self, message: &[u8], turn: u32, out: &mut Vec<u8>) -> Option<Said> {
        let (number, message) = message.split_at_checked(2)?;
        let kept = self.places.get(at(self.hasher.hash_one(message)))?.kept.as_deref()?;
        if *kept.message != *message {
            return None;
        }
        let answer =
            kept.answers.get(usize::try_from(turn).ok()?.checked_rem(kept.answers.len())?)?.as_deref()?;
        out.extend_from_slice(answer);
        out.get_mut(..2)?.copy_from_slice(number);
        Some(kept.said)
    }

    /// This message got this answer, and was not known.
    pub fn learn(&mut self, message: &[u8], turn: u32, reply: &Reply<'_>, answer: &[u8]) {
        let Some((_, message)) = message.split_at_checked(2) else { return };
        let turns = reply.turns;
        if turns == 0 || turns > MAX_TURNS || message.len() > MAX_MESSAGE || answer.len() > MAX_ANSWER {
            return;
        }
        let hash = self.hasher.hash_one(message);
        let Some(place) = self.places.get_mut(at(hash)) else { return };
        if place.kept.as_ref().is_none_or(|kept| *kept.message != *message) {
            if std::mem::replace(&mut place.seen, hash) != hash {
                return;
            }
            let said = Said { rcode: reply.rcode, truncated: reply.truncated, how: reply.how };
            let answers = std::iter::repeat_with(|| None).take(turns.into()).collect();
            place.kept = Some(Box::new(Kept { message: message.into(), said, answers }));
        }
        let Some(kept) = &mut place.kept else { return };
        let turn = usize::try_from(turn).ok().and_then(|turn| turn.checked_rem(kept.answers.len()));
        if let Some(slot) = turn.and_then(|turn| kept.answers.get_mut(turn)) {
            *slot = Some(answer.into());
        }
    }
}

fn at(hash: u64) -> usize {
    // The number of places is a power of two.
    usize::try_from(hash & (PLACES as u64 - 1)).unwrap_or_default()
}
