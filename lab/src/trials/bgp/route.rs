//! A route as a neighbor has it, in words that all of them share.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// GRACEFUL_SHUTDOWN of RFC 8326.
const FADING: (u16, u16) = (65535, 0);

/// What a neighbor says of a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) next_hop: Option<IpAddr>,
    pub(super) path: Vec<u32>,
    pub(super) med: Option<u32>,
    pub(super) preference: Option<u32>,
    pub(super) communities: BTreeSet<(u16, u16)>,
    pub(super) large: BTreeSet<(u32, u32, u32)>,
}

impl Seen {
    /// Whether what is expected was seen. Who shows what he made of it has a preference and a MED for every route; only who shows
    /// what came can tell that none came.
    pub(super) fn fits(&self, seen: &Self, as_it_came: bool) -> bool {
        let free =
            |expected: Option<u32>, seen: Option<u32>| expected == seen || expected.is_none() && !as_it_came;
        self.next_hop == seen.next_hop
            && self.path == seen.path
            && self.communities == seen.communities
            && self.large == seen.large
            && free(self.med, seen.med)
            && free(self.preference, seen.preference)
    }

    /// Whether traffic is asked to go elsewhere.
    pub(super) fn fades(&self) -> bool {
        self.communities.contains(&FADING)
    }
}

/// A community as a number of 32 bits.
pub(super) fn halves(number: u64) -> Option<(u16, u16)> {
    Some((u16::try_from(number >> 16).ok()?, u16::try_from(number & 0xffff).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sent_may_be_made_up_only_by_who_does_not_show_what_came() {
        let expected = Seen::default();
        let seen = Seen { preference: Some(100), ..Seen::default() };
        assert!(expected.fits(&seen, false) && !expected.fits(&seen, true));
        let path = Seen { path: vec![1], ..Seen::default() };
        assert!(!expected.fits(&path, false));
    }

    #[test]
    fn a_community_has_two_halves() {
        assert_eq!(halves(0xffff_0000), Some(FADING));
        assert_eq!(halves(65000 << 16 | 1), Some((65000, 1)));
        assert_eq!(halves(1 << 32), None);
    }
}
