//! What a policy of the DNS tier is told and answers, and what becomes of its answer.
//!
//! A [`Chooser`] is one instance, for one worker: a plugin of the world `dns-answers`. It is told of the addresses of names
//! and asked for some of them. Nothing that it says is believed: [`Choice::checked`] takes what is out of range for the failure
//! that it is and cuts the rest to its bounds, and [`Settled::of`] makes addresses of it, with the host's own
//! choice wherever the policy has none.
//!
//! ```text
//!   decide -> Choice -> checked -> Settled::of (rules of the fleet file) -> addresses, ttl, scope, lifetime
//!               | failure                 ^
//!               +------> Fallback --------+
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::MAX_ADDRESSES;
use crate::dns::record::Type;
use crate::model::State;
use crate::schedule::Failure;

/// The longest time that a decision is repeated without asking again.
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// Pairs of the fleet file or of a database of networks; names are unique.
pub type Labels = Arc<[(String, String)]>;

/// An address of a name, as it is now: `address` of `wit/dns-answers.wit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// Itself.
    pub ip: IpAddr,
    /// Outcome of checks, state file and operator together.
    pub state: State,
    /// 0 to 256; 0 is for when nothing else is up.
    pub weight: u16,
    /// 0.0 is idle and 1.0 full; `None` when nobody says.
    pub load: Option<f32>,
    /// Free-form pairs.
    pub labels: Labels,
}

impl Address {
    /// Whether it goes into an answer of this record type.
    pub fn is_of(&self, kind: Type) -> bool {
        match self.ip {
            IpAddr::V4(_) => kind == Type::A,
            IpAddr::V6(_) => kind == Type::AAAA,
        }
    }
}

/// A question to a chooser: `question` of `wit/dns-answers.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The number that [`Chooser::update`] gave for the name.
    pub name: u32,
    /// A or AAAA.
    pub kind: Type,
    /// The client's subnet as the resolver sent it, else the resolver; bits past `prefix` are 0.
    pub client: IpAddr,
    /// Bits of `client` that are known.
    pub prefix: u8,
    /// What the node's database says of the client's network.
    pub labels: Labels,
}

/// What a chooser answers: `decision` of `wit/dns-answers.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// These.
    Answer(Chosen),
    /// Let the host choose.
    Fallback,
    /// No address is good: do this.
    NoneUp(Otherwise),
}

/// Addresses that a chooser wants sent: `answer` of `wit/dns-answers.wit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Indices into the addresses of the name, in the order to be sent.
    pub addresses: Vec<u32>,
    /// Seconds.
    pub ttl: u32,
    /// Bits of the client's address for which it holds; 0 is everybody.
    pub scope: u8,
    /// For how long the host may repeat it without asking.
    pub lifetime: Duration,
}

/// What to do when no address is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Otherwise {
    /// All of them, healthy or not: a server that may answer beats none.
    #[default]
    All,
    /// The set that the fleet file names for this case.
    FallbackSet,
    /// The name exists and has no address.
    NoData,
}

impl Choice {
    /// The same within its bounds: indices that exist and are of the record type asked for, each once, at most
    /// [`MAX_ADDRESSES`]; a scope within what is known of the client; a lifetime of at most [`MAX_LIFETIME`]. An
    /// answer of which nothing is left is [`Choice::Fallback`]: whoever wants none says so.
    ///
    /// # Errors
    /// An index out of range. The plugin is at fault, and the host is to choose.
    pub fn checked(self, question: &Question, addresses: &[Address]) -> Result<Self, Failure> {
        let Self::Answer(mut chosen) = self else { return Ok(self) };
        let count = addresses.len();
        let mut wrong = None;
        let mut seen = 0u64;
        let mut kept = 0;
        chosen.addresses.retain(|index| {
            let at = usize::try_from(*index).unwrap_or(usize::MAX);
            let Some(address) = addresses.get(at) else {
                wrong.get_or_insert(*index);
                return false;
            };
            // Most names have fewer than 64 addresses; a repeated one past them is sent twice and harms nobody.
            let bit = 1u64.checked_shl(*index).unwrap_or(0);
            let keep = kept < MAX_ADDRESSES && seen & bit == 0 && address.is_of(question.kind);
            seen |= bit;
            kept += usize::from(keep);
            keep
        });
        if let Some(index) = wrong {
            return Err(Failure::Invalid(format!("answered with address {index} of {count}")));
        }
        if chosen.addresses.is_empty() {
            return Ok(Self::Fallback);
        }
        chosen.scope = chosen.scope.min(question.prefix);
        chosen.lifetime = chosen.lifetime.min(MAX_LIFETIME);
        Ok(Self::Answer(chosen))
    }
}

/// A policy that can be asked: one instance, for one worker.
///
/// After a [`Failure`] that [poisons](Failure::poisons) it must not be called again.
pub trait Chooser: Send {
    /// The addresses of this name are these now, all of them. Returns the number to ask for them with, which stays with the
    /// name for as long as the instance lives. The same list again (the same `Arc`) costs nothing.
    ///
    /// # Errors
    /// A failure of the policy; the number is of no use then.
    fn update(&mut self, name: &Arc<str>, addresses: &Arc<[Address]>) -> Result<u32, Failure>;

    /// Which of them to answer with. What comes is [checked](Choice::checked).
    ///
    /// # Errors
    /// A failure of the policy: do as for [`Choice::Fallback`] and tell [`ChooserSource::failed`].
    fn decide(&mut self, question: &Question) -> Result<Choice, Failure>;
}

/// The names that a policy decides, with their addresses.
pub type Names = Arc<[(Arc<str>, Arc<[Address]>)]>;

/// Where a policy comes from, across versions, configurations and failures. Shared by the workers; `weir-wasm` implements it
/// for plugins.
pub trait ChooserSource: Send + Sync {
    /// Grows whenever [`ChooserSource::instance`] has another instance for every worker, or none any more. What was decided
    /// under an earlier number is not to be repeated. One atomic load.
    fn generation(&self) -> u64;

    /// The prepared, configured instance for this worker, or `None` while there is none (loading, backing off,
    /// quarantined). Taking it is a move: it is given out once for each generation and, after a failure and its pause, once
    /// again. It was told of the names of the last [`ChooserSource::names`] by another thread, so that
    /// [`Chooser::update`] with the same lists is cheap.
    fn instance(&self, worker: usize) -> Option<Box<dyn Chooser>>;

    /// The names are these now: what new instances are told of before they are given out. Cheap; to be called by whoever
    /// makes the lists, before workers see them.
    fn names(&self, names: Names);

    /// A worker's instance failed. Where the failure poisons, the worker has dropped it and asks
    /// [`ChooserSource::instance`] again from time to time.
    fn failed(&self, worker: usize, generation: u64, hook: &'static str, failure: &Failure);

    /// A worker asked this about this name; some are kept to try the next version with. Some ten nanoseconds.
    fn seen(&self, worker: usize, name: &Arc<str>, question: &Question);
}

/// What the fleet file says of the answers of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The least and most seconds of a policy's TTL. Where they contradict each other, the least counts.
    pub ttl: (u32, u32),
    /// Seconds until the first address could be found to have changed: the TTL of the host's own choices, and the most of a
    /// chooser's. Brought within `ttl`.
    pub own_ttl: u32,
    /// What the host does where it chooses itself and no address is good.
    pub otherwise: Otherwise,
    /// The set for [`Otherwise::FallbackSet`].
    pub fallback_set: Arc<[IpAddr]>,
}

impl Default for Rules {
    /// TTLs of 1 to 60 seconds, 30 of the host's own; all addresses where none is good.
    fn default() -> Self {
        Self { ttl: (1, 60), own_ttl: 30, otherwise: Otherwise::All, fallback_set: Arc::new([]) }
    }
}

/// How an answer's addresses were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The policy named them.
    Policy,
    /// The host took all that are good.
    Healthy,
    /// None is good: all.
    All,
    /// None is good: the set of the fleet file.
    FallbackSet,
    /// None is good: none.
    NoData,
}

impl By {
    /// The word in output and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Healthy => "healthy",
            Self::All => "all",
            Self::FallbackSet => "fallback-set",
            Self::NoData => "no-data",
        }
    }
}

/// What is answered, beside the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// How it was found.
    pub by: By,
    /// Seconds.
    pub ttl: u32,
    /// Bits of the client's address for which it holds; 0 is everybody.
    pub scope: u8,
    /// For how long it may be repeated without asking; a change of any address and of the policy's generation end that at once.
    pub lifetime: Duration,
}

impl Settled {
    /// Writes the addresses of an answer into `out`, whose content is dropped, at most [`MAX_ADDRESSES`].
    ///
    /// `random` is any number that is another one each time: the host's own choices are shuffled by it. Without an address of
    /// the record type there is nothing to decide, and the answer is none.
    pub fn of(
        choice: &Choice,
        kind: Type,
        addresses: &[Address],
        rules: &Rules,
        random: u64,
        out: &mut Vec<IpAddr>,
    ) -> Self {
        out.clear();
        let (least, most) = rules.ttl;
        let ttl = |seconds: u32| seconds.min(most).max(least);
        let own = |by| Self { by, ttl: ttl(rules.own_ttl), scope: 0, lifetime: Duration::ZERO };
        let otherwise = match choice {
            Choice::Answer(chosen) => {
                let at = |index: &u32| addresses.get(usize::try_from(*index).ok()?);
                let named = chosen.addresses.iter().filter_map(at).filter(|address| address.is_of(kind));
                out.extend(named.map(|address| address.ip).take(MAX_ADDRESSES));
                if !out.is_empty() {
                    let Chosen { scope, lifetime, .. } = *chosen;
                    // Whoever chooses, an address may be found dead just as soon.
                    let ttl = ttl(chosen.ttl.min(rules.own_ttl));
                    return Self { by: By::Policy, ttl, scope, lifetime };
                }
                None
            }
            Choice::Fallback => None,
            Choice::NoneUp(otherwise) => Some(*otherwise),
        };
        if otherwise.is_none() {
            take(addresses, kind, |address| address.state == State::Up && address.weight > 0, out);
            if out.is_empty() {
                // Weight 0 is for when nothing else is up.
                take(addresses, kind, |address| address.state == State::Up, out);
            }
            if !out.is_empty() {
                shuffle(out, random);
                out.truncate(MAX_ADDRESSES);
                return own(By::Healthy);
            }
        }
        let by = match otherwise.unwrap_or(rules.otherwise) {
            Otherwise::FallbackSet => {
                let family = if kind == Type::A { IpAddr::is_ipv4 } else { IpAddr::is_ipv6 };
                out.extend(rules.fallback_set.iter().copied().filter(family));
                // A set of the other family, or none, is no set: all of them are better than nothing.
                if out.is_empty() { By::All } else { By::FallbackSet }
            }
            Otherwise::All => By::All,
            Otherwise::NoData => By::NoData,
        };
        if by == By::All {
            // What somebody took out is certain not to answer; what is only down may.
            take(addresses, kind, |address| address.state != State::Maint, out);
            if out.is_empty() {
                take(addresses, kind, |_| true, out);
            }
        }
        shuffle(out, random);
        out.truncate(MAX_ADDRESSES);
        own(by)
    }
}

fn take(addresses: &[Address], kind: Type, wanted: impl Fn(&Address) -> bool, out: &mut Vec<IpAddr>) {
    out.extend(addresses.iter().filter(|a| a.is_of(kind) && wanted(a)).map(|a| a.ip));
}

/// Fisher and Yates', on numbers of SplitMix64.
fn shuffle(list: &mut [IpAddr], mut random: u64) {
    for last in (1..list.len()).rev() {
        random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // Multiply and take the high half: below `last + 1`, which is small.
        let at = ((z >> 32) * (last as u64 + 1)) >> 32;
        list.swap(last, usize::try_from(at).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests;
