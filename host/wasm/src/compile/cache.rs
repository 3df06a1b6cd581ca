//! Machine code on disk: the host's own, in a directory that only its user can enter.
#![allow(unsafe_code, reason = "loading machine code is unsafe; the proof is beside it")]

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;
use weir_core::plugin::Digest;

/// Entries that are kept: the versions of a day, at some hundred KiB each.
const KEEP: usize = 64;

/// Why a private directory cannot be used. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Cannot be made, read or written.
    #[error("{path}: {source}")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could put machine code there.
    #[error("{path} belongs to user {owner} with mode {mode:o}; it must belong to user {me} with mode 700")]
    NotPrivate {
        /// Which directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode.
        mode: u32,
        /// This process's user.
        me: u32,
    },
}

#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    compatibility: u64,
}

/// Makes a directory that only this user can enter, or checks that it is one.
pub(crate) fn private_dir(path: &Path) -> Result<(), CacheError> {
    let io = |source| CacheError::Io { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
    // Not followed: a link could be turned elsewhere after the check.
    let meta = fs::symlink_metadata(path).map_err(io)?;
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_dir() || meta.uid() != me || meta.permissions().mode() & 0o077 != 0 {
        let mode = meta.permissions().mode() & 0o7777;
        return Err(CacheError::NotPrivate { path: path.to_owned(), owner: meta.uid(), mode, me });
    }
    Ok(())
}

impl Cache {
    pub(super) fn open(dir: &Path, compatibility: u64) -> Result<Self, CacheError> {
        private_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), compatibility })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}-{:016x}.cwasm", self.compatibility))
    }

    /// What was compiled of this content before, if it is there and still of use.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(digest);
        let meta = fs::symlink_metadata(&path).ok()?;
        let mine = meta.uid() == rustix::process::geteuid().as_raw();
        if !meta.is_file()
            || !mine
            || meta.permissions().mode() & 0o077 != 0
            || private_dir(&self.dir).is_err()
        {
            tracing::warn!(path = %path.display(), "compiled code is not private and was not loaded");
            return None;
        }
        // SAFETY: `deserialize_file` runs what is in the file and maps it, so the file must be output of wasmtime and must not
        // change while the component lives. It is: only `store` writes into this directory, what it writes came from
        // `Engine::precompile_component` of this program, under a temporary name that was renamed when it was complete, and no
        // file is ever opened for writing again (entries are only unlinked, which leaves a mapping as it is). Directory and file
        // belong to this user and nobody else can write to them; both were checked just now. Output of another version or of
        // other settings is recognised by wasmtime and refused.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code is of no use and is made again");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    pub(super) fn store(&self, digest: &Digest, artifact: &[u8]) -> Result<(), CacheError> {
        private_dir(&self.dir)?;
        let path = self.path(digest);
        write_whole(&path, artifact)?;
        self.prune(&path);
        Ok(())
    }

    /// Forgets the oldest entries, never `except`. A failure costs disk space and nothing else.
    fn prune(&self, except: &Path) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut old: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .filter(|(_, path)| path != except)
            .collect();
        old.sort();
        let surplus = old.len().saturating_sub(KEEP - 1);
        for (_, path) in old.into_iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes a file so that it is there whole or not at all, readable by this user only.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let io = |source| CacheError::Io { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    // The rename itself survives a power failure only when the directory is written as well.
    File::open(dir).and_then(|d| d.sync_all()).map_err(io)
}
