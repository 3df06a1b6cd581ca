//! Plugins written in C: every folder of `plugins/` that has a `plugin.c`.
//!
//! A plugin is that file, `plugins/NAME/bindings/` as `wit-bindgen` writes it, and nothing else: no C library, since a
//! library brings imports that no host offers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, paths};

/// A plugin in C.
#[derive(Debug)]
pub(crate) struct Source {
    /// The name of its folder.
    pub(crate) name: String,
    folder: PathBuf,
}

/// Those of the checkout, by name.
pub(crate) fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(root.join("plugins"))? {
        let entry = entry?;
        if entry.path().join("plugin.c").is_file() {
            sources.push(Source {
                name: entry.file_name().to_string_lossy().into_owned(),
                folder: entry.path(),
            });
        }
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sources)
}

impl Source {
    /// Compiles it below `out`, if it is newer than what is there, and returns the module.
    pub(crate) fn compile(&self, out: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let module = out.join(format!("{}.wasm", self.name));
        let inputs = self.inputs()?;
        if !is_newer(&module, &inputs) {
            let compiled = inputs.iter().filter(|file| has_extension(file, "c") || has_extension(file, "o"));
            let mut clang = Command::new("clang-19");
            clang.args(["--target=wasm32-unknown-unknown", "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror"]);
            // Without a C library: no start files, and the compiler may not take our `memcpy` for somebody else's.
            clang.args(["-nostdlib", "-ffreestanding", "-fno-builtin", "-fvisibility=hidden"]);
            clang.args(["-Wl,--no-entry", "-Wl,--strip-all", "-Wl,--fatal-warnings", "-fuse-ld=lld"]);
            clang.arg("-I").arg(self.folder.join("bindings")).arg("-I").arg(self.folder.join("freestanding"));
            clang.args(compiled).arg("-o").arg(&module);
            command::successful(&mut clang, &paths::log(&format!("clang-{}", self.name)))?;
        }
        Ok(module)
    }

    /// Everything that it is made of, by name.
    fn inputs(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for folder in [self.folder.clone(), self.folder.join("bindings"), self.folder.join("freestanding")] {
            for entry in
                std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
            {
                files.push(entry?.path());
            }
        }
        files.retain(|file| ["c", "h", "o"].iter().any(|kind| has_extension(file, kind)));
        files.sort();
        Ok(files)
    }
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|kind| kind == extension)
}

/// Whether a file is younger than all of these. What cannot be told counts as no.
fn is_newer(file: &Path, inputs: &[PathBuf]) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let Some(built) = changed(file) else { return false };
    inputs.iter().all(|input| changed(input).is_some_and(|time| time < built))
}
