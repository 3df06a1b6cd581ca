//! What is wrong with a fleet file, printed as a compiler does: place, sentence, the line, and a mark under it.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// The most faults that are reported: nobody reads more before the first is mended, and a text of a million
/// wrong fields must not cost a million readings.
const MAX_FAULTS: usize = 50;

/// The longest line of the file that is printed, characters.
const MAX_SHOWN: usize = 160;

/// The longest message, bytes.
const MAX_MESSAGE: usize = 500;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The name of the file, as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
    /// The line of the file.
    pub text: String,
    /// How many characters of the line are meant.
    pub width: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        let number = self.line.to_string();
        // A long line is shown from a little before the mark.
        let skip = if self.column > MAX_SHOWN { self.column - MAX_SHOWN / 2 } else { 0 };
        let shown: String = self.text.chars().skip(skip).take(MAX_SHOWN).collect();
        // Tabs stay tabs below the line, so that the mark stands where the terminal shows the text.
        let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
        let indent: String = self.text.chars().skip(skip).take(self.column - 1 - skip).map(blank).collect();
        let width = self.width.min(MAX_SHOWN);
        writeln!(f, "  {number} | {shown}")?;
        write!(f, "  {:w$} | {indent}{}", "", "^".repeat(width), w = number.len())
    }
}

/// Everything that is wrong with a fleet file, at least one [`Fault`], in the order of the lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Errors {
    faults: Vec<Fault>,
}

impl Errors {
    /// The faults, in the order of the lines.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        if self.faults.len() >= MAX_FAULTS {
            f.write_str("\nand perhaps more: mend these first")?;
        }
        Ok(())
    }
}

/// Faults as they are found: byte ranges of one text.
pub(super) struct Faults<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<(Range<usize>, String)>,
}

impl<'t> Faults<'t> {
    pub(super) const fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Adds one, unless the same was said of the same place or there are enough.
    pub(super) fn add(&mut self, at: Range<usize>, mut message: String) {
        // A value is repeated in its message, however long it is.
        if message.len() > MAX_MESSAGE {
            message.truncate(floor_char(&message, MAX_MESSAGE));
            message.push_str("...");
        }
        let fault = (at, message);
        if !self.is_full() && !self.found.contains(&fault) {
            self.found.push(fault);
        }
    }

    /// The line at a byte of the text, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text.get(..floor_char(self.text, at)).unwrap_or_default().matches('\n').count() + 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= MAX_FAULTS
    }

    pub(super) fn into_errors(mut self) -> Errors {
        self.found.sort_by_key(|(at, _)| at.start);
        let found = std::mem::take(&mut self.found);
        Errors { faults: found.into_iter().map(|(at, message)| self.fault(at, message)).collect() }
    }

    fn fault(&self, at: Range<usize>, message: String) -> Fault {
        let start = floor_char(self.text, at.start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let end = floor_char(self.text, at.end.max(start)).min(line_start + line.len());
        let width = self.text.get(start..end).unwrap_or_default().chars().count().max(1);
        Fault {
            file: self.file.to_owned(),
            line: self.line(start),
            column,
            message,
            text: line.to_owned(),
            width,
        }
    }
}

/// The last boundary of a character that is not after `index`.
fn floor_char(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// "`a`, `b` and `c`", or "none".
pub(super) fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The name that was probably meant: the nearest one, if a typing error leads to it and to no other.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut known: Vec<(usize, &str)> = known.map(|k| (distance(name, k), k)).collect();
    known.sort_unstable();
    let (near, second) = (known.first()?, known.get(1));
    let allowed = (name.chars().count().max(near.1.chars().count()) / 3).max(1);
    (near.0 <= allowed && second.is_none_or(|second| second.0 > near.0)).then_some(near.1)
}

/// How many characters must be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        let (mut left, mut previous) = (i + 1, None);
        for (j, y) in b.iter().copied().enumerate() {
            let at = |r: &[usize], k: usize| r.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&above, j) + usize::from(x != y)).min(at(&above, j + 1) + 1).min(left + 1);
            if j > 0 && last == Some(y) && previous == Some(x) {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
            (left, previous) = (cost, Some(y));
        }
        before = std::mem::replace(&mut above, row);
        last = Some(x);
    }
    above.last().copied().unwrap_or(0)
}
