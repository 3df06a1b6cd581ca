//! `cargo lab test`: every check and test there is, in the order of what they cost.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::stage::{Count, Failed, Outcome, Stages, counted};
use crate::{build, command, install, kernel, paths, rules, trials};

/// Runs everything; an error where something failed.
pub(crate) fn run(keep_going: bool) -> Result<()> {
    install::for_building()?;
    let mut stages = Stages::new(keep_going);
    stages.run("format", "cargo fmt --all", |log| cargo(&["fmt", "--all", "--check"], &[], log));
    stages.run("rules", "cargo lab rules", |_| Ok(rules::run().map(|()| Count::ONE)?));
    let lints = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    stages.run("lints", "cargo clippy --release --workspace --all-targets -- -D warnings", |log| {
        cargo(&lints, &[], log)
    });
    let docs = ["doc", "--release", "--workspace", "--no-deps", "--document-private-items"];
    stages.run(
        "documentation",
        // Private items are documented as well, so links to them lead somewhere.
        "RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --release --workspace --no-deps --document-private-items",
        |log| cargo(&docs, &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")], log),
    );
    stages.run("plugins", "cargo lab plugins", |_| Ok(build::plugins().map(|_| Count::ONE)?));
    stages.run("unit tests", "cargo test --release --workspace", unit_tests);
    stages.run("binary", "cargo build --release -p weir", |log| Ok(build::weir(log).map(|()| Count::ONE)?));
    stages.run("lab kernel", "cargo lab kernel", |_| {
        kernel::check::run(None, false)?;
        Ok(Count::ONE)
    });
    for trial in trials::ALL {
        let name = format!("trial {}", trial.name);
        stages.run(&name, &format!("cargo lab trial {}", trial.name), |_| {
            Ok(trial.run().map(|()| Count::ONE)?)
        });
    }
    if !stages.finish() {
        // The totals are the last line; an error message would follow them.
        std::process::exit(1);
    }
    Ok(())
}

/// Runs trials by name, all where none is named; those that can last, for so many minutes.
pub(crate) fn run_trials(names: &[String], minutes: Option<f64>, built: bool) -> Result<()> {
    let lasts = minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0));
    let lasts = lasts.transpose().context("--minutes is no time")?;
    if !built {
        install::for_building()?;
        build::everything()?;
    }
    let lasting = |name: &str| trials::ENDURANCE.iter().find(|trial| trial.name == name);
    for name in names {
        if lasting(name).is_none() && !trials::ALL.iter().any(|trial| trial.name == name) {
            let known = trials::ALL.iter().map(|trial| trial.name);
            let known: Vec<&str> = known.chain(trials::ENDURANCE.iter().map(|trial| trial.name)).collect();
            bail!("no trial is named {name}; there are: {}", known.join(", "));
        }
    }
    let mut stages = Stages::new(true);
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let mut run = |name: &str, promise: &str, trial: &dyn Fn() -> Result<()>| {
        stages.run(name, &format!("cargo lab trial {name}"), |_| {
            println!("  {name}: {promise}");
            Ok(trial().map(|()| Count::ONE)?)
        });
    };
    for trial in trials::ALL.iter().filter(|trial| is_wanted(trial.name)) {
        run(trial.name, trial.promise, &|| trial.run());
    }
    for trial in names.iter().filter_map(|name| lasting(name)) {
        run(trial.name, trial.promise, &|| trial.run(lasts));
    }
    if !stages.finish() {
        std::process::exit(1);
    }
    Ok(())
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)], log: &Path) -> Outcome {
    let mut command = command::cargo(arguments);
    command.envs(environment.iter().copied());
    command::successful(&mut command, log)?;
    Ok(Count::ONE)
}

/// What the tests that failed said: the log ends with the totals of other crates, and on a CI machine its end is all that is
/// left of it.
fn panics(text: &str) -> String {
    const SHOWN: usize = 20;
    const LINES: usize = 4;
    let lines: Vec<&str> = text.lines().collect();
    let mut said = String::new();
    let panic = |line: &str| line.starts_with("thread '") && line.contains(" panicked at ");
    let found = lines.iter().enumerate().filter(|(_, line)| panic(line));
    for (at, _) in found.take(SHOWN) {
        for line in lines.iter().skip(at).take(LINES).take_while(|line| !line.starts_with("stack backtrace"))
        {
            said.extend(["    ", line, "\n"]);
        }
    }
    said
}

fn unit_tests(log: &Path) -> Outcome {
    // Past the first failing crate, so that the totals are those of all.
    let mut command = command::cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    let output = command::watched(&mut command, log)?;
    let mut count = counted(&output.text);
    if output.status.success() {
        return Ok(count);
    }
    // Code that does not compile fails without a test that could be counted.
    count.failed = count.failed.max(1);
    let why = format!(
        "{}{}\n(whole log: {})",
        panics(&output.text),
        command::tail(&output.text),
        paths::short(log)
    );
    Err(Failed { why, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_test_said_is_found_in_a_long_log() {
        let log = "test a ... ok\n\nthread 'main' (12) panicked at host/a.rs:131:5:\nassertion failed: x\n\
                   stack backtrace:\n   0: std\n\nthread 'b' panicked at host/b.rs:1:1:\nno\nnote: run with\n";
        assert_eq!(
            panics(log),
            "    thread 'main' (12) panicked at host/a.rs:131:5:\n    assertion failed: x\n    \
             thread 'b' panicked at host/b.rs:1:1:\n    no\n    note: run with\n"
        );
        assert_eq!(panics("test result: ok\n"), "");
    }
}
