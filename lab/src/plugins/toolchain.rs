//! Who compiles Rust to WebAssembly on this machine.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, machine};

/// The target of all plugins: no system below, so a module imports what its world names and nothing else.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// A way to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The Rust that cargo uses anyway: it has the target's standard library.
    Own,
    /// Debian's, which has the library's source.
    Debian,
}

impl Toolchain {
    /// The way of this machine. rustup's own is better, since it is the Rust that everything else is built with.
    pub(crate) fn find() -> Result<Self> {
        if machine::rustup_wasm() {
            Ok(Self::Own)
        } else if machine::debian_wasm() {
            Ok(Self::Debian)
        } else {
            bail!(
                "nothing here compiles to {TARGET}: run `rustup target add {TARGET}`, or as root \
                 `apt-get install --no-install-recommends rustc-web rust-web-src lld-19`"
            )
        }
    }

    /// The command that builds these packages into `target/plugins/`.
    pub(crate) fn cargo(self, root: &Path, packages: &[String]) -> Command {
        // A folder of its own, so that it never waits for the build that runs this program.
        let mut cargo = command::cargo(&["build", "--profile", "plugin", "--target", TARGET]);
        cargo.current_dir(root).arg("--target-dir").arg(root.join("target/plugins"));
        if self == Self::Debian {
            // `-Z` is for nightly compilers, which this one says that it is. Debian's linker has its version in its name.
            cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
            cargo.args(["-Z", "build-std=std,panic_abort"]);
            cargo.args(["--config", &format!("target.{TARGET}.linker=\"wasm-ld-19\"")]);
        }
        for package in packages {
            cargo.args(["--package", package]);
        }
        cargo
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => write!(f, "rustup's {TARGET}"),
            Self::Debian => f.write_str("Debian's rustc-web, with its standard library from source"),
        }
    }
}
