//! The first process inside: `weir-lab boot SPEC`. It makes the root, loads modules, runs the job, says how that
//! ended and turns the kernel off.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{WaitOptions, wait};
use rustix::system::RebootCommand;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::{Kernel, PROGRAM, modules, root};
use crate::inside::Spec;

/// The file in the run's folder that holds the job's exit code.
pub(crate) const END: &str = "end";

/// How many packets may wait for the core that they were sent to, between all interfaces.
const BACKLOG: &str = "/proc/sys/net/core/netdev_max_backlog";

/// Does all of it. Does not return in a user-mode kernel.
pub(crate) fn boot(file: &Path) -> Result<()> {
    let spec = Spec::read(file)?;
    let code = match job(&spec, file) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the kernel was not furnished: {error:#}");
            1
        }
    };
    if let Err(error) = std::fs::write(spec.out.join(END), format!("{code}\n")) {
        eprintln!("cannot say outside how the job ended: {error}");
    }
    if spec.place.kernel == Kernel::Uml {
        rustix::fs::sync();
        rustix::system::reboot(RebootCommand::PowerOff).context("cannot turn the kernel off")?;
    }
    Ok(())
}

/// Furnishes the kernel and runs the job in it: its exit code.
fn job(spec: &Spec, file: &Path) -> Result<i32> {
    let user_mode = spec.place.kernel == Kernel::Uml;
    if user_mode {
        modules::load_overlay(&spec.place.tree)?;
    }
    root::enter(&spec.place, &spec.out)?;
    let mut command = Command::new(spec.out.join(PROGRAM));
    command.arg("inside").arg(file);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("TERM", "linux");
    if user_mode {
        let console = console("/dev/tty1")?;
        command.stdin(console.try_clone()?).stdout(console.try_clone()?).stderr(console);
        modules::load_in_user_mode()?;
        // All nodes share the one core and its queue of packets between them. Of 1,000, what the kernel comes with, some hundred
        // are dropped in minutes at full size, and what looks like a fault of the stack is one of the lab.
        std::fs::write(BACKLOG, "30000").with_context(|| format!("cannot write {BACKLOG}"))?;
    } else {
        command.stdin(Stdio::inherit());
    }
    let child = command.spawn().context("cannot start the job")?;
    let pid = i32::try_from(child.id()).context("a process number above 2^31")?;
    loop {
        // Orphans of all nodes come here to be buried.
        let Some((ended, status)) = wait(WaitOptions::empty())? else { continue };
        if ended.as_raw_pid() == pid {
            return Ok(status
                .exit_status()
                .unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0)));
        }
    }
}

/// A console as a plain pipe of bytes: no echo, no line editing, no signals.
fn console(path: &str) -> Result<File> {
    let mut file =
        OpenOptions::new().read(true).write(true).open(path).with_context(|| format!("console {path}"))?;
    let mut settings = tcgetattr(&file)?;
    settings.make_raw();
    tcsetattr(&file, OptionalActions::Now, &settings)?;
    file.flush()?;
    Ok(file)
}
