//! Decisions that may be repeated: for how long, and for which clients.
//!
//! A decision holds for all clients that agree in its first `scope` bits. So a decision is found under its policy,
//! its type and the client's address cut to that many bits; which lengths there are is known for each policy and
//! type, and a policy mostly has one.
//!
//! A decision that wanted to know as many bits as were known, or more, is another matter: its scope was cut to those. It holds for queries
//! that tell just as much, and for no others (RFC 7871 §7.3.1): what was decided for 128.0.0.0/1 says nothing of a client whose
//! whole address is known.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::dns::answer::choose::By;
use crate::dns::record::Type;
use crate::time::Moment;

/// Decisions that are kept on one thread; where one more comes, all are forgotten. A policy that looks at every /24 of IPv4 alone
/// would have sixteen million.
const MAX_KEPT: usize = 32_768;

/// A decision, ready to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) addresses: Box<[IpAddr]>,
    pub(super) by: By,
    pub(super) ttl: u32,
    pub(super) scope: u8,
    /// From then on the policy is asked again.
    pub(super) until: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    policy: u32,
    kind: Type,
    scope: u8,
    /// Nothing but the scope was known of the client: it is for queries that tell no more.
    is_cut: bool,
    is_v4: bool,
    network: u128,
}

/// The decisions of one thread under one table.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kept: HashMap<Key, Kept>,
    /// A bit for each length of a scope, by policy, type and family.
    scopes: HashMap<(u32, Type, bool), [u64; 3]>,
}

impl Repeats {
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.scopes.clear();
    }

    /// The decision for this client, if there is one that still holds. The narrowest counts.
    pub(super) fn find(
        &self,
        policy: u32,
        kind: Type,
        client: IpAddr,
        prefix: u8,
        now: Moment,
    ) -> Option<&Kept> {
        let is_v4 = client.is_ipv4();
        let lengths = self.scopes.get(&(policy, kind, is_v4))?;
        let longest = (0..=prefix).rev().filter(|scope| has(lengths, *scope));
        longest
            .flat_map(|scope| {
                let key = Key { policy, kind, scope, is_cut: false, is_v4, network: network(client, scope) };
                let cut = (scope == prefix).then_some(Key { is_cut: true, ..key });
                cut.into_iter().chain([key])
            })
            .filter_map(|key| self.kept.get(&key))
            .find(|kept| now < kept.until)
    }

    /// Keeps a decision that was made for this client, of whom so many bits are known.
    pub(super) fn keep(&mut self, policy: u32, kind: Type, client: IpAddr, prefix: u8, kept: Kept) {
        if self.kept.len() >= MAX_KEPT {
            self.clear();
        }
        let (scope, is_v4) = (kept.scope, client.is_ipv4());
        let lengths = self.scopes.entry((policy, kind, is_v4)).or_default();
        if let Some(word) = lengths.get_mut(usize::from(scope / 64)) {
            *word |= 1 << (scope % 64);
        }
        let is_cut = scope >= prefix;
        self.kept.insert(Key { policy, kind, scope, is_cut, is_v4, network: network(client, scope) }, kept);
    }
}

fn has(lengths: &[u64; 3], scope: u8) -> bool {
    lengths.get(usize::from(scope / 64)).is_some_and(|word| word >> (scope % 64) & 1 == 1)
}

/// The first `bits` of an address, at the upper end of a number.
fn network(address: IpAddr, bits: u8) -> u128 {
    let number = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
    number & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn kept(ttl: u32, scope: u8) -> Kept {
        Kept { addresses: Box::new([]), by: By::Policy, ttl, scope, until: Moment::from_micros(100) }
    }

    fn find(repeats: &Repeats, client: &str, prefix: u8, now: u64) -> Option<u32> {
        repeats.find(0, Type::A, ip(client), prefix, Moment::from_micros(now)).map(|k| k.ttl)
    }

    #[test]
    fn a_decision_is_repeated_to_clients_within_its_scope_until_it_ends() {
        let mut repeats = Repeats::default();
        repeats.keep(0, Type::A, ip("192.0.2.7"), 32, kept(1, 24));
        assert_eq!(find(&repeats, "192.0.2.200", 32, 99), Some(1));
        assert_eq!(find(&repeats, "192.0.2.200", 32, 100), None, "its time is over");
        assert_eq!(find(&repeats, "192.0.3.7", 32, 0), None, "another network");
        assert_eq!(find(&repeats, "192.0.2.0", 20, 0), None, "the resolver tells less than the scope needs");
        assert_eq!(find(&repeats, "c000:0207::", 32, 0), None, "another family with the same bits");
        assert!(repeats.find(0, Type::AAAA, ip("192.0.2.7"), 32, Moment::ZERO).is_none());
        assert!(repeats.find(1, Type::A, ip("192.0.2.7"), 32, Moment::ZERO).is_none());
    }

    #[test]
    fn the_narrowest_decision_counts_and_scope_0_is_everybody() {
        let mut repeats = Repeats::default();
        repeats.keep(0, Type::A, ip("192.0.2.7"), 32, kept(0, 0));
        repeats.keep(0, Type::A, ip("192.0.2.7"), 32, kept(24, 24));
        repeats.keep(0, Type::A, ip("192.0.2.7"), 32, kept(32, 32));
        repeats.keep(0, Type::A, ip("2001:db8::7"), 128, kept(128, 128));
        assert_eq!(find(&repeats, "192.0.2.7", 32, 0), Some(32));
        assert_eq!(find(&repeats, "192.0.2.7", 24, 0), Some(24));
        assert_eq!(find(&repeats, "198.51.100.1", 32, 0), Some(0));
        assert_eq!(find(&repeats, "2001:db8::7", 128, 0), Some(128));
        assert_eq!(find(&repeats, "2001:db8::8", 128, 0), None);
    }

    #[test]
    fn a_decision_about_a_network_that_was_all_that_was_known_is_for_those_who_tell_no_more() {
        let mut repeats = Repeats::default();
        repeats.keep(0, Type::A, ip("128.0.0.0"), 1, kept(1, 1));
        assert_eq!(find(&repeats, "128.0.0.0", 1, 0), Some(1));
        assert_eq!(find(&repeats, "192.0.2.0", 24, 0), None);
        assert_eq!(find(&repeats, "192.0.2.7", 32, 0), None, "a resolver that sends no network");
        // Of this one more was known than it wanted, so it is for all within; the other stays.
        repeats.keep(0, Type::A, ip("192.0.2.7"), 32, kept(2, 1));
        assert_eq!(find(&repeats, "192.0.2.0", 24, 0), Some(2));
        assert_eq!(find(&repeats, "128.0.0.0", 1, 0), Some(1));
        repeats.keep(0, Type::A, ip("198.51.100.0"), 24, kept(3, 22));
        repeats.keep(0, Type::A, ip("198.51.100.0"), 22, kept(4, 22));
        assert_eq!(find(&repeats, "198.51.103.0", 24, 0), Some(3));
        assert_eq!(find(&repeats, "198.51.100.0", 22, 0), Some(4));
        assert_eq!(find(&repeats, "198.51.100.0", 23, 0), Some(3));
    }

    #[test]
    fn memory_is_bounded() {
        let mut repeats = Repeats::default();
        for number in 0..100_000u32 {
            repeats.keep(0, Type::A, IpAddr::V4(number.into()), 32, kept(1, 32));
            assert!(repeats.kept.len() <= MAX_KEPT);
        }
    }
}
