//! Building what is tried: the binary `weir` and the plugins.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::stack::{Choice, Stack};
use crate::{command, paths, plugins, say};

/// Builds `weir` and the plugins, with a line for each; says where the plugins are.
pub(crate) fn everything() -> Result<PathBuf> {
    let began = Instant::now();
    say::line("  build     weir (the first time this takes minutes)");
    weir(&paths::log("build"))?;
    let plugins = plugins()?;
    say::line(format!("  build     done in {}", say::elapsed(began.elapsed())));
    Ok(plugins)
}

/// Builds the binary under trial.
pub(crate) fn weir(log: &Path) -> Result<()> {
    command::successful(&mut command::cargo(&["build", "--release", "-p", "weir"]), log)?;
    Ok(())
}

/// Builds what nodes of these stacks run: the binary, and the plugins where a node has some.
pub(crate) fn stack(choice: Choice) -> Result<()> {
    weir(&paths::log("build"))?;
    if choice.dns == Stack::Weir {
        plugins()?;
    }
    Ok(())
}

/// Builds an example of the sidecar: a part of Weir on a line, for trials and measurements.
pub(crate) fn example(name: &str) -> Result<()> {
    let arguments = ["build", "--release", "-p", "weir-sidecar", "--example", name];
    command::successful(&mut command::cargo(&arguments), &paths::log(&format!("build-{name}")))?;
    Ok(())
}

/// Where cargo leaves it.
pub(crate) fn example_program(name: &str) -> PathBuf {
    paths::target().join("release/examples").join(name)
}

/// Builds the plugins and says where they are.
pub(crate) fn plugins() -> Result<PathBuf> {
    let built = plugins::build(paths::root(), &mut |step| say::line(format!("  plugins   {step}")))?;
    Ok(built.folder)
}

/// Where the built plugins are.
pub(crate) fn plugins_folder() -> PathBuf {
    paths::target().join("plugins/wasm")
}
