//! `cargo lab fuzz`: hostile bytes for the decoders, for as long as somebody likes.
//!
//! The targets are tests in modules named `hostile` of crates that depend on `weir-hostile`, found by asking the test programs; there is
//! no list of them. The ordinary tests run each for a part of a second. Here the decoders and what they are built on are compiled
//! once more, with a counter in each edge of their code (a pass of LLVM that the stable compiler has), so that an input that reaches
//! something new is kept and changed further.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::{command, install, paths, say};

/// The crate that a crate with targets depends on.
const ENGINE: &str = "weir-hostile";
/// Where a target is among a crate's tests.
const MODULE: &str = "hostile::";
/// Crates that get counters, beside those with targets: what decoders leave to others.
const COUNTED: [&str; 5] =
    ["bgpkit_parser", "netlink_packet_route", "netlink_packet_core", "netlink_packet_utils", "serde_json"];
/// How LLVM is asked for counters.
const FLAGS: &str = "-Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=3 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters";

/// What to attack, for how long.
#[derive(Debug, Args)]
pub(crate) struct Wish {
    /// Names of targets; all where none is given
    targets: Vec<String>,
    /// How long each of them is attacked
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The seed of an earlier run; another one each time by default
    #[arg(long)]
    seed: Option<u64>,
    /// Only this input, as the message about it says
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// As the ordinary tests do it: without counters in the code, and without compiling anything anew
    #[arg(long)]
    plain: bool,
}

/// A test that is a target.
struct Target {
    name: String,
    program: PathBuf,
    test: String,
}

/// Runs it; an error where an input broke something.
pub(crate) fn run(wish: &Wish) -> Result<()> {
    install::for_building()?;
    let all = targets(&programs(wish.plain || wish.replay.is_some())?)?;
    for name in &wish.targets {
        if !all.iter().any(|target| target.name == *name) {
            let known: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
            bail!("no target is named {name}; there are: {}", known.join(", "));
        }
    }
    if wish.replay.is_some() && wish.targets.len() != 1 {
        bail!("an input is for one target; name it");
    }
    // Only has to be another one; the message about a failure names it.
    let seed = wish.seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | all.len() as u64);
    let mut broken = Vec::new();
    for target in all.iter().filter(|target| wish.targets.is_empty() || wish.targets.contains(&target.name)) {
        let mut command = Command::new(&target.program);
        command.args([&target.test, "--exact", "--nocapture"]);
        match &wish.replay {
            Some(file) => drop(command.env("WEIR_HOSTILE_REPLAY", std::path::absolute(file)?)),
            None => {
                command.env("WEIR_HOSTILE_SECONDS", wish.seconds.to_string());
                command.env("WEIR_HOSTILE_SEED", seed.to_string());
            }
        }
        let output = command::watched(&mut command, &paths::log(&format!("fuzz-{}", target.name)))?;
        let told = |line: &&str| line.starts_with("hostile ");
        output.text.lines().filter(told).for_each(|line| say::line(format!("  {line}")));
        if !output.status.success() {
            say::line(format!(
                "  {} ends with {}\n{}",
                target.name,
                output.status,
                command::tail(&output.text)
            ));
            if output.status.code().is_none() {
                say::line(format!(
                    "    the input took the process with it: cargo lab fuzz {} --replay {}",
                    target.name,
                    left_behind(target).display()
                ));
            }
            broken.push(target.name.as_str());
        }
    }
    if !broken.is_empty() {
        bail!("hostile bytes break {}", broken.join(", "));
    }
    Ok(())
}

/// The file with the input that was tried last.
fn left_behind(target: &Target) -> PathBuf {
    let folder = target.program.ancestors().nth(3).unwrap_or(Path::new("target")).join("hostile");
    folder.join(format!("{}.running", target.name))
}

/// Builds the test programs of all crates that have targets.
fn programs(plain: bool) -> Result<Vec<PathBuf>> {
    let packages = packages()?;
    say::line(format!("  build     the tests of {}", packages.join(", ")));
    let mut arguments = vec!["test", "--release", "--lib", "--no-run", "--message-format=json"];
    for package in &packages {
        arguments.extend(["-p", package]);
    }
    let mut command = command::cargo(&arguments);
    if !plain {
        let wrapper = wrapper(&packages)?;
        command.env("RUSTC_WRAPPER", wrapper).env("CARGO_TARGET_DIR", paths::lab("fuzz"));
    }
    let output = command::successful(&mut command, &paths::log("fuzz-build"))?;
    Ok(output.text.lines().filter_map(executable).collect())
}

/// The program that a line of cargo's says is built.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}

/// Members of the workspace that depend on the engine.
fn packages() -> Result<Vec<String>> {
    let output = command::cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let uses = |package: &Value| {
        package["dependencies"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == ENGINE))
    };
    let members = metadata["packages"].as_array().into_iter().flatten();
    Ok(members.filter(|package| uses(package)).map(|package| text(&package["name"])).collect())
}

/// What is called in the place of the compiler: it asks for counters in the crates that matter. Those of all would make each input ten
/// times as slow.
fn wrapper(packages: &[String]) -> Result<PathBuf> {
    let names = packages.iter().map(|name| name.replace('-', "_")).chain(COUNTED.map(str::to_owned));
    let names: Vec<String> = names.chain(["weir_core".to_owned()]).collect();
    let file = paths::lab("fuzz").join("rustc");
    std::fs::create_dir_all(paths::lab("fuzz"))?;
    std::fs::write(&file, script(&names))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    Ok(file)
}

fn script(names: &[String]) -> String {
    let cases: Vec<String> = names.iter().map(|name| format!("*\" --crate-name {name} \"*")).collect();
    format!(
        "#!/bin/sh\nrustc=$1\nshift\ncase \" $* \" in\n{}) exec \"$rustc\" \"$@\" {FLAGS} ;;\nesac\nexec \"$rustc\" \"$@\"\n",
        cases.join("|")
    )
}

/// Asks each program for its tests.
fn targets(programs: &[PathBuf]) -> Result<Vec<Target>> {
    let mut all = BTreeMap::new();
    for program in programs {
        let output = Command::new(program).args(["--list", "--format=terse"]).output()?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((name, test)) = target(line) else { continue };
            let target = Target { name: name.clone(), program: program.clone(), test };
            if all.insert(name.clone(), target).is_some() {
                bail!("two targets are named {name}");
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The name and the test of a line such as `speaker::hostile::bgp_open: test`.
fn target(line: &str) -> Option<(String, String)> {
    let test = line.strip_suffix(": test")?;
    let (_, name) = test.rsplit_once(MODULE).filter(|(_, name)| !name.contains("::"))?;
    Some((name.replace('_', "-"), test.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_tests_in_modules_of_their_name() {
        let found = target("speaker::hostile::bgp_open: test").unwrap();
        assert_eq!(found, ("bgp-open".to_owned(), "speaker::hostile::bgp_open".to_owned()));
        assert_eq!(target("hostile::hello: test").unwrap().0, "hello");
        for other in [
            "speaker::bytes::tests::again: test",
            "hostile::tests::x: test",
            "3 tests",
            "hostile::a: benchmark",
        ] {
            assert_eq!(target(other), None, "{other}");
        }
    }

    #[test]
    fn only_named_crates_get_counters() {
        let text = script(&["weir_core".to_owned(), "weir_sidecar".to_owned()]);
        assert!(
            text.contains("*\" --crate-name weir_core \"*|*\" --crate-name weir_sidecar \"*) exec"),
            "{text}"
        );
        assert!(text.ends_with("exec \"$rustc\" \"$@\"\n"));
    }
}
