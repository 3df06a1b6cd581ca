//! Good versions on disk, with their configuration: `<state>/plugins/<instance>/{current,previous}`.
//!
//! They outlive the process, the file in the plugin directory, and a change of the fleet file: what served well last is what
//! serves when nothing better can.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use weir_core::plugin::Version;

use super::loader::Source;
use super::lock;
use crate::compile::{CacheError, private_dir, write_whole};

/// The one that serves, and the one before.
const NAMES: [&str; 2] = ["current", "previous"];

/// The directories of all plugin instances, and to whom they belong.
///
/// An instance that was dropped may be in the middle of anything, and nobody waits for it. So each directory has a number that
/// grows when an instance of its name begins, and whoever writes has to be of that number.
#[derive(Debug)]
pub(crate) struct Shelves {
    dir: PathBuf,
    owners: Mutex<BTreeMap<PathBuf, Arc<Owner>>>,
}

/// The number of the instance that a directory belongs to. Held while something is written.
type Owner = Mutex<u64>;

impl Shelves {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("plugins"), owners: Mutex::default() }
    }

    /// For the plugin instance of this name; made where it is missing. An earlier instance of the name writes nothing any
    /// more when this returns.
    pub(crate) fn open(&self, instance: &str) -> Result<Shelf, CacheError> {
        let dir = self.dir.join(file_name(instance));
        private_dir(&dir)?;
        let owner = Arc::clone(lock(&self.owners).entry(dir.clone()).or_default());
        let number = {
            let mut number = lock(&owner);
            *number += 1;
            *number
        };
        Ok(Shelf { dir, owner, number })
    }
}

/// The directory of one plugin instance.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    owner: Arc<Owner>,
    number: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    sha256: String,
    config: String,
    memory: usize,
}

impl Shelf {
    /// What is kept, the last good one first. What cannot be read is as good as not there.
    pub(crate) fn versions(&self) -> Vec<Version> {
        NAMES.iter().filter_map(|name| self.label(name).map(|(_, version)| version)).collect()
    }

    /// The whole of one.
    pub(crate) fn read(&self, version: Version) -> Option<Source> {
        let (name, label) = NAMES.iter().find_map(|name| {
            let (label, known) = self.label(name)?;
            (known == version).then_some((name, label))
        })?;
        let wasm = fs::read(self.dir.join(name).join("plugin.wasm")).ok()?;
        if crate::digest(&wasm) != version.content {
            tracing::warn!(dir = %self.dir.display(), name, "a kept plugin is not what it was and is not used");
            return None;
        }
        let (config, memory) = (label.config.into(), label.memory);
        Some(Source { version, wasm: wasm.into(), config, memory, golden: None })
    }

    /// Keeps one as `current`; what was that becomes `previous`. Does nothing where the directory belongs to a successor.
    pub(crate) fn keep(&self, source: &Source) -> Result<(), CacheError> {
        let owner = lock(&self.owner);
        if *owner != self.number {
            return Ok(());
        }
        let [current, previous] = NAMES.map(|name| self.dir.join(name));
        if self.label("current").is_some_and(|(_, version)| version == source.version) {
            return Ok(());
        }
        let io = |source| CacheError::Io { path: self.dir.clone(), source };
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.dir).map_err(io)?;
        write_whole(&new.path().join("plugin.wasm"), &source.wasm)?;
        let label = Label {
            sha256: source.version.content.to_string(),
            config: source.config.to_string(),
            memory: source.memory,
        };
        let label = serde_json::to_vec_pretty(&label).map_err(|e| io(e.into()))?;
        write_whole(&new.path().join("kept.json"), &label)?;
        // Each step leaves at least one whole version to be found.
        if current.exists() {
            remove(&previous).map_err(io)?;
            fs::rename(&current, &previous).map_err(io)?;
        }
        fs::rename(new.keep(), &current).map_err(io)
    }

    /// Keeps this one no longer. Does nothing where the directory belongs to a successor.
    pub(crate) fn forget(&self, version: Version) -> Result<(), CacheError> {
        let owner = lock(&self.owner);
        if *owner != self.number {
            return Ok(());
        }
        for name in NAMES {
            if self.label(name).is_some_and(|(_, known)| known == version) {
                let path = self.dir.join(name);
                remove(&path).map_err(|source| CacheError::Io { path, source })?;
            }
        }
        Ok(())
    }

    fn label(&self, name: &str) -> Option<(Label, Version)> {
        let text = fs::read(self.dir.join(name).join("kept.json")).ok()?;
        let label: Label = serde_json::from_slice(&text).ok()?;
        let version = Version {
            content: label.sha256.parse().ok()?,
            config: config_digest(&label.config, label.memory),
        };
        Some((label, version))
    }
}

/// What a version's `config` is a digest of: all that an instance is made with beside the content.
pub(crate) fn config_digest(config: &str, memory: usize) -> weir_core::plugin::Digest {
    crate::digest(format!("{memory}\0{config}").as_bytes())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A name of the fleet file as a name of a directory: what is not plain is written as `%` and its code.
fn file_name(instance: &str) -> String {
    let mut name = String::new();
    for byte in instance.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(content: &[u8]) -> Source {
        let (config, memory) = ("", 1);
        let version = Version { content: crate::digest(content), config: config_digest(config, memory) };
        Source { version, wasm: content.into(), config: config.into(), memory, golden: None }
    }

    #[test]
    fn what_was_replaced_changes_nothing_of_what_its_successor_keeps() {
        let dir = tempfile::tempdir().unwrap();
        let shelves = Shelves::new(dir.path());
        let [first, second, third] = [b"1", b"2", b"3"].map(|content| source(content));
        let old = shelves.open("a").unwrap();
        old.keep(&first).unwrap();
        let new = shelves.open("a").unwrap();
        let other = shelves.open("b").unwrap();
        new.keep(&second).unwrap();
        old.keep(&third).unwrap();
        old.forget(second.version).unwrap();
        assert_eq!(new.versions(), [second.version, first.version]);
        new.forget(first.version).unwrap();
        assert_eq!(new.versions(), [second.version]);
        assert_eq!(other.versions(), [], "each name has its own");
        other.keep(&third).unwrap();
        assert_eq!(other.versions(), [third.version]);
    }
}
