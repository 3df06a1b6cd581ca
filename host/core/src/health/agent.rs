//! The line that a server's agent says, read as HAProxy reads it.
//!
//! Words are separated by spaces, tabs or commas, in any case and any order; the last word of a category
//! wins; text after a word that starts with `#` is the reason. A word that means nothing does not spoil the
//! others: HAProxy carries those out and shows the first it did not know, and agents in the wild rely on it.
//! Only a line of which *nothing* can be used is an error.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::MAX_WEIGHT;

/// The longest line that is read, its end not counted.
pub const MAX_LINE: usize = 512;
/// The longest reason that is kept, in bytes.
pub const MAX_REASON: usize = 256;
/// The largest percentage, as HAProxy's: any weight but 0 is at 256 by then.
pub(super) const MAX_PERCENT: u32 = 25_600;

/// Whether the agent finds its server fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// `up`
    Up,
    /// `down`, `fail` or `stopped`
    Down,
}

/// What somebody wants done with a server, whatever its health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admin {
    /// Undoes the same one's `drain` and `maint`.
    #[default]
    Ready,
    /// Finish what it has.
    Drain,
    /// Take it out, and do not check it.
    Maint,
}

/// A weight as agents, plugins and operators say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Of the configured weight; over 100 is allowed.
    Percent(u32),
    /// Instead of the configured weight.
    Absolute(u16),
}

impl Weight {
    /// Reads `N%` (0 and up) or `N` (0 to 256).
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_suffix('%') {
            return number(digits).map(|percent| Self::Percent(percent.min(MAX_PERCENT)));
        }
        let weight = u16::try_from(number(text)?).ok()?;
        (weight <= MAX_WEIGHT).then_some(Self::Absolute(weight))
    }

    /// The weight that this makes of a configured one, 0 to 256.
    ///
    /// HAProxy rounds down, so that `50%` of weight 1 takes a server out. Here only `0%` of something is nothing.
    pub fn of(self, configured: u16) -> u16 {
        match self {
            Self::Absolute(weight) => weight.min(MAX_WEIGHT),
            Self::Percent(0) => 0,
            Self::Percent(_) if configured == 0 => 0,
            Self::Percent(percent) => {
                let scaled = u64::from(configured) * u64::from(percent) / 100;
                u16::try_from(scaled).unwrap_or(MAX_WEIGHT).clamp(1, MAX_WEIGHT)
            }
        }
    }
}

/// What an agent's line, or a plugin's verdict, says. Each part stands for itself: `None` leaves what was said before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentReport {
    /// `up`, `down`, `fail`, `stopped`
    pub health: Option<Health>,
    /// `ready`, `drain`, `maint`
    pub admin: Option<Admin>,
    /// `75%`, `weight:75%`, `weight:10`
    pub weight: Option<Weight>,
    /// `maxconn:30`; 0 is no limit.
    pub max_in_flight: Option<u32>,
    /// The text after `#`, without control characters, at most [`MAX_REASON`] bytes.
    pub reason: Option<String>,
    /// The first word that meant nothing, beside others that did. To be shown; it changes nothing.
    pub complaint: Option<AgentError>,
}

impl AgentReport {
    fn is_empty(&self) -> bool {
        self.health.is_none() && self.admin.is_none() && self.weight.is_none() && self.max_in_flight.is_none()
    }

    /// Whether it leaves all as it is, and has nothing to say about it.
    pub(super) fn is_silent(&self) -> bool {
        self.is_empty() && self.reason.is_none()
    }
}

impl fmt::Display for AgentReport {
    /// As an agent would say it; nothing where it says nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = self.health.map(|health| match health {
            Health::Up => "up".to_owned(),
            Health::Down => "down".to_owned(),
        });
        let admin = self.admin.map(|admin| match admin {
            Admin::Ready => "ready".to_owned(),
            Admin::Drain => "drain".to_owned(),
            Admin::Maint => "maint".to_owned(),
        });
        let weight = self.weight.map(|weight| match weight {
            Weight::Percent(percent) => format!("{percent}%"),
            Weight::Absolute(weight) => format!("weight:{weight}"),
        });
        let limit = self.max_in_flight.map(|limit| format!("maxconn:{limit}"));
        let reason = self.reason.as_ref().map(|reason| format!("# {reason}"));
        let words: Vec<String> = [health, admin, weight, limit, reason].into_iter().flatten().collect();
        f.write_str(&words.join(" "))
    }
}

/// What is wrong with an agent's line. The agent is at fault; the state of its server stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// The connection was closed before a line end.
    #[error("the agent's line has no line end: {0:?}")]
    Incomplete(String),
    /// No line end within [`MAX_LINE`] bytes.
    #[error("the agent's line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// A word that is none of the grammar's.
    #[error("the agent said {0:?}, which is no word that agents say")]
    UnknownWord(String),
    /// `%`, `weight:` or `maxconn:` with no number that can be used.
    #[error("the agent said {0:?}, in which the number is missing, wrong or out of range")]
    BadNumber(String),
}

/// Reads what an agent sent: everything up to the first CR or LF. Bytes after it are not looked at.
///
/// # Errors
/// Where nothing of the line can be used: no line end, too long, or only words without meaning.
/// An empty line is a report that says nothing.
pub fn parse(bytes: &[u8]) -> Result<AgentReport, AgentError> {
    let end = bytes.iter().position(|b| matches!(b, b'\r' | b'\n'));
    let line = match end.and_then(|end| bytes.get(..end)) {
        Some(line) if line.len() <= MAX_LINE => line,
        None if bytes.len() <= MAX_LINE => return Err(AgentError::Incomplete(printable(bytes, 64))),
        _ => return Err(AgentError::TooLong),
    };

    let mut report = AgentReport::default();
    let mut rest = line;
    loop {
        rest = trim_start(rest, |b| matches!(b, b' ' | b'\t' | b','));
        match rest.split_first() {
            None => break,
            Some((b'#', text)) => {
                let text = printable(trim_start(text, |b| matches!(b, b' ' | b'\t')), MAX_REASON);
                report.reason = Some(text).filter(|text| !text.is_empty());
                break;
            }
            Some(_) => {}
        }
        let length = rest.iter().position(|b| matches!(b, b' ' | b'\t' | b',')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        rest = after;
        if let Err(error) = take_word(&mut report, word) {
            report.complaint.get_or_insert(error);
        }
    }
    match report.complaint.take() {
        Some(error) if report.is_empty() => Err(error),
        complaint => Ok(AgentReport { complaint, ..report }),
    }
}

fn take_word(report: &mut AgentReport, word: &[u8]) -> Result<(), AgentError> {
    let lower = String::from_utf8_lossy(word).to_ascii_lowercase();
    let bad_number = || AgentError::BadNumber(printable(word, 64));
    match lower.as_str() {
        "up" => report.health = Some(Health::Up),
        "down" | "fail" | "stopped" => report.health = Some(Health::Down),
        "ready" => report.admin = Some(Admin::Ready),
        "drain" => report.admin = Some(Admin::Drain),
        "maint" => report.admin = Some(Admin::Maint),
        other => {
            if let Some(limit) = other.strip_prefix("maxconn:") {
                report.max_in_flight = Some(number(limit).ok_or_else(bad_number)?);
            } else if let Some(weight) = other.strip_prefix("weight:") {
                report.weight = Some(Weight::parse(weight).ok_or_else(bad_number)?);
            } else if other.starts_with(|c: char| c.is_ascii_digit()) && other.contains('%') {
                report.weight = Some(Weight::parse(other).ok_or_else(bad_number)?);
            } else {
                return Err(AgentError::UnknownWord(printable(word, 64)));
            }
        }
    }
    Ok(())
}

/// Decimal digits only: no sign, no blanks. Saturates, as nobody means anything by numbers that large.
fn number(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}

fn trim_start(bytes: &[u8], blank: impl Fn(&u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// Text that can be shown in a terminal and a log: what came from a network must not move a cursor.
pub(super) fn printable(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::new();
    for c in text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }) {
        if shown.len() + c.len_utf8() > most {
            break;
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests;
