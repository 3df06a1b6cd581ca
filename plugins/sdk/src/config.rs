//! `key = value` lines, the form of configuration that the plugins of this repository read.
//!
//! ```text
//! # a comment
//! table-size = 65537
//! ```
//!
//! A plugin is free to read any other form. This one is small (a parser of TOML or JSON is larger than most plugins), and its
//! errors name the line, as an operator wants them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::ConfigError;

/// Configuration that is being read: each setting is taken out, and [`Config::finish`] complains about the rest.
#[derive(Debug)]
pub struct Config<'a> {
    lines: Vec<Line<'a>>,
    known: Vec<&'static str>,
}

#[derive(Debug)]
struct Line<'a> {
    number: usize,
    key: &'a str,
    value: &'a str,
}

impl<'a> Config<'a> {
    /// Splits a text into its lines. Empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// A line without `=`, or a key that was set before.
    pub fn parse(text: &'a str) -> Result<Self, ConfigError> {
        let mut lines: Vec<Line<'a>> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(ConfigError::Malformed(format!("line {number}: `{line}` is not `key = value`")));
            };
            let (key, value) = (key.trim(), value.trim());
            if let Some(first) = lines.iter().find(|l| l.key == key) {
                let first = first.number;
                return Err(ConfigError::Malformed(format!(
                    "line {number}: `{key}` was set in line {first}"
                )));
            }
            lines.push(Line { number, key, value });
        }
        Ok(Self { lines, known: Vec::new() })
    }

    /// The value of a key as it is written; `None` when it is not set.
    pub fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.take(key).map(|line| line.value)
    }

    /// A number within a range; `default` when it is not set.
    ///
    /// # Errors
    /// Not a number, or out of range.
    pub fn number<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        default: T,
    ) -> Result<T, ConfigError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(Line { number, value, .. }) = self.take(key) else { return Ok(default) };
        match value.parse::<T>() {
            Ok(n) if range.contains(&n) => Ok(n),
            Ok(_) | Err(_) => {
                let (least, most) = (range.start(), range.end());
                Err(ConfigError::Invalid(format!(
                    "line {number}: `{key}` is `{value}`, must be a number from {least} to {most}"
                )))
            }
        }
    }

    /// One of some words; `default` when it is not set.
    ///
    /// # Errors
    /// Another word.
    pub fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> Result<T, ConfigError> {
        let Some(Line { number, value, .. }) = self.take(key) else { return Ok(default) };
        match words.iter().find(|(word, _)| *word == value) {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                let words = words.join(", ");
                Err(ConfigError::Invalid(format!(
                    "line {number}: `{key}` is `{value}`, must be one of {words}"
                )))
            }
        }
    }

    /// All keys that begin with this, which ends in a dot, in the order of their lines: what is behind the prefix, and the value.
    pub fn all(&mut self, prefix: &'static str) -> Vec<(&'a str, &'a str)> {
        self.known.push(prefix);
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lines).into_iter().partition(|line| line.key.starts_with(prefix));
        self.lines = left;
        taken.into_iter().filter_map(|line| Some((line.key.strip_prefix(prefix)?, line.value))).collect()
    }

    /// To be called when every setting was taken.
    ///
    /// # Errors
    /// A key is left that nobody asked for: the operator misspelled it.
    pub fn finish(self) -> Result<(), ConfigError> {
        let Some(Line { number, key, .. }) = self.lines.first() else { return Ok(()) };
        let known: Vec<_> = self.known.iter().map(|k| format!("`{k}`")).collect();
        let known = if known.is_empty() {
            "there is nothing to set".to_owned()
        } else {
            format!("known are {}", known.join(", "))
        };
        Err(ConfigError::Invalid(format!("line {number}: unknown key `{key}`; {known}")))
    }

    fn take(&mut self, key: &'static str) -> Option<Line<'a>> {
        self.known.push(key);
        let at = self.lines.iter().position(|line| line.key == key)?;
        Some(self.lines.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(u32, bool, Option<String>), ConfigError> {
        let mut config = Config::parse(text)?;
        let size = config.number("size", 1..=100, 7)?;
        let order = config.word("order", &[("up", true), ("down", false)], true)?;
        let note = config.text("note").map(str::to_owned);
        config.finish()?;
        Ok((size, order, note))
    }

    fn complaint(text: &str) -> String {
        match read(text) {
            Ok(value) => panic!("{text:?} gave {value:?}"),
            Err(ConfigError::Malformed(text) | ConfigError::Invalid(text)) => text,
        }
    }

    #[test]
    fn the_empty_text_gives_the_defaults() {
        assert_eq!(read(""), Ok((7, true, None)));
        assert_eq!(read("\n  # nothing\n\n"), Ok((7, true, None)));
    }

    #[test]
    fn settings_are_read_in_any_order() {
        let text = "note = a = b\n order=down\n\tsize =\t100";
        assert_eq!(read(text), Ok((100, false, Some("a = b".into()))));
    }

    #[test]
    fn complaints_name_the_line_and_what_would_be_right() {
        assert_eq!(complaint("size"), "line 1: `size` is not `key = value`");
        assert_eq!(complaint("size = 1\n\nsize = 2"), "line 3: `size` was set in line 1");
        assert_eq!(complaint("\nsize = 101"), "line 2: `size` is `101`, must be a number from 1 to 100");
        assert_eq!(complaint("size = x"), "line 1: `size` is `x`, must be a number from 1 to 100");
        assert_eq!(
            complaint("order = sideways"),
            "line 1: `order` is `sideways`, must be one of `up`, `down`"
        );
        assert_eq!(complaint("sise = 1"), "line 1: unknown key `sise`; known are `size`, `order`, `note`");
    }

    #[test]
    fn keys_with_a_prefix_are_taken_in_their_order() {
        let mut config = Config::parse("map.b = 1\nsize = 2\nmap.a = 3").unwrap();
        assert_eq!(config.all("map."), [("b", "1"), ("a", "3")]);
        assert_eq!(config.number("size", 0..=9, 0), Ok(2));
        assert_eq!(config.finish(), Ok(()));
    }

    #[test]
    fn a_plugin_without_settings_says_so() {
        let config = Config::parse("a = 1").unwrap();
        let expected = "line 1: unknown key `a`; there is nothing to set";
        assert_eq!(config.finish(), Err(ConfigError::Invalid(expected.into())));
    }
}
