//! `weir-lab turn`: becomes a program once some files are there. A shell that sleeps in a loop starts a process for each
//! look, which many waiting nodes on one CPU feel.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

/// Between two looks. Files of another mount namespace have no event that this one could be told of.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What to wait for, what to become.
#[derive(Debug, Args)]
pub(crate) struct Turn {
    /// A file that has to be there
    #[arg(long = "after", required = true)]
    after: Vec<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// Waits, however long it takes: whoever started it looks after its end.
pub(crate) fn run(turn: &Turn) -> Result<()> {
    while !turn.after.iter().all(|file| file.exists()) {
        std::thread::sleep(LOOK_AGAIN);
    }
    let (program, arguments) = turn.argv.split_first().context("no program to become")?;
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("cannot become {program}"))
}
