//! Weir's four speakers, and what each of them is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::REASON;
use super::brand::{ALL, Brand};
use super::route::Seen;

/// The AS of all neighbors. It needs four bytes.
pub(super) const THEIRS: u32 = 4_200_000_099;
/// The key that neighbors have for `outer` and `misled`.
pub(super) const KEY: &str = "sesame";

/// Intervals of 300 ms without a packet until BFD gives up: more than usual, since on a busy machine a neighbor may be held up for a second.
pub(super) const BFD_MULTIPLIER: u8 = 10;

/// One of Weir's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker {
    /// Its node.
    pub(super) node: &'static str,
    /// The end of its addresses.
    pub(super) number: u8,
    /// Its AS.
    pub(super) own_as: u32,
}

pub(super) const OUTER: Speaker = Speaker { node: "outer", number: 1, own_as: 4_200_000_001 };
pub(super) const INNER: Speaker = Speaker { node: "inner", number: 2, own_as: THEIRS };
pub(super) const MISLED: Speaker = Speaker { node: "misled", number: 3, own_as: 4_200_000_003 };
pub(super) const FAR: Speaker = Speaker { node: "far", number: 4, own_as: 4_200_000_004 };
/// All of them.
pub(super) const SPEAKERS: [Speaker; 4] = [OUTER, INNER, MISLED, FAR];

/// Routes of each.
pub(super) const ROUTES: usize = 4;

impl Speaker {
    pub(super) fn v4(&self) -> String {
        format!("10.99.0.{}", self.number)
    }

    pub(super) fn v6(&self) -> String {
        format!("fd99::{}", self.number)
    }

    /// What its neighbors know it by.
    pub(super) fn address(&self) -> String {
        if self.node == INNER.node { self.v6() } else { self.v4() }
    }

    /// What it announces: the first of each family with all attributes, the second plainly.
    pub(super) fn prefixes(&self) -> [String; ROUTES] {
        let number = self.number;
        [
            format!("198.51.100.{number}/32"),
            format!("2001:db8:77::{number}/128"),
            format!("198.51.100.10{number}/32"),
            format!("2001:db8:77::10{number}/128"),
        ]
    }
}

/// Whether a prefix is announced by any of Weir's.
pub(super) fn is_weirs(prefix: &str) -> bool {
    prefix.starts_with("198.51.100.") || prefix.starts_with("2001:db8:77::")
}

/// Whether a prefix is announced by this one.
pub(super) fn is_of(speaker: &Speaker, prefix: &str) -> bool {
    speaker.prefixes().iter().any(|own| own == prefix)
}

/// What a speaker is told.
pub(super) struct Wish {
    speaker: Speaker,
    /// The second prefix of each family is not announced.
    pub(super) hide_second: bool,
    /// Withdrawn, gracefully.
    pub(super) leaves: bool,
    /// And the sessions ended.
    pub(super) stops: bool,
    /// How long the first stage of that takes.
    pub(super) fade: Duration,
}

impl Wish {
    pub(super) fn of(speaker: &Speaker) -> Self {
        Self { speaker: *speaker, hide_second: false, leaves: false, stops: false, fade: Duration::ZERO }
    }

    fn is_internal(&self) -> bool {
        self.speaker.node == INNER.node
    }

    fn announced(&self) -> impl Iterator<Item = (usize, String)> + '_ {
        let shown = if self.hide_second { 2 } else { ROUTES };
        self.speaker.prefixes().into_iter().enumerate().take(shown)
    }

    /// What it serves, announced or not.
    pub(super) fn addresses(&self) -> Vec<String> {
        let single = |prefix: &String| prefix.split('/').next().unwrap_or_default().to_owned();
        self.speaker.prefixes().iter().map(single).collect()
    }

    /// As the sidecar is told it.
    pub(super) fn speaker(&self) -> Value {
        let number = self.speaker.number;
        let routes: Vec<Value> = self
            .announced()
            .map(|(at, prefix)| match at {
                0 | 1 => json!({
                    "prefix": prefix, "med": 50, "prepend": 1, "local_preference": 300,
                    "communities": [[65000, number], [64999, 7]],
                    "large_communities": [[4_200_000_001_u32, 1, number]],
                }),
                _ => json!({ "prefix": prefix }),
            })
            .collect();
        let wish = match (self.stops, self.leaves) {
            (true, _) => "stop",
            (_, true) => "leave",
            _ => "announce",
        };
        json!({
            "local_as": self.speaker.own_as,
            "router_id": self.speaker.v4(),
            "listen": [format!("{}:179", self.speaker.v4()), format!("[{}]:179", self.speaker.v6())],
            "neighbors": ALL.map(|brand| self.neighbor(brand)),
            "routes": routes,
            "wish": wish,
            "pauses": { "fade": time(self.fade), "drain": time(Duration::from_millis(300)) },
            "reason": REASON,
        })
    }

    fn neighbor(&self, brand: Brand) -> Value {
        let internal = self.is_internal();
        let address = if internal { brand.v6() } else { brand.v4() };
        let mut neighbor = json!({
            "name": brand.node(),
            "address": address,
            "peer_as": THEIRS,
            "passive": internal,
            // Where there is BFD, nothing else shall be able to explain an end.
            "hold": time(Duration::from_secs(if brand.watches(&self.speaker) { 90 } else { 6 })),
            "next_hop": { "v4": self.speaker.v4(), "v6": self.speaker.v6() },
            "first_pause": time(Duration::from_millis(200)),
            "longest_pause": time(Duration::from_secs(1)),
        });
        if self.speaker.node != FAR.node && !internal {
            neighbor["key"] = json!(if self.speaker.node == MISLED.node { "mustard" } else { KEY });
        }
        if [OUTER.node, FAR.node].contains(&self.speaker.node) {
            neighbor["distance"] = json!({ "secured": 1 });
        }
        if brand.watches(&self.speaker) {
            let often = time(Duration::from_millis(300));
            neighbor["bfd"] =
                json!({ "send_every": often, "receive_every": often, "multiplier": BFD_MULTIPLIER });
        }
        neighbor
    }

    /// What a neighbor shall have of it: each prefix that it may announce, `None` where it does not.
    pub(super) fn expected(&self) -> BTreeMap<String, Option<Seen>> {
        let mut expected: BTreeMap<String, Option<Seen>> =
            self.speaker.prefixes().into_iter().map(|prefix| (prefix, None)).collect();
        for (at, prefix) in self.announced() {
            let hop = if prefix.contains(':') { self.speaker.v6() } else { self.speaker.v4() };
            let rich = at < 2;
            let times = if self.is_internal() { 0 } else { 1 + usize::from(rich) };
            let preference = self.is_internal().then_some(if rich { 300 } else { 100 });
            let number = u16::from(self.speaker.number);
            let seen = Seen {
                next_hop: hop.parse().ok(),
                path: vec![self.speaker.own_as; times],
                med: rich.then_some(50),
                preference,
                communities: if rich {
                    BTreeSet::from([(64999, 7), (65000, number)])
                } else {
                    BTreeSet::new()
                },
                large: if rich {
                    BTreeSet::from([(4_200_000_001, 1, number.into())])
                } else {
                    BTreeSet::new()
                },
            };
            expected.insert(prefix, Some(seen));
        }
        expected
    }
}

/// As the sidecar reads times.
fn time(time: Duration) -> Value {
    json!({ "secs": time.as_secs(), "nanos": time.subsec_nanos() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_within_an_as_there_is_a_preference_and_no_path() {
        let outer = Wish::of(&OUTER).expected();
        let inner = Wish::of(&INNER).expected();
        let first = |all: &BTreeMap<String, Option<Seen>>, prefix| all[prefix].clone().unwrap();
        let seen = first(&outer, "198.51.100.1/32");
        assert_eq!((seen.path, seen.preference), (vec![OUTER.own_as; 2], None));
        let seen = first(&inner, "2001:db8:77::2/128");
        assert_eq!((seen.path, seen.preference), (vec![], Some(300)));
    }

    #[test]
    fn what_is_hidden_is_expected_not_to_be_there() {
        let wish = Wish { hide_second: true, ..Wish::of(&OUTER) };
        let expected = wish.expected();
        assert_eq!(expected["198.51.100.101/32"], None);
        assert!(expected["198.51.100.1/32"].is_some());
        assert_eq!(wish.speaker()["routes"].as_array().unwrap().len(), 2);
    }
}
