//! `cargo lab shell NODE`: a shell in a node of a lab that runs in another terminal.
//!
//! On the machine's own kernel that is a command that enters the node. A user-mode kernel cannot be entered; it has
//! spare consoles, each with a pseudo terminal outside, to which this terminal is joined.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::kernel::control::{Answer, Visit, visit};

/// Ends a shell's input.
const END_OF_INPUT: u8 = 4;

/// Joins this terminal to a shell in the node until the shell ends.
pub(crate) fn run(node: &str, run: Option<&str>) -> Result<()> {
    let size = tcgetwinsize(std::io::stdin()).ok().filter(|size| size.ws_row > 0);
    let (rows, columns) = size.map_or((24, 80), |size| (size.ws_row, size.ws_col));
    let wanted = Visit::Shell { node: node.to_owned(), rows, columns, console: None };
    let visitor = visit(run, &wanted)?;
    match visitor.answer {
        Answer::Console(Some(console)) => join(&terminal_of(&visitor.out, console)?, &visitor.open),
        _ => enter(node, &visitor.out),
    }
}

/// The pseudo terminal of a console; the user-mode kernel names it in its log when the console is opened.
fn terminal_of(out: &Path, console: u8) -> Result<String> {
    let log = std::fs::read(out.join("kernel.log"))?;
    let log = String::from_utf8_lossy(&log);
    terminal_in(&log, console).with_context(|| format!("console {console} has no terminal; see kernel.log"))
}

fn terminal_in(log: &str, console: u8) -> Option<String> {
    let named = format!("Virtual console {console} assigned device '");
    let line = log.lines().rev().find(|line| line.contains(&named))?;
    Some(line.split_once(&named)?.1.trim_end().trim_end_matches('\'').to_owned())
}

/// Becomes a shell in the node. Does not return where that works.
fn enter(node: &str, out: &Path) -> Result<()> {
    let logs = out.join(node).display().to_string();
    let keeper = std::fs::read_dir("/proc")?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0).skip(1);
        let keeps = words.next()? == b"keep" && words.next()? == node.as_bytes();
        (keeps && words.next()? == logs.as_bytes()).then_some(pid)
    });
    let keeper = keeper.with_context(|| format!("no process holds node {node}"))?;
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={keeper}")).args([
        "--net",
        "--mount",
        "--uts",
        "--ipc",
        "--pid",
        "--",
        "bash",
        "--noprofile",
        "--norc",
    ]);
    command.env("PS1", r"\h:\w# ");
    Err(command.exec()).context("cannot enter the node")
}

/// Joins this terminal to another until the visit ends.
fn join(path: &str, visit: &UnixStream) -> Result<()> {
    let flags = i32::try_from(OFlags::NOCTTY.bits())?;
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .with_context(|| format!("cannot open {path}"))?;
    raw(&terminal)?;
    let own = Own::take()?;
    let mut keys = terminal.try_clone()?;
    std::thread::spawn(move || {
        let mut input = std::io::stdin();
        let mut buffer = [0; 1024];
        while let Ok(length) = input.read(&mut buffer) {
            let sent = buffer.get(..length).unwrap_or_default();
            // Keys of a person end with the shell; a pipe ends by itself and takes the shell with it.
            let end = if sent.is_empty() { &[END_OF_INPUT] } else { sent };
            if keys.write_all(end).is_err() || sent.is_empty() {
                return;
            }
        }
    });
    let mut shown = std::io::stdout();
    let mut terminal = terminal;
    let mut buffer = [0; 4096];
    loop {
        let mut wanted = [PollFd::new(&terminal, PollFlags::IN), PollFd::new(visit, PollFlags::IN)];
        rustix::event::poll(&mut wanted, None)?;
        let [some, ended] = wanted.map(|fd| !fd.revents().is_empty());
        // What the shell said last is shown before its end is noticed.
        if some {
            match terminal.read(&mut buffer) {
                Ok(length @ 1..) => {
                    shown.write_all(buffer.get(..length).unwrap_or_default())?;
                    shown.flush()?;
                }
                // The kernel is gone.
                Ok(0) | Err(_) => break,
            }
        } else if ended {
            break;
        }
    }
    drop(own);
    println!();
    Ok(())
}

fn raw(terminal: &File) -> Result<()> {
    let mut settings = tcgetattr(terminal)?;
    settings.make_raw();
    Ok(tcsetattr(terminal, OptionalActions::Now, &settings)?)
}

/// This terminal without line editing, which the other one does. Given back as it was.
struct Own {
    before: Option<Termios>,
}

impl Own {
    fn take() -> Result<Self> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(&input)?;
        let mut settings = before.clone();
        settings.make_raw();
        tcsetattr(&input, OptionalActions::Now, &settings)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_that_was_opened_again_has_the_terminal_that_it_got_last() {
        let log = "Virtual console 2 assigned device '/dev/pts/4'\r\nVirtual console 3 assigned device '/dev/pts/5'\n\
                   Virtual console 2 assigned device '/dev/pts/9'\r\n";
        assert_eq!(terminal_in(log, 2).as_deref(), Some("/dev/pts/9"));
        assert_eq!(terminal_in(log, 3).as_deref(), Some("/dev/pts/5"));
        assert_eq!(terminal_in(log, 1), None);
    }
}
