//! `weir run` on a node that has power over its network: two processes, started, watched and ended together.
//!
//! The host decides, the sidecar has the power (see `weir-sidecar`). This process has neither plugins nor sockets, so there is
//! little in it that could end it. When a child dies it is started again, the sooner the longer it had lived; the other one
//! goes on meanwhile. SIGHUP, SIGUSR1 and SIGTERM are the host's to obey; the sidecar ends when the host has ended, so that
//! announcements are taken back in order. Both are in process groups of their own: what a terminal sends, this process alone gets.
//! When it is killed, both children are told to end by the kernel.

use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::EXIT_FAULTY;

/// The first pause before a child is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Who has lived for so long did not die of its start. A host that dies again after that is back long before the sidecar's hold is
/// over.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

/// How long the sidecar may take to end its sessions.
const PATIENCE: Duration = Duration::from_secs(15);

/// A program that is started again whenever it ends.
struct Kept {
    name: &'static str,
    args: Vec<String>,
    running: Option<Child>,
    started: Instant,
    pauses: Pauses,
}

/// The pause before the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pauses(Duration);

impl Pauses {
    const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// The pause after a life of this length: twice the last one, unless it was long enough.
    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= LONG_ENOUGH {
            *self = Self::new();
        }
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// What happened to one of them.
enum Turn {
    Ended(ExitStatus),
    Due,
}

impl Kept {
    fn new(name: &'static str, args: Vec<String>) -> Self {
        Self { name, args, running: None, started: Instant::now(), pauses: Pauses::new() }
    }

    /// Starts it. What cannot be started is tried again, like what ended at once.
    fn start(&mut self) -> std::io::Result<()> {
        // The binary that runs, also after another one was installed over it: they speak with each other.
        let mut command = Command::new("/proc/self/exe");
        let child = command.arg(self.name).args(&self.args).process_group(0).kill_on_drop(true).spawn()?;
        tracing::info!(child = self.name, pid = child.id(), "started");
        (self.running, self.started) = (Some(child), Instant::now());
        Ok(())
    }

    /// Waits until it has ended, or until it is to be started. May be cancelled.
    async fn turn(&mut self) -> Turn {
        match &mut self.running {
            Some(child) => match child.wait().await {
                Ok(status) => Turn::Ended(status),
                // Nobody's child any more, as far as the kernel knows.
                Err(_) => Turn::Due,
            },
            None => {
                tokio::time::sleep_until(self.started).await;
                Turn::Due
            }
        }
    }

    fn ended(&mut self, status: ExitStatus) {
        let pause = self.pauses.after(self.started.elapsed());
        tracing::error!(child = self.name, %status, ?pause, "ended, is started again");
        (self.running, self.started) = (None, Instant::now() + pause);
    }

    fn due(&mut self) {
        if let Err(error) = self.start() {
            let pause = self.pauses.after(Duration::ZERO);
            tracing::error!(child = self.name, %error, ?pause, "cannot be started");
            (self.running, self.started) = (None, Instant::now() + pause);
        }
    }

    fn tell(&self, signal: Signal) {
        let pid = self.running.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Runs `weir host` and `weir sidecar` with these arguments until this process is told to stop. The host's exit code.
pub(crate) fn run(host: Vec<String>, sidecar: Vec<String>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(Kept::new("host", host), Kept::new("sidecar", sidecar)))
}

async fn supervise(mut host: Kept, mut sidecar: Kept) -> anyhow::Result<ExitCode> {
    let listen = |kind| signal(kind).context("cannot listen to signals");
    let (mut hangup, mut renamed) = (listen(SignalKind::hangup())?, listen(SignalKind::user_defined1())?);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    sidecar.start().context("cannot start the sidecar")?;
    host.start().context("cannot start the host")?;
    let (mut stopping, mut is_first) = (false, true);
    let code = loop {
        tokio::select! {
            turn = host.turn() => match turn {
                Turn::Ended(status) if stopping => break code(status),
                // Its first word about the fleet file is the last one; `weir check` says what is wrong, and so did it.
                Turn::Ended(status) if is_first && status.code() == Some(EXIT_FAULTY.into()) => break ExitCode::from(EXIT_FAULTY),
                Turn::Ended(status) => {
                    is_first = false;
                    host.ended(status);
                }
                Turn::Due => host.due(),
            },
            turn = sidecar.turn() => match turn {
                Turn::Ended(status) => sidecar.ended(status),
                Turn::Due => sidecar.due(),
            },
            _ = hangup.recv() => host.tell(Signal::HUP),
            _ = renamed.recv() => host.tell(Signal::USR1),
            _ = terminate.recv() => if stop(&host, &mut stopping) { break ExitCode::SUCCESS },
            _ = interrupt.recv() => if stop(&host, &mut stopping) { break ExitCode::SUCCESS },
        }
    };
    end(sidecar).await;
    Ok(code)
}

/// Tells the host to stop. True where there is none to wait for.
fn stop(host: &Kept, stopping: &mut bool) -> bool {
    *stopping = true;
    host.tell(Signal::TERM);
    host.running.is_none()
}

async fn end(mut sidecar: Kept) {
    sidecar.tell(Signal::TERM);
    let Some(child) = &mut sidecar.running else { return };
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("the sidecar does not end, and is killed; the kernel goes on forwarding");
        let _ = child.kill().await;
    }
}

fn code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|c| u8::try_from(c).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Has the kernel tell this process to end when its supervisor, `parent`, is gone. To be called on the first thread, after
/// privileges were given up: the kernel forgets it when those change.
pub(crate) fn end_with(parent: u32) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("cannot watch the supervisor")?;
    let now = rustix::process::getppid().map(|p| p.as_raw_nonzero().get().cast_unsigned());
    if now != Some(parent) {
        anyhow::bail!("the supervisor is gone already");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_of_its_start_is_started_less_and_less_often() {
        let mut pauses = Pauses::new();
        let after: Vec<_> = (0..9).map(|_| pauses.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(after, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pauses.after(LONG_ENOUGH), FIRST_PAUSE);
        assert_eq!(pauses.after(Duration::ZERO), FIRST_PAUSE * 2);
    }
}
