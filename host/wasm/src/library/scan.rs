//! One look at the plugin directory: names, links, modes, contents.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use weir_core::plugin::Digest;

use super::Finding;
use crate::compile::MAX_WASM;

/// A file that was written to so short a time ago may not be complete: it is looked at again.
const SETTLE: Duration = Duration::from_millis(200);
/// A file whose time stamps are older than this and as before was not written to. Time stamps advance in steps of some
/// milliseconds, so a younger one proves nothing and the file is read again.
const TRUST: Duration = Duration::from_secs(2);
/// The largest file of golden cases.
const MAX_GOLDEN: usize = 1 << 20;

/// What is accepted from the directory.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Accept a directory and files that others than their owner may write to.
    pub writable_by_others: bool,
    /// How long a file that is gone still counts as there: a swap of links removes it for a moment.
    pub grace: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { writable_by_others: false, grace: Duration::from_secs(10) }
    }
}

/// A file, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its bytes.
    pub wasm: Arc<[u8]>,
    /// Their SHA-256.
    pub digest: Digest,
    /// `<name>.golden.json` beside it, unread.
    pub golden: Option<Arc<str>>,
}

/// Why a file, or the directory, cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileError {
    /// The system says so.
    #[error("{path}: {reason}")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Anybody could replace it.
    #[error("{path} may be written to by others than its owner (mode {mode:o}): `chmod go-w` it")]
    Writable {
        /// What.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A link that leads out of the directory.
    #[error("{path} leads to {target}, which is not in the plugin directory")]
    Outside {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A pipe, a device, a directory.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// What.
        path: PathBuf,
    },
    /// Larger than [`MAX_WASM`], or than 1 MiB of golden cases.
    #[error("{path} is {size} bytes, at most {limit} are accepted")]
    TooLarge {
        /// What.
        path: PathBuf,
        /// What it is.
        size: u64,
        /// What it may be.
        limit: usize,
    },
}

/// What one look found.
pub(super) struct Look {
    pub(super) files: BTreeMap<String, Option<Finding>>,
    pub(super) problem: Option<FileError>,
    /// Something is not settled: look again after this.
    pub(super) again: Option<Duration>,
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

struct Entry {
    /// Of the last look, and when it was seen first.
    stamp: Option<(Stamp, Instant)>,
    /// The stamp that `finding` was read at.
    read_at: Option<Stamp>,
    finding: Option<Finding>,
    missing_since: Option<Instant>,
}

/// Remembers earlier looks.
pub(super) struct Scanner {
    dir: PathBuf,
    rules: Rules,
    entries: BTreeMap<String, Entry>,
}

impl Scanner {
    pub(super) fn new(dir: PathBuf, rules: Rules) -> Self {
        Self { dir, rules, entries: BTreeMap::new() }
    }

    /// Looks at every file.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        let (root, names) = match self.list() {
            Ok(listed) => listed,
            Err(problem) => return Look { files: self.files(), problem: Some(problem), again: None },
        };
        let mut again = None;
        let mut soon = |after: Duration| again = Some(again.map_or(after, |a: Duration| a.min(after)));
        for name in &names {
            let entry = self.entries.entry(name.clone()).or_insert(Entry {
                stamp: None,
                read_at: None,
                finding: None,
                missing_since: None,
            });
            entry.missing_since = None;
            if let Some(wait) = entry.look(&root, name, &self.rules, now) {
                soon(wait);
            }
        }
        let grace = self.rules.grace;
        self.entries.retain(|name, entry| {
            if names.contains(name) {
                return true;
            }
            let left =
                grace.saturating_sub(now.saturating_duration_since(*entry.missing_since.get_or_insert(now)));
            if !left.is_zero() {
                soon(left);
            }
            !left.is_zero()
        });
        Look { files: self.files(), problem: None, again }
    }

    fn files(&self) -> BTreeMap<String, Option<Finding>> {
        self.entries.iter().map(|(name, entry)| (name.clone(), entry.finding.clone())).collect()
    }

    /// The directory with all links resolved, and the names in it that are of interest.
    fn list(&self) -> Result<(PathBuf, Vec<String>), FileError> {
        let io = |e: io::Error| FileError::Io { path: self.dir.clone(), reason: e.to_string() };
        let root = fs::canonicalize(&self.dir).map_err(io)?;
        writable(&root, &fs::metadata(&root).map_err(io)?, &self.rules)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&root).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if let Some(name) = name.to_str().filter(|n| !n.starts_with('.') && n.ends_with(".wasm")) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok((root, names))
    }
}

impl Entry {
    /// Looks at the file; returns how long to wait where it is not settled. What was found before stays until then.
    fn look(&mut self, root: &Path, name: &str, rules: &Rules, now: Instant) -> Option<Duration> {
        let (file, meta) = match open(root, name, rules, MAX_WASM) {
            Ok(opened) => opened,
            Err(error) => {
                (self.stamp, self.read_at) = (None, None);
                self.finding = Some(Finding::Unusable(error));
                return None;
            }
        };
        let stamp = Stamp::of(&meta);
        let first_seen = match self.stamp {
            Some((known, since)) if known == stamp => since,
            _ => now,
        };
        self.stamp = Some((stamp, first_seen));
        let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if self.read_at == Some(stamp) && age.is_some_and(|age| age > TRUST) {
            return None;
        }
        // Settled: not written to for a while, by its own time stamp or (clocks of file servers differ) by ours.
        let seen_for = now.saturating_duration_since(first_seen);
        if age.is_none_or(|age| age < SETTLE) && seen_for < SETTLE {
            return Some(SETTLE);
        }
        let golden_name = format!("{}.golden.json", name.trim_end_matches(".wasm"));
        let read = read(file, root, name, MAX_WASM).and_then(|wasm| {
            let golden = match open(root, &golden_name, rules, MAX_GOLDEN) {
                Ok((file, _)) => Some(read(file, root, &golden_name, MAX_GOLDEN)?),
                Err(FileError::Io { .. }) => None,
                Err(error) => return Err(error),
            };
            Ok(Content {
                digest: crate::digest(&wasm),
                wasm: wasm.into(),
                golden: golden.map(|bytes| String::from_utf8_lossy(&bytes).into()),
            })
        });
        self.read_at = Some(stamp);
        self.finding = Some(match (read, &self.finding) {
            // Keeps the one copy that is shared already.
            (Ok(content), Some(Finding::Content(known))) if **known == content => {
                Finding::Content(Arc::clone(known))
            }
            (Ok(content), _) => Finding::Content(Arc::new(content)),
            (Err(error), _) => Finding::Unusable(error),
        });
        // Read at a time when the stamp proves nothing: read again when it does.
        age.is_none_or(|age| age <= TRUST).then_some(TRUST + SETTLE)
    }
}

/// Opens a file of the directory, if it is one that may be used.
fn open(root: &Path, name: &str, rules: &Rules, limit: usize) -> Result<(File, Metadata), FileError> {
    let path = root.join(name);
    let io = |e: io::Error| FileError::Io { path: path.clone(), reason: e.to_string() };
    let target = fs::canonicalize(&path).map_err(io)?;
    if !target.starts_with(root) {
        return Err(FileError::Outside { path, target });
    }
    // Every directory between: one that others may write to is a way around the file's own mode.
    for dir in target.ancestors().skip(1).take_while(|dir| *dir != root) {
        writable(dir, &fs::metadata(dir).map_err(io)?, rules)?;
    }
    // Not a link by now, so none is followed; and opening a pipe must not wait for a writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = File::options().read(true).custom_flags(flags).open(&target).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(FileError::NotAFile { path });
    }
    writable(&path, &meta, rules)?;
    if meta.size() > limit as u64 {
        return Err(FileError::TooLarge { path, size: meta.size(), limit });
    }
    Ok((file, meta))
}

/// Reads a file whole, and not more than `limit` of it should it grow meanwhile.
fn read(file: File, root: &Path, name: &str, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let io = |e: io::Error| FileError::Io { path: root.join(name), reason: e.to_string() };
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge { path: root.join(name), size: bytes.len() as u64, limit });
    }
    Ok(bytes)
}

fn writable(path: &Path, meta: &Metadata, rules: &Rules) -> Result<(), FileError> {
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 && !rules.writable_by_others {
        return Err(FileError::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}
