//! Times and sizes: a whole number and a unit.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use super::written_as_text;

/// A length of time: a whole number and a unit of `us`, `ms`, `s`, `m`, `h`, `d`, such as `"500ms"`. At most 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

impl Period {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);
    const MAX: Duration = Duration::from_secs(365 * 86400);

    /// This many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for Period {
    type Target = Duration;
    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// The units of a [`Period`], largest first, in microseconds.
const TIME_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
];

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no time: write a whole number and us, ms, s, m, h or d, such as \"500ms\"")
        };
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let micros = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let time = number.checked_mul(micros).map(Duration::from_micros);
        time.filter(|t| *t <= Self::MAX).map(Self).ok_or_else(|| format!("`{text}` is longer than 365 days"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros == 0 {
            return f.write_str("0s");
        }
        let fits = TIME_UNITS.iter().find(|(_, unit)| micros.is_multiple_of(u128::from(*unit)));
        let (name, unit) = fits.copied().unwrap_or(("us", 1));
        write!(f, "{}{name}", micros / u128::from(unit))
    }
}

written_as_text!(Period, "a time such as \"500ms\", \"2s\" or \"1m\"", "^[0-9]+(us|ms|s|m|h|d)$");

/// An amount of memory: a whole number and a unit of `B`, `KiB`, `MiB`, `GiB`, such as `"16MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// This many KiB.
    pub const fn from_kib(kib: u32) -> Self {
        Self((kib as u64) << 10)
    }

    /// This many MiB.
    pub const fn from_mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no size: write a whole number and B, KiB, MiB or GiB, such as \"16MiB\"");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        number.checked_mul(bytes).map(Self).ok_or_else(|| format!("`{text}` is more than can be counted"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = SIZE_UNITS.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (name, unit) = fits.copied().unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

written_as_text!(Size, "a size such as \"16MiB\"", "^[0-9]+(B|KiB|MiB|GiB)$");

/// Splits `"500ms"` into 500 and `ms`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}
