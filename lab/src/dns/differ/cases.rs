//! Questions about zones: names that there are, names near them, names that never were; common types and odd ones.

use std::fmt;

use super::zones::{ELSEWHERE, LABELS, Zone};
use crate::clients::dice::Dice;
use crate::dns::query::{Query, ask_class, kind};

/// Types, each with its share of the questions.
const KINDS: [(u16, u64); 18] = [
    (kind::A, 30),
    (kind::AAAA, 12),
    (kind::TXT, 12),
    (kind::MX, 6),
    (kind::CNAME, 6),
    (kind::NS, 8),
    (kind::SOA, 5),
    (kind::DS, 5),
    (kind::DNAME, 4),
    (kind::SRV, 3),
    (kind::CAA, 2),
    (kind::ANY, 4),
    (65400, 2),
    (65280, 1),
    (12, 1),
    (kind::RRSIG, 1),
    (13, 1),
    (99, 1),
];

/// The class in which servers speak of themselves. BIND limits how many answers in it one client gets.
pub(super) const CHAOS: u16 = 3;

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// As it is sent.
    pub(super) query: Query,
    /// The name, with a dot at its end.
    pub(super) name: String,
    /// The type.
    pub(super) kind: u16,
    /// The class.
    pub(super) class: u16,
    /// The size that the client takes over UDP, where it says one, and the version of EDNS.
    pub(super) edns: Option<(u16, u8)>,
}

impl Case {
    /// A question about one of these zones.
    pub(super) fn new(dice: &mut Dice, zones: &[Zone]) -> Self {
        let mut name = name(dice, zones);
        if dice.chance(0.2) {
            name = name.chars().map(|c| if dice.chance(0.5) { c.to_ascii_uppercase() } else { c }).collect();
        }
        let kind = weighted(dice);
        let class = match dice.below(100) {
            0 | 1 => 255,
            2 => CHAOS,
            3 => 4,
            _ => 1,
        };
        let mut query = ask_class(&name, kind, class);
        if dice.chance(0.5) {
            // Without RD.
            query = query.with(|bytes| bytes[2] = 0);
        }
        let mut edns = None;
        if dice.chance(0.5) {
            let size = dice.pick(&[0, 512, 600, 1232, 1232, 1232, 4096, 65535]).copied().unwrap_or(1232);
            let version = u8::from(dice.chance(0.04));
            let dnssec_ok = if dice.chance(0.2) { 0x80 } else { 0 };
            query = query.opt(size, [0, version, dnssec_ok, 0], &[]);
            edns = Some((size, version));
        }
        // What may have no answer is not asked over a connection, which would wait for it.
        query.tcp = dice.chance(0.1) && class != CHAOS;
        Self { query, name, kind, class, edns }
    }

    /// With the number of the question on the wire.
    pub(super) fn numbered(mut self, number: usize) -> Self {
        // Below the one number that is asked with behind them.
        let id = u16::try_from(number % usize::from(u16::MAX)).unwrap_or_default();
        self.query = self.query.numbered(id);
        self
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} TYPE{} CLASS{}", self.name, self.kind, self.class)?;
        if let Some((size, version)) = self.edns {
            write!(f, " edns={version}/{size}")?;
        }
        f.write_str(if self.query.tcp { " over TCP" } else { "" })
    }
}

fn weighted(dice: &mut Dice) -> u16 {
    let mut left = dice.below(KINDS.iter().map(|(_, share)| share).sum());
    for (kind, share) in KINDS {
        if left < share {
            return kind;
        }
        left -= share;
    }
    kind::A
}

fn name(dice: &mut Dice, zones: &[Zone]) -> String {
    let Some(zone) = dice.pick(zones) else { return ".".into() };
    let owner = dice.pick(&zone.owners).cloned().unwrap_or_default();
    let label = |dice: &mut Dice| dice.pick(&LABELS).copied().unwrap_or("a");
    let relative = match dice.below(100) {
        0..=39 => owner,
        40..=59 => format!("{}.{owner}", label(dice)),
        60..=64 => format!("{}.{}.{owner}", label(dice), label(dice)),
        65..=74 => owner.split_once('.').map_or(String::new(), |(_, above)| above.to_owned()),
        75..=84 => format!("{}.{}", label(dice), label(dice)),
        85..=88 => format!("*.{}", owner.trim_start_matches("*.")),
        89..=90 => format!("{}.*.{}", label(dice), owner.trim_start_matches("*.")),
        91..=92 => {
            format!("{}.{owner}", "long-label-of-many-letters-and-more.".repeat(5).trim_end_matches('.'))
        }
        93..=95 => String::new(),
        96 => format!("kid.{owner}"),
        _ => return dice.pick(&ELSEWHERE).map(|name| (*name).to_owned()).unwrap_or_default(),
    };
    let dot = if relative.is_empty() { "" } else { "." };
    format!("{relative}{dot}{}.", zone.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_asks_the_same_each_time() {
        let zones: Vec<Zone> = (0..4).flat_map(|number| Zone::family(1, number)).collect();
        let all = |seed| {
            let mut dice = Dice::new(seed, 0);
            (0..500).map(|_| Case::new(&mut dice, &zones).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
        assert!(all(3).iter().any(|case| case.contains("over TCP")));
    }
}
