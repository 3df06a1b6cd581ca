//! Zone files: the master file format of RFC 1035 §5, as other servers and tools read it.
//!
//! `$ORIGIN`, `$TTL` (RFC 2308) and `$INCLUDE`; parentheses, quotes, `\DDD`; times as `1h30m`; types and
//! classes in either order; types without a word as `TYPE123 \# ...` (RFC 3597). Files are read by the caller: this
//! crate reads none. Everything that is wrong is reported at once, with the line and what would be right.

mod entry;
mod fault;
#[cfg(test)]
mod hostile;
mod lex;
mod rdata;
mod service;
#[cfg(test)]
mod tests;

pub use fault::{Errors, Fault};

use std::sync::Arc;

use super::name::Name;
use super::zone::{Builder, Place, Zone};
use entry::Reader;

/// How deep files may include files.
const MAX_DEPTH: usize = 8;

/// How many files may be included in all: eight levels of eight lines each would be sixteen million.
const MAX_INCLUDES: usize = 1000;

/// A file that `$INCLUDE` named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Its name for messages.
    pub name: String,
    /// Its content.
    pub text: Vec<u8>,
}

/// Gives the content of the file that `$INCLUDE` names, or says why not. The second argument is the name of the file
/// that says so, to which a relative path belongs.
pub type Include<'i> = dyn FnMut(&str, &str) -> Result<Included, String> + 'i;

/// Reads the zone of this origin. `file` is its name for messages.
///
/// # Errors
/// All that is wrong with it, up to a limit.
pub fn read(origin: &Name, file: &str, text: &[u8], include: &mut Include<'_>) -> Result<Zone, Errors> {
    let mut reading =
        Reading { zone: Builder::new(origin.clone()), faults: Errors::default(), includes: 0, include };
    let file = Arc::from(file);
    let mut reader = Reader::new(Arc::clone(&file), origin.clone());
    reading.file(&mut reader, text, 0);
    if !reading.faults.is_empty() {
        return Err(reading.faults);
    }
    reading.zone.finish().map_err(|problems| {
        let mut faults = Errors::default();
        for problem in problems {
            let place = problem.place.unwrap_or_else(|| Place { file: Arc::clone(&file), line: 1 });
            faults.add(place, problem.message);
        }
        faults
    })
}

struct Reading<'i> {
    zone: Builder,
    faults: Errors,
    includes: usize,
    include: &'i mut Include<'i>,
}
