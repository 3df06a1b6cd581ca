//! Programs that the lab runs to their end: cargo, apt. Their output goes to a log; a person sees that it goes on.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{paths, say};

/// A silence of this length gets a line that says what the program is at.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of a failed program's log that are shown.
const TAIL: usize = 40;

/// A program's end and everything it printed.
pub(crate) struct Output {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Standard output and standard error as they came.
    pub(crate) text: String,
}

/// Runs `command` with its output in `log` and a line of progress every ten seconds.
pub(crate) fn watched(command: &mut Command, log: &Path) -> Result<Output> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    writeln!(file, "$ {}", shown(command))?;
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    // `command` holds the pipe's other end: with it open the reader would never see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (lines, arrived) = channel();
    let reading = std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { break };
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    let started = Instant::now();
    let mut told = started;
    let mut text = String::new();
    let mut last = String::new();
    loop {
        let wait = PATIENCE.saturating_sub(told.elapsed());
        match arrived.recv_timeout(wait) {
            Ok(line) => {
                writeln!(file, "{line}")?;
                text.push_str(&line);
                text.push('\n');
                if !line.trim().is_empty() {
                    last = line;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if told.elapsed() >= PATIENCE {
            told = Instant::now();
            let brief: String = last.trim().chars().take(80).collect();
            say::line(format!("      {:>9}  {brief}", say::elapsed(started.elapsed())));
        }
    }
    drop(reading.join());
    Ok(Output { status: child.wait()?, text })
}

/// As [`watched`], and an end other than success is an error that shows the end of the log.
pub(crate) fn successful(command: &mut Command, log: &Path) -> Result<Output> {
    let output = watched(command, log)?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}\n(whole log: {})",
            shown(command),
            output.status,
            tail(&output.text),
            paths::short(log)
        );
    }
    Ok(output)
}

/// A cargo command in the root of the checkout, by the cargo that runs this lab.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(paths::root()).env("CARGO_TERM_COLOR", "never");
    command
}

/// The last lines of a log, indented.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(TAIL);
    lines.iter().skip(start).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| {
        let text = argument.to_string_lossy();
        if text.contains([' ', '"', '\'']) { format!("'{text}'") } else { text.into_owned() }
    });
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_both_kinds_is_kept_in_the_log_and_in_the_result() {
        let log = std::env::temp_dir().join(format!("weir-lab-command-{}.log", std::process::id()));
        let output =
            watched(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), &log).unwrap();
        assert_eq!(output.status.code(), Some(3));
        let written = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        for line in ["out\n", "err\n"] {
            assert!(output.text.contains(line) && written.contains(line));
        }
    }

    #[test]
    fn a_failure_shows_the_end_of_what_was_printed() {
        let log = std::env::temp_dir().join(format!("weir-lab-tail-{}.log", std::process::id()));
        let error = successful(Command::new("sh").args(["-c", "seq 100; exit 1"]), &log).err().unwrap();
        std::fs::remove_file(&log).unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("    100\n") && !text.contains("    50\n"), "{text}");
    }
}
