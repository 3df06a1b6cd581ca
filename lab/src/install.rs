//! Getting what the machine lacks from Debian. Nothing but packages changes: no daemon is started, no file of the
//! machine is edited. Daemons that a measurement compares with are not installed at all but unpacked below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{command, machine, paths, say};

/// What building Weir and its plugins needs, whichever way the Wasm target is had.
const BUILD: [&str; 5] = ["cmake", "gcc", "libc6-dev", "clang-19", "lld-19"];
/// Debian's compiler for `wasm32-unknown-unknown`, and the source of its standard library.
const WASM: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Installs what `up` and `test` need and the machine lacks.
pub(crate) fn for_building() -> Result<()> {
    let mut missing: Vec<&str> = BUILD.into_iter().filter(|name| !machine::package(name)).collect();
    // A compiler from elsewhere is as good.
    if machine::program("cc").is_some() {
        missing.retain(|name| !["gcc", "libc6-dev"].contains(name));
    }
    if machine::program("cmake").is_some() {
        missing.retain(|name| *name != "cmake");
    }
    if !machine::rustup_wasm() && !rustup_adds_wasm() {
        missing.extend(WASM.into_iter().filter(|name| !machine::package(name)));
    }
    packages(&missing)
}

/// Whether rustup could fetch the target. It can where its server can be reached.
fn rustup_adds_wasm() -> bool {
    if machine::debian_wasm() || machine::program("rustup").is_none() {
        return false;
    }
    say::line("  install   trying rustup target add wasm32-unknown-unknown");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", "wasm32-unknown-unknown"]);
    let added = command::successful(&mut rustup, &paths::log("rustup")).is_ok() && machine::rustup_wasm();
    if !added {
        say::line("  install   rustup cannot; Debian's rustc-web can");
    }
    added
}

fn packages(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !machine::is_root() {
        bail!(
            "missing Debian packages; as root run: apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
    }
    let started = Instant::now();
    say::line(format!("  install   {}", missing.join(" ")));
    let log = paths::log("apt");
    command::successful(apt().args(["-qq", "update"]), &log)?;
    command::successful(apt().args(["-qq", "-y", "--no-install-recommends", "install"]).args(missing), &log)?;
    say::line(format!("  install   done in {}", say::elapsed(started.elapsed())));
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// A program of a Debian package, unpacked below `target/lab/debian/` and never installed.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    /// The program.
    pub(crate) program: PathBuf,
    /// Folders for `LD_LIBRARY_PATH`.
    libraries: PathBuf,
}

impl Unpacked {
    /// A command that runs the program with the libraries that were unpacked with it.
    pub(crate) fn put_into(&self, command: &mut Command) {
        command.env("LD_LIBRARY_PATH", &self.libraries);
    }
}

/// Finds or unpacks programs, given as (package, program).
pub(crate) fn unpacked(wanted: &[(&str, &str)]) -> Result<Vec<Unpacked>> {
    let tree = paths::lab("debian");
    let absent: Vec<&str> = wanted
        .iter()
        .filter(|(_, program)| find(&tree, program).is_none())
        .map(|(package, _)| *package)
        .collect();
    if !absent.is_empty() {
        fetch(&tree, &absent)?;
    }
    wanted
        .iter()
        .map(|(package, program)| {
            let found = find(&tree, program)
                .with_context(|| format!("Debian package {package} has no program {program}"))?;
            Ok(Unpacked { program: found, libraries: tree.join("usr/lib/x86_64-linux-gnu") })
        })
        .collect()
}

fn find(tree: &Path, program: &str) -> Option<PathBuf> {
    let inside = ["usr/bin", "usr/sbin"].map(|folder| tree.join(folder).join(program));
    inside.into_iter().find(|file| file.is_file()).or_else(|| machine::program(program))
}

fn fetch(tree: &Path, packages: &[&str]) -> Result<()> {
    if !machine::is_root() {
        bail!("apt-get downloads as root only; or install by hand: {}", packages.join(" "));
    }
    say::line(format!("  unpack    {} below {}", packages.join(" "), paths::short(tree)));
    let archives = tree.join("archives");
    std::fs::create_dir_all(archives.join("partial"))?;
    let log = paths::log("apt");
    command::successful(apt().args(["-qq", "update"]), &log)?;
    // Downloads the packages *and* whatever they depend on that the machine lacks, and stops there.
    let mut download = apt();
    download.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
    download.args(["-qq", "-y", "--no-install-recommends", "--download-only", "install"]).args(packages);
    command::successful(&mut download, &log)?;
    for entry in std::fs::read_dir(&archives)? {
        let file = entry?.path();
        if file.extension().is_some_and(|kind| kind == "deb") {
            command::successful(Command::new("dpkg").arg("-x").arg(&file).arg(tree), &paths::log("dpkg"))?;
        }
    }
    Ok(())
}
