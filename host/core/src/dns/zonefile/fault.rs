//! What is wrong with a zone file.

use std::fmt;

use crate::dns::zone::Place;

/// The most faults that are kept: nobody reads more before the first is mended.
const MAX_FAULTS: usize = 50;

/// The longest message, bytes.
const MAX_MESSAGE: usize = 500;

/// One thing that is wrong, printed as `FILE:LINE: MESSAGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line.
    pub place: Place,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place.file, self.place.line, self.message)
    }
}

/// Everything that is wrong with a zone file.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Errors {
    faults: Vec<Fault>,
    more: usize,
}

impl Errors {
    /// The faults, in the order in which they were found; not all where there are very many.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS
    }

    pub(super) fn add(&mut self, place: Place, mut message: String) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|i| message.is_char_boundary(*i)).unwrap_or_default();
            message.truncate(end);
            message.push_str(" ...");
        }
        self.faults.push(Fault { place, message });
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
        if self.is_full() {
            f.write_str("\nand perhaps more: mend these first")?;
        }
        Ok(())
    }
}
