//! How busy a server says it is: the number that it says, and how long it is believed.
//!
//! The answer to a check may say it, and checks go on while nothing changes. So a load is kept in steps, and a step is left only for a
//! number that is clearly beyond it: a load that trembles on an edge is no news. One that was not said again is forgotten
//! after as many checks as take a server down.

use std::fmt;

use super::agent::printable;

/// Steps from idle to full.
const STEPS: u16 = 32;
/// Parts of a step that are told apart before it is one: enough that `0.1%` is not nothing.
const PARTS: u16 = 1024;
/// A number this far from the middle of the step that is kept, in parts, is another step's. More than half a step, so that
/// none trembles between two; less than a whole one, so that 0 and 1 are reached.
const LEAVES: u16 = PARTS / 4 * 3;
/// The longest text that may be a number.
const MAX_TEXT: usize = 32;

/// How busy a server is: from 0, idle, to 1, full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Load(u16);

impl Load {
    const FULL: u16 = STEPS * PARTS;

    /// Reads `0.42` or `42%`: digits with at most one dot, blanks around them. More than 1 or 100% is full.
    ///
    /// # Errors
    /// Anything else, as a sentence for an operator. It is what a server said, so it is cut and made printable.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let wrong = || format!("says the load `{}`: write 0.42 or 42%", printable(text, MAX_TEXT));
        let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| wrong())?;
        let (digits, whole) = match text.strip_suffix('%') {
            Some(digits) => (digits, 100.0),
            None => (text, 1.0),
        };
        // What else a float may be written as (a sign, an exponent, `inf`, `nan`) is no load.
        let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.len() <= MAX_TEXT;
        let number: f64 = digits.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
        let part = (number / whole).min(1.0) * f64::from(Self::FULL);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to FULL")]
        let part = part.round() as u16;
        Ok(Self(part))
    }

    /// The same as a number from 0.0 to 1.0.
    pub fn as_f32(self) -> f32 {
        f32::from(self.0) / f32::from(Self::FULL)
    }

    /// The middle of the step that is nearest.
    fn step(self) -> Self {
        Self((self.0 + PARTS / 2) / PARTS * PARTS)
    }
}

impl fmt::Display for Load {
    /// As whole percent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}%", self.as_f32() * 100.0)
    }
}

/// What a server said of its load, from check to check.
#[derive(Debug, Clone, Default)]
pub(super) struct LastLoad {
    /// A step.
    known: Option<Load>,
    /// What the answer to the check says that is under way.
    said: Option<Result<Load, String>>,
    /// Checks in a row that ended without a load.
    silent: u32,
    /// Why what was said last is no load.
    fault: Option<String>,
}

impl LastLoad {
    pub(super) fn load(&self) -> Option<Load> {
        self.known
    }

    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The answer to the check that is under way says so. Counts when that ends.
    pub(super) fn said(&mut self, said: Result<Load, String>) {
        self.said = Some(said);
    }

    /// A check has ended. What was not said by this many of them in a row is forgotten.
    pub(super) fn check_ended(&mut self, patience: u32) {
        match self.said.take() {
            Some(Ok(load)) => {
                let stays = self.known.filter(|known| known.0.abs_diff(load.0) <= LEAVES);
                *self = Self { known: stays.or(Some(load.step())), ..Self::default() };
            }
            other => {
                self.fault = other.and_then(Result::err);
                self.silent = self.silent.saturating_add(1);
                self.known = self.known.filter(|_| self.silent < patience);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Load {
        Load::parse(text.as_bytes()).unwrap()
    }

    /// What is kept of these numbers, said by one check after the other.
    fn kept(numbers: &[&str]) -> Vec<f32> {
        let mut last = LastLoad::default();
        let keep = |number: &&str| {
            last.said(Load::parse(number.as_bytes()));
            last.check_ended(3);
            last.load().map_or(-1.0, Load::as_f32)
        };
        numbers.iter().map(keep).collect()
    }

    #[test]
    fn a_load_is_a_plain_number_or_a_percentage_and_full_at_most() {
        for (text, number) in
            [("0", 0.0), ("0.5", 0.5), (".25", 0.25), ("1.", 1.0), (" 75% ", 0.75), ("12.5%", 0.125)]
        {
            assert_eq!(load(text).as_f32(), number, "{text}");
        }
        let beyond = "9".repeat(MAX_TEXT);
        assert!(["1.01", "42", "101%", beyond.as_str()].iter().all(|text| load(text) == Load(Load::FULL)));
        assert!(load("0.1%") > load("0"));
        assert_eq!((load("0.42").to_string(), load("7%").to_string()), ("42%".into(), "7%".into()));
    }

    #[test]
    fn what_is_no_such_number_is_named_and_can_be_shown() {
        let long = "0".repeat(MAX_TEXT + 1);
        for text in ["", "%", ".", "-0.1", "+1", "1e3", "nan", "inf", "0,42", "0.4.2", "50 %", "0x1", &long] {
            let fault = Load::parse(text.as_bytes()).unwrap_err();
            assert!(fault.len() < 80 && fault.starts_with("says the load `"), "{fault}");
        }
        assert!(!Load::parse(b"\x1b[2J\xff").unwrap_err().contains('\x1b'));
    }

    #[test]
    fn a_load_that_trembles_on_the_edge_of_a_step_is_no_news() {
        // The edge of the steps 16 and 17 of 32 is 0.515625.
        let trembling = kept(&["0.515", "0.516", "0.514", "0.517", "0.5"]);
        assert_eq!(trembling, [0.5; 5]);
        let rising = kept(&["0.5", "0.52", "0.53", "0.52", "0.5"]);
        assert_eq!(rising, [0.5, 0.5, 0.53125, 0.53125, 0.5]);
    }

    #[test]
    fn idle_and_full_are_reached_from_beside_them() {
        assert_eq!(kept(&["0.03125", "0", "0.96875", "1", "0.01"]), [0.03125, 0.0, 0.96875, 1.0, 0.0]);
    }

    #[test]
    fn a_load_that_is_not_said_again_is_forgotten_and_one_that_is_none_is_told() {
        assert_eq!(kept(&["0.5", "busy", "busy", "0.5", "busy", "busy", "busy"])[4..], [0.5, 0.5, -1.0]);
        let mut last = LastLoad::default();
        last.said(Load::parse(b"busy"));
        assert_eq!(last.fault(), None, "it counts when the check has ended");
        last.check_ended(3);
        assert_eq!(last.fault(), Some("says the load `busy`: write 0.42 or 42%"));
        last.check_ended(3);
        assert_eq!(last.fault(), None, "an answer without a load is no wrong one");
    }
}
