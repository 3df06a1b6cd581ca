//! Building the plugins to WebAssembly, on a machine where rustup's Rust has that target and on one where it has not.
//!
//! Two ways lead to the same files. Where rustup's toolchain has `wasm32-unknown-unknown`, cargo builds as usual. Where
//! it has not and cannot fetch it, Debian's `rustc-web` compiles, and the standard library too, from `rust-web-src`. C
//! plugins take Debian's clang in both cases ([`c`]).
//!
//! What cargo leaves is what a host loads: a plain module with the type of its world inside. Every file is put into
//! `target/plugins/wasm/` under the plugin's own name, by rename, and only when it has changed: a node that watches the
//! folder sees whole files and no false news.

mod c;
#[cfg(test)]
mod tests;
mod toolchain;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{command, paths, say};
use toolchain::{TARGET, Toolchain};

/// The plugins of this checkout, built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The folder that holds them all, and nothing else.
    pub(crate) folder: PathBuf,
    /// Name of a plugin -> its file in that folder.
    pub(crate) files: BTreeMap<String, PathBuf>,
}

/// Builds every plugin below `root`; `report` gets a line for each step. Nothing is compiled that has not changed.
pub(crate) fn build(root: &Path, report: &mut dyn FnMut(&str)) -> Result<Built> {
    let began = Instant::now();
    let toolchain = Toolchain::find()?;
    let folder = root.join("target/plugins/wasm");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let packages = packages(root)?;
    report(&format!("{} plugins in Rust, by {toolchain}", packages.len()));
    let built = root.join("target/plugins").join(TARGET).join("plugin");
    command::successful(&mut toolchain.cargo(root, &packages), &paths::log("plugins"))?;
    let mut files = BTreeMap::new();
    for package in packages {
        let module = built.join(format!("{}.wasm", package.replace('-', "_")));
        let file = folder.join(format!("{package}.wasm"));
        publish(&module, &file)?;
        files.insert(package, file);
    }

    for source in c::sources(root)? {
        report(&format!("{} in C, by clang", source.name));
        let file = folder.join(format!("{}.wasm", source.name));
        publish(&source.compile(&root.join("target/plugins/c"))?, &file)?;
        files.insert(source.name, file);
    }
    remove_others(&folder, &files)?;
    let built = Built { folder, files };
    let (count, folder) = (built.files.len(), paths::short(&built.folder));
    report(&format!("{count} plugins in {folder}, {}", say::elapsed(began.elapsed())));
    Ok(built)
}

/// The part of `cargo metadata` that says which packages make a module.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// Members of the workspace that make a module: plugins and nothing else do.
fn packages(root: &Path) -> Result<Vec<String>> {
    let mut metadata = command::cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let output = metadata.current_dir(root).output().context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("what cargo metadata prints")?;
    let makes_module = |target: &Target| target.crate_types.iter().any(|kind| kind == "cdylib");
    let plugins = metadata.packages.into_iter().filter(|package| package.targets.iter().any(makes_module));
    let mut names: Vec<String> = plugins.map(|package| package.name).collect();
    names.sort();
    Ok(names)
}

/// Puts a built module in its place, whole, if it is another than the one there.
fn publish(module: &Path, file: &Path) -> Result<()> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    if std::fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    // The name has no `.wasm` at its end, so nobody loads it before it is whole.
    let new = file.with_extension("new");
    std::fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    std::fs::rename(&new, file).with_context(|| format!("cannot rename {}", new.display()))
}

/// A plugin that was renamed or removed leaves its file behind.
fn remove_others(folder: &Path, files: &BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !files.values().any(|file| *file == path) {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
