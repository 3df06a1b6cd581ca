//! What visitors from another terminal get, whatever the job is: a shell in a node, a packet trace of one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use crate::fabric;
use crate::kernel::control::{Answer, MARK, Order, Reply, Visit};

/// Serves an order that carries the mark, beside the job.
pub(super) fn serve(text: &str) {
    let Ok(order) = serde_json::from_str::<Order>(text) else { return };
    std::thread::spawn(move || {
        let number = order.number;
        if let Err(error) = carry_out(order) {
            reply(number, Answer::No(format!("{error:#}")));
        }
    });
}

fn reply(number: u32, answer: Answer) {
    if let Ok(text) = serde_json::to_string(&Reply { number, answer }) {
        println!("{MARK}{text}");
    }
}

fn carry_out(order: Order) -> Result<()> {
    match order.visit {
        Visit::Shell { node, rows, columns, console } => {
            let holder = fabric::holder(&node)?;
            let Some(console) = console else {
                reply(order.number, Answer::Console(None));
                return Ok(());
            };
            let path = PathBuf::from(format!("/dev/tty{console}"));
            let tty = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .with_context(|| format!("console {}", path.display()))?;
            let size = ["sane", "rows", &rows.to_string(), "cols", &columns.to_string()].map(str::to_owned);
            Command::new("stty").args(size).stdin(tty.try_clone()?).status()?;
            reply(order.number, Answer::Console(Some(console)));
            let result = shell(order.number, holder, &tty);
            reply(order.number, Answer::Left);
            result
        }
        Visit::Leave { number } => {
            if let Some(shell) = shells().get(&number) {
                rustix::process::kill_process(*shell, Signal::HUP)?;
            }
            Ok(())
        }
        Visit::Capture { node, seconds } => {
            let file = capture(&node, seconds)?;
            reply(order.number, Answer::File(file));
            Ok(())
        }
    }
}

/// The shells of visitors, by the number of the visit.
static SHELLS: Mutex<BTreeMap<u32, Pid>> = Mutex::new(BTreeMap::new());

fn shells() -> MutexGuard<'static, BTreeMap<u32, Pid>> {
    SHELLS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shell(number: u32, holder: u32, tty: &File) -> Result<()> {
    let inside = fabric::enter(holder, "bash");
    let mut command = Command::new("setsid");
    // The machine's start files are for its people: they may take seconds here, and may want what is not here.
    command
        .env("PS1", r"\h:\w# ")
        .arg("--ctty")
        .arg(inside.get_program())
        .args(inside.get_args())
        .args(["--noprofile", "--norc"]);
    command.stdin(tty.try_clone()?).stdout(tty.try_clone()?).stderr(tty.try_clone()?);
    let mut child = command.spawn().context("cannot start a shell")?;
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        shells().insert(number, pid);
    }
    let ended = child.wait();
    shells().remove(&number);
    ended.map(|_| ()).context("a shell")
}

/// Traces all interfaces of a node into a file of its log folder, which is the run's folder outside.
fn capture(node: &str, seconds: u64) -> Result<PathBuf> {
    let holder = fabric::holder(node)?;
    let taken = |file: &Path| {
        let output = fabric::enter(holder, "test").arg("-e").arg(file).status();
        output.is_ok_and(|status| status.success())
    };
    let name = (1..)
        .map(|number| format!("capture-{number}.pcap"))
        .find(|name| !taken(&Path::new("/var/log").join(name)))
        .context("no name is left")?;
    let mut command = fabric::enter(holder, "timeout");
    command.args([
        "--signal=INT",
        &seconds.to_string(),
        "tcpdump",
        "--interface=any",
        "-U",
        "-Z",
        "root",
        "-w",
    ]);
    command.arg(Path::new("/var/log").join(&name));
    let output = command.stdin(Stdio::null()).output()?;
    // 124: it ran for as long as it should.
    if !output.status.success() && output.status.code() != Some(124) {
        bail!("tcpdump ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(Path::new(node).join(name))
}
