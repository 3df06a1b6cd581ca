//! Zones made by chance: wildcards, delegations with and without glue, aliases in chains and circles, redirections, names that
//! exist only because of what is below them, and sets that do not fit a datagram.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::clients::dice::Dice;

/// What names are made of: few, so that they meet.
pub(super) const LABELS: [&str; 9] = ["a", "b", "c", "d", "e", "www", "x-1", "_t", "mixed"];
/// The label of a zone that is below another one, and served beside it.
pub(super) const CHILD: &str = "kid";
/// Names of other zones, which nobody here serves.
pub(super) const ELSEWHERE: [&str; 3] = ["host.other.example.", "other.example.", "a.b.other.example."];

/// What a name is, and so what else it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// Ordinary data.
    Data,
    /// An alias, and nothing else.
    Alias,
    /// The start of a zone that is served elsewhere or here.
    Cut,
    /// A redirection of everything below it.
    Redirect,
}

/// A zone, as a file and for whoever asks about it.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    /// Without a dot at its end.
    pub(super) origin: String,
    /// Owners below the origin, relative; `@` is not among them.
    pub(super) owners: Vec<String>,
    lines: String,
}

impl Zone {
    /// The zone of this number, and with some of them one below it.
    pub(super) fn family(seed: u64, number: usize) -> Vec<Self> {
        let mut dice = Dice::new(seed, 1 + number as u64);
        let origin = format!("z{number}.test");
        let mut maker = Maker::new(&mut dice, &origin);
        let has_child = number.is_multiple_of(4);
        if has_child {
            maker.child();
        }
        let count = 8 + maker.dice.below(24);
        (0..count).for_each(|_| maker.name());
        let mut zones = vec![maker.done()];
        if has_child {
            let mut maker = Maker::new(&mut dice, &format!("kid.{origin}"));
            (0..8).for_each(|_| maker.name());
            zones.push(maker.done());
        }
        zones
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        format!("$ORIGIN {}.\n{}", self.origin, self.lines)
    }
}

struct Maker<'d> {
    dice: &'d mut Dice,
    origin: String,
    names: BTreeMap<String, Is>,
    lines: String,
}

impl<'d> Maker<'d> {
    fn new(dice: &'d mut Dice, origin: &str) -> Self {
        let (ttl, minimum) = (600 + dice.below(3000), 60 + dice.below(4000));
        let mut maker =
            Self { dice, origin: origin.to_owned(), names: BTreeMap::new(), lines: String::new() };
        let _ = writeln!(maker.lines, "@ {ttl} SOA ns1 hostmaster 7 7200 1800 259200 {minimum}");
        maker.add("@", 3600, "NS ns1");
        maker.add("@", 3600, "NS ns.other.example.");
        maker.add("ns1", 3600, "A 192.0.2.1");
        maker.add("ns1", 1800, "AAAA 2001:db8::1");
        maker.names.insert("ns1".into(), Is::Data);
        if maker.dice.chance(0.3) {
            maker.add("loop", 60, "CNAME loop");
            maker.names.insert("loop".into(), Is::Alias);
        }
        if maker.dice.chance(0.5) {
            maker.add("@", 300, "MX 10 mail");
            maker.add("@", 300, "TXT \"apex\"");
        }
        maker
    }

    fn done(self) -> Zone {
        Zone { origin: self.origin, owners: self.names.into_keys().collect(), lines: self.lines }
    }

    fn add(&mut self, owner: &str, ttl: u64, data: &str) {
        let _ = writeln!(self.lines, "{owner} {ttl} {data}");
    }

    /// A delegation to a zone that the same server has.
    fn child(&mut self) {
        self.names.insert("kid".into(), Is::Cut);
        self.add("kid", 900, "NS ns1.kid");
        self.add("kid", 900, "NS ns.other.example.");
        self.add("ns1.kid", 900, "A 192.0.2.1");
        self.add("ns1.kid", 900, "AAAA 2001:db8::1");
        if self.dice.chance(0.5) {
            self.add("kid", 900, DS);
        }
    }

    fn label(&mut self) -> &'static str {
        self.dice.pick(&LABELS).copied().unwrap_or("a")
    }

    fn address(&mut self) -> String {
        format!("A 198.51.100.{}", self.dice.below(250))
    }

    /// A name of the zone or one that looks like it, or one of another zone.
    fn target(&mut self) -> String {
        let known: Vec<String> = self.names.keys().filter(|name| !name.starts_with('*')).cloned().collect();
        match self.dice.below(10) {
            0 | 1 => self.dice.pick(&ELSEWHERE).map(|name| (*name).to_owned()).unwrap_or_default(),
            2 | 3 => {
                let (a, b) = (self.label(), self.label());
                format!("{a}.{b}")
            }
            _ => self.dice.pick(&known).cloned().unwrap_or_else(|| "ns1".into()),
        }
    }

    /// One more name, with what it has. A name that would clash with others is left out.
    fn name(&mut self) {
        let depth = 1 + self.dice.below(3);
        let mut name = (0..depth).map(|_| self.label()).collect::<Vec<_>>().join(".");
        let is_wildcard = self.dice.chance(0.2);
        if is_wildcard {
            name = format!("*.{name}");
        }
        let ttl = 60 * (1 + self.dice.below(50));
        match self.dice.below(20) {
            0..=7 => self.addresses(&name, ttl),
            8 => self.data(&name, ttl, "MX 10 mail"),
            9 => self.data(&name, ttl, "TXT \"a text\" \"and more\""),
            10 => self.big(&name, ttl),
            11 => {
                let target = self.target();
                self.data(&name, ttl, &format!("SRV 1 2 5060 {target}"));
            }
            12 => self.data(&name, ttl, "TYPE65400 \\# 3 abcdef"),
            13..=15 => self.alias(&name, ttl),
            16 | 17 if !is_wildcard => self.cut(&name, ttl),
            18 if !is_wildcard => self.redirect(&name, ttl),
            _ => self.data(&name, ttl, "CAA 0 issue \"ca.example.net\""),
        }
    }

    /// What is above a name, the nearest first, without the origin.
    fn above(name: &str) -> impl Iterator<Item = &str> {
        let mut rest = name;
        std::iter::from_fn(move || {
            rest = rest.split_once('.')?.1;
            Some(rest)
        })
    }

    fn is_below_a(&self, name: &str, wanted: &[Is]) -> bool {
        Self::above(name).any(|above| self.names.get(above).is_some_and(|is| wanted.contains(is)))
    }

    fn has_below(&self, name: &str) -> bool {
        let end = format!(".{name}");
        self.names.keys().any(|each| each.ends_with(&end))
    }

    /// Takes a name for ordinary data.
    fn takes_data(&mut self, name: &str) -> bool {
        let free = self.names.get(name).is_none_or(|is| *is == Is::Data);
        let well = free && !self.is_below_a(name, &[Is::Cut, Is::Redirect]);
        if well {
            self.names.insert(name.to_owned(), Is::Data);
        }
        well
    }

    /// Each set of one name has one TTL: a name that has some data gets no more.
    fn data(&mut self, name: &str, ttl: u64, data: &str) {
        if !self.names.contains_key(name) && self.takes_data(name) {
            self.add(name, ttl, data);
        }
    }

    fn addresses(&mut self, name: &str, ttl: u64) {
        if self.names.contains_key(name) || !self.takes_data(name) {
            return;
        }
        let first = self.dice.below(200);
        for number in 0..=self.dice.below(3) {
            self.add(name, ttl, &format!("A 198.51.100.{}", first + number));
        }
        if self.dice.chance(0.5) {
            self.add(name, ttl + 5, &format!("AAAA 2001:db8::{first:x}"));
        }
        if self.dice.chance(0.2) {
            self.add(name, ttl + 7, "TXT \"beside\"");
        }
    }

    /// A set that fits some sizes and not others.
    fn big(&mut self, name: &str, ttl: u64) {
        if self.names.contains_key(name) || !self.takes_data(name) {
            return;
        }
        for number in 0..3 + self.dice.below(20) {
            self.add(name, ttl, &format!("TXT \"{number:02}{}\"", "0123456789".repeat(7)));
        }
    }

    fn alias(&mut self, name: &str, ttl: u64) {
        if self.names.contains_key(name) || self.is_below_a(name, &[Is::Cut, Is::Redirect]) {
            return;
        }
        let target = self.target();
        self.names.insert(name.to_owned(), Is::Alias);
        self.add(name, ttl, &format!("CNAME {target}"));
    }

    /// A delegation: servers below it with glue, beside it, or elsewhere.
    fn cut(&mut self, name: &str, ttl: u64) {
        let taken = self.names.contains_key(name) || self.has_below(name);
        if taken || self.is_below_a(name, &[Is::Cut, Is::Redirect]) {
            return;
        }
        self.names.insert(name.to_owned(), Is::Cut);
        let kinds = 1 + self.dice.below(7);
        if kinds & 1 != 0 {
            let address = self.address();
            self.add(name, ttl, &format!("NS ns.{name}"));
            self.add(&format!("ns.{name}"), ttl, &address);
            if self.dice.chance(0.5) {
                self.add(&format!("ns.{name}"), ttl, "AAAA 2001:db8::53");
            }
        }
        if kinds & 2 != 0 {
            self.add(name, ttl, "NS ns1");
        }
        if kinds & 4 != 0 {
            self.add(name, ttl, "NS ns.other.example.");
        }
        if self.dice.chance(0.4) {
            self.add(name, ttl, DS);
        }
    }

    fn redirect(&mut self, name: &str, ttl: u64) {
        let taken = self.names.contains_key(name) || self.has_below(name);
        if taken || self.is_below_a(name, &[Is::Cut, Is::Redirect]) {
            return;
        }
        let target = self.target();
        // Into itself it would have no end, and two of the three refuse such a zone.
        if target == name || target.ends_with(&format!(".{name}")) {
            return;
        }
        self.names.insert(name.to_owned(), Is::Redirect);
        self.add(name, ttl, &format!("DNAME {target}"));
        if self.dice.chance(0.3) {
            self.add(name, ttl + 1, "TXT \"own\"");
        }
    }
}

const DS: &str = "DS 1 8 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_zones_each_time_and_all_kinds_of_records_occur() {
        let all = |seed| (0..40).flat_map(|number| Zone::family(seed, number)).collect::<Vec<_>>();
        let text = |zones: &[Zone]| zones.iter().map(Zone::text).collect::<String>();
        assert_eq!(text(&all(1)), text(&all(1)));
        assert_ne!(text(&all(1)), text(&all(2)));
        let text = text(&all(1));
        for kind in [" A ", " AAAA ", " CNAME ", " DNAME ", " NS ns.", " DS ", " TXT ", " SRV ", "\n*."] {
            assert!(text.contains(kind), "{kind}");
        }
        assert_eq!(all(1).len(), 50, "one in four has a child");
    }

    #[test]
    fn nothing_stands_below_a_redirection() {
        for zone in (0..200).flat_map(|number| Zone::family(7, number)) {
            let redirects: Vec<&str> = zone
                .lines
                .lines()
                .filter(|l| l.contains(" DNAME "))
                .filter_map(|l| l.split(' ').next())
                .collect();
            for owner in &zone.owners {
                assert!(!redirects.iter().any(|above| owner.ends_with(&format!(".{above}"))), "{owner}");
            }
        }
    }
}
