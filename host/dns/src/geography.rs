//! Where clients are: a database of networks in MaxMind's form, read whole into memory.
//!
//! A database has a record for each network, a tree of maps, lists and values, and each of them has another tree. So the fleet file
//! says which places of it become labels, and this module knows no database in particular.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader};
use serde::Deserialize;
use serde::de::IgnoredAny;
use weir_core::dns::answer::choose::Labels;
use weir_core::dns::policy::Networks;

/// The longest value of a label, bytes: what labels of the fleet file may have as well.
const MAX_VALUE: usize = 256;

/// A database, and what is wanted of it.
pub struct Geography {
    reader: Reader<Vec<u8>>,
    labels: Vec<Label>,
    nothing: Labels,
}

/// A label of clients.
struct Label {
    name: String,
    /// From the record of a network to the value.
    way: Vec<Step>,
}

enum Step {
    Field(String),
    Element(usize),
}

/// A value that can be a label; all others are as if they were not there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u64),
    Yes(bool),
    Other(IgnoredAny),
}

impl Geography {
    /// Reads a database. Of its whole tree only what an address leads to is ever looked at, so a file that is damaged elsewhere is found by
    /// [`Reader::verify`], which this asks for: it is the file that a server will live with.
    ///
    /// # Errors
    /// The file cannot be read, or is no such database.
    pub fn read(path: &Path, labels: &BTreeMap<String, String>) -> Result<Self, GeographyError> {
        let error = |cause| GeographyError { path: path.display().to_string(), cause };
        let reader = Reader::open_readfile(path).map_err(error)?;
        reader.verify().map_err(error)?;
        let label = |(name, way): (&String, &String)| Label {
            name: name.clone(),
            way: way.split('.').map(Step::of).collect(),
        };
        Ok(Self { reader, labels: labels.iter().map(label).collect(), nothing: Labels::from([]) })
    }

    /// What the record of a network has at the end of a label's way.
    fn value(found: &LookupResult<'_, Vec<u8>>, label: &Label) -> Option<String> {
        let way: Vec<PathElement<'_>> = label.way.iter().map(Step::element).collect();
        // A record that has something else there is none that has this label.
        let text = match found.decode_path::<Value>(&way).ok()?? {
            Value::Text(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Yes(yes) => yes.to_string(),
            Value::Other(_) => return None,
        };
        (text.len() <= MAX_VALUE).then_some(text)
    }
}

impl Step {
    fn of(word: &str) -> Self {
        word.parse().map_or_else(|_| Self::Field(word.to_owned()), Self::Element)
    }

    fn element(&self) -> PathElement<'_> {
        match self {
            Self::Field(name) => PathElement::Key(name),
            Self::Element(number) => PathElement::Index(*number),
        }
    }
}

impl Networks for Geography {
    fn labels(&self, client: IpAddr) -> Labels {
        // A family that the database does not have, or damage that was not found when it was read: nothing is known.
        let Ok(found) = self.reader.lookup(client) else { return Labels::clone(&self.nothing) };
        let labels = self.labels.iter();
        let labels = labels.filter_map(|label| Some((label.name.clone(), Self::value(&found, label)?)));
        let labels: Vec<(String, String)> = labels.collect();
        if labels.is_empty() { Labels::clone(&self.nothing) } else { labels.into() }
    }
}

impl fmt::Display for Geography {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata = self.reader.metadata();
        write!(f, "networks by {}, build {}", metadata.database_type, metadata.build_epoch)
    }
}

impl fmt::Debug for Geography {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Geography")
    }
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct GeographyError {
    path: String,
    cause: MaxMindDbError,
}

#[cfg(test)]
mod tests;
