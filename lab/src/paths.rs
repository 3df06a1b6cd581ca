//! Where things lie in the checkout. Whatever the lab writes is below `target/lab/`.

use std::path::{Path, PathBuf};

/// The root of the checkout that this binary was built from.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// `target/`, where cargo builds.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// A path below `target/lab/`, the lab's own.
pub(crate) fn lab(below: &str) -> PathBuf {
    target().join("lab").join(below)
}

/// The log of a stage, `target/lab/logs/NAME.log`.
pub(crate) fn log(name: &str) -> PathBuf {
    lab("logs").join(format!("{name}.log"))
}

/// The binary under trial, as `cargo build --release` leaves it.
pub(crate) fn weir() -> PathBuf {
    target().join("release/weir")
}

/// A path as a person would type it from the root of the checkout.
pub(crate) fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
