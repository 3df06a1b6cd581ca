//! The state file: which addresses are down, as people and programs write it, in the form of gdnsd's `extfile`.
//!
//! ```text
//! # one line for each address, or several with a comma between
//! 198.51.100.1 => UP
//! 198.51.100.2 => DOWN/17            # 17: the TTL of answers while it is so
//! 2001:db8::198.51.100.* => DOWN     # * stands for any text, ? for one character
//! ```
//!
//! The last line that fits an address counts, so that a general line can stand before its exceptions. Patterns
//! are compared with the address as it is printed (`2001:db8::c633:6401`); an address without `*` and `?` may be
//! written in any form.

use std::net::IpAddr;

use crate::model::State;

/// The longest file that is read, bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The longest TTL, seconds: a week.
const MAX_TTL: u32 = 604_800;

/// What is wrong with a state file. The file before it stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct StateFileError {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// What a state file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateFile {
    rules: Vec<(Pattern, Said)>,
}

/// What is said of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// [`State::Up`] or [`State::Down`].
    pub state: State,
    /// The highest TTL of an answer that depends on it, seconds.
    pub ttl: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Address(IpAddr),
    Glob(Box<str>),
}

impl StateFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that cannot be understood: half a file must not take half of the addresses out.
    pub fn parse(text: &str) -> Result<Self, StateFileError> {
        let mut rules = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default();
            for entry in content.split(',').map(str::trim).filter(|e| !e.is_empty()) {
                rules.push(rule(entry).map_err(|what| StateFileError { line, what })?);
            }
        }
        Ok(Self { rules })
    }

    /// What is said of this address; `None` where no line fits it.
    pub fn of(&self, address: IpAddr) -> Option<Said> {
        let mut printed = None;
        let mut fits = |pattern: &Pattern| match pattern {
            Pattern::Address(exact) => *exact == address,
            Pattern::Glob(glob) => {
                let text = printed.get_or_insert_with(|| address.to_string());
                glob_fits(glob.as_bytes(), text.as_bytes())
            }
        };
        self.rules.iter().rev().find(|(pattern, _)| fits(pattern)).map(|(_, said)| *said)
    }
}

fn rule(entry: &str) -> Result<(Pattern, Said), String> {
    let wrong = || format!("`{entry}` is not understood: write `198.51.100.1 => UP` or `=> DOWN/17`");
    let (key, value) = entry.split_once("=>").ok_or_else(wrong)?;
    let key = key.trim().trim_matches('"');
    let pattern = match key.parse::<IpAddr>() {
        Ok(address) => Pattern::Address(address.to_canonical()),
        Err(_) if key.contains(['*', '?']) => Pattern::Glob(key.to_ascii_lowercase().into()),
        Err(_) => return Err(format!("`{key}` is neither an address nor a pattern with `*` or `?`")),
    };
    let (word, ttl) = match value.trim().split_once('/') {
        Some((word, ttl)) => (word.trim(), Some(ttl.trim())),
        None => (value.trim(), None),
    };
    let state = match () {
        () if word.eq_ignore_ascii_case("up") => State::Up,
        () if word.eq_ignore_ascii_case("down") => State::Down,
        () => return Err(format!("`{word}` is no state: write UP or DOWN")),
    };
    let ttl = match ttl {
        None => None,
        Some(text) => {
            let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_TTL);
            Some(seconds.ok_or_else(|| format!("`{text}` is no TTL: write 0 to {MAX_TTL} seconds"))?)
        }
    };
    Ok((pattern, Said { state, ttl }))
}

/// `*` is any text, `?` one byte. Linear in text and pattern: of several stars only the last is ever tried again.
fn glob_fits(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match glob.get(g) {
            Some(b'*') => {
                retry = Some((g + 1, t));
                g += 1;
                continue;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                (g, t) = (g + 1, t + 1);
                continue;
            }
            _ => {}
        }
        let Some((after, from)) = retry else { return false };
        retry = Some((after, from + 1));
        (g, t) = (after, from + 1);
    }
    glob.iter().skip(g).all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, address: &str) -> Option<(State, Option<u32>)> {
        let said = StateFile::parse(text).unwrap().of(address.parse().unwrap());
        said.map(|said| (said.state, said.ttl))
    }

    #[test]
    fn the_files_of_the_original_stack_are_read() {
        let text = "198.51.100.1 => UP\n2001:db8::198.51.100.1 => DOWN\n\n# nothing\n198.51.100.2 => DOWN/17 # low\n";
        assert_eq!(of(text, "198.51.100.1"), Some((State::Up, None)));
        assert_eq!(of(text, "2001:db8::c633:6401"), Some((State::Down, None)));
        assert_eq!(of(text, "198.51.100.2"), Some((State::Down, Some(17))));
        assert_eq!(of(text, "198.51.100.3"), None);
    }

    #[test]
    fn the_last_line_that_fits_counts() {
        let text = "* => DOWN, 198.51.100.? => UP\n198.51.100.2 => down/3";
        assert_eq!(of(text, "198.51.100.1"), Some((State::Up, None)));
        assert_eq!(of(text, "198.51.100.2"), Some((State::Down, Some(3))));
        assert_eq!(of(text, "198.51.100.10"), Some((State::Down, None)));
        assert_eq!(of("198.51.100.2 => DOWN\n* => UP", "198.51.100.2"), Some((State::Up, None)));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named_and_nothing_is_taken() {
        for (text, line, words) in [
            ("198.51.100.1 => UP\nwww => UP", 2, "neither an address nor a pattern"),
            ("198.51.100.1 = UP", 1, "is not understood"),
            ("198.51.100.1 => DRAIN", 1, "no state"),
            ("198.51.100.1 => DOWN/-1", 1, "no TTL"),
            ("198.51.100.1 => DOWN/604801", 1, "no TTL"),
            ("198.51.100.1 =>", 1, "no state"),
        ] {
            let error = StateFile::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.what.contains(words), "{error}");
        }
    }

    #[test]
    fn a_star_fits_any_text_also_none_and_many_stars_end() {
        for (glob, text, fits) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*b*b*", "abcb", true),
            ("a?c", "ac", false),
            ("", "a", false),
        ] {
            assert_eq!(glob_fits(glob.as_bytes(), text.as_bytes()), fits, "{glob} {text}");
        }
        let (glob, text) = ("*a".repeat(200) + "b", "a".repeat(10_000));
        assert!(!glob_fits(glob.as_bytes(), text.as_bytes()));
    }
}
