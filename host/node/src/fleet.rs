//! The fleet file on disk: read, hashed, parsed.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use weir_core::config::{self, Fleet};

/// A fleet file that was read and has no faults.
#[derive(Debug, Clone)]
pub(crate) struct FleetFile {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// What it says.
    pub(crate) fleet: Arc<Fleet>,
}

/// Why there is no [`FleetFile`]. In either case the file is at fault, not the node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    /// It cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// Where it should lie.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// It has faults, each with line and column.
    #[error("{0}")]
    Faults(#[from] config::Errors),
}

impl FleetFile {
    /// Reads the file, at most as much of it as a fleet file may have.
    pub(crate) fn read(path: &Path) -> Result<Self, FleetError> {
        let unreadable = |cause| FleetError::Unreadable { path: path.to_owned(), cause };
        // One byte more than is allowed, so that the parser sees that it is too long and says so.
        let limit = config::MAX_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        File::open(path).and_then(|f| f.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
        let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let text = String::from_utf8(bytes).map_err(|e| {
            let line =
                e.as_bytes().iter().take(e.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count() + 1;
            unreadable(std::io::Error::other(format!("line {line} is not UTF-8; a fleet file is text")))
        })?;
        let fleet = config::parse(&path.display().to_string(), &text)?;
        Ok(Self { path: path.to_owned(), sha256, fleet: Arc::new(fleet) })
    }
}
