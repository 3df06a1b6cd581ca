//! `cargo lab bench plugins`: what a decision costs. The measurement itself is the benchmark of the crate that calls
//! plugins; this builds the plugins for it and keeps its output.

use anyhow::Result;

use crate::{build, command, install, paths};

pub(super) fn run(quick: bool) -> Result<()> {
    install::for_building()?;
    let folder = build::plugins()?;
    let mut bench =
        command::cargo(&["bench", "--profile", "release", "-p", "weir-wasm", "--bench", "decision", "--"]);
    if quick {
        bench.arg("--quick");
    }
    bench.env("WEIR_PLUGINS", &folder).env("WEIR_BENCH_JSON", paths::lab("bench/plugins.json"));
    std::fs::create_dir_all(paths::lab("bench"))?;
    let output = command::successful(&mut bench, &paths::log("bench-plugins"))?;
    // Cargo's own lines come first and say nothing about plugins.
    let words = ["   Compiling", "    Finished", "     Running", "warning"];
    for line in output.text.lines().filter(|line| !words.iter().any(|word| line.starts_with(word))) {
        println!("{line}");
    }
    Ok(())
}
