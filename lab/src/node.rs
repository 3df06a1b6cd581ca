//! A `weir run` under the lab's eyes: started, awaited until it says that it is ready, asked, told, stopped.
//!
//! It cannot outlive the lab: the kernel ends it when the thread that started it is gone, however that came about.

#![allow(unsafe_code, reason = "a hook between fork and exec ties the child's life to ours")]

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use serde_json::Value;

use crate::fleet::{Fleet, NODE};
use crate::{command, http, paths};

/// How long a node may take until it is ready; compiling plugins is part of it.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a stopped node may drain.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// A pause between two looks at something that has no event.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running node.
pub(crate) struct Node {
    process: Process,
    /// Its fleet file.
    pub(crate) file: PathBuf,
    socket: PathBuf,
    metrics: SocketAddr,
    log: PathBuf,
}

impl Node {
    /// Starts `weir run` with this fleet in `folder` and returns when it says READY.
    pub(crate) fn start(fleet: &Fleet, folder: &Path) -> Result<Self> {
        Self::start_as(Command::new(paths::weir()), fleet, folder)
    }

    /// As [`Node::start`] with a command that becomes weir: `taskset -c 0 weir`, another build.
    pub(crate) fn start_as(weir: Command, fleet: &Fleet, folder: &Path) -> Result<Self> {
        Self::begin(weir, "run", fleet, folder)
    }

    /// `weir host` alone: of a node with a network side, the half that decides and can change nothing. It says READY when it has waited long
    /// enough for the other half.
    pub(crate) fn start_host(fleet: &Fleet, folder: &Path) -> Result<Self> {
        Self::begin(Command::new(paths::weir()), "host", fleet, folder)
    }

    fn begin(mut weir: Command, word: &str, fleet: &Fleet, folder: &Path) -> Result<Self> {
        let file = folder.join("fleet.toml");
        fleet.write(&file)?;
        let socket = folder.join("notify.sock");
        drop(std::fs::remove_file(&socket));
        let notices = UnixDatagram::bind(&socket).context("cannot listen for the node's READY")?;
        let log = folder.join("weir.log");
        weir.arg(word).arg("--fleet").arg(&file).args(["--node", NODE]).env("NOTIFY_SOCKET", &socket);
        let process = Process::start(&mut weir, &log)?;
        let node =
            Self { process, file, socket: fleet.socket(), metrics: fleet.metrics.listen, log: log.clone() };
        node.await_ready(notices)?;
        Ok(node)
    }

    /// Two things can happen first: a READY or the end. Both arrive at one channel, so nothing is polled.
    fn await_ready(&self, notices: UnixDatagram) -> Result<()> {
        let (happened, what) = channel();
        let ended = happened.clone();
        self.process.at_end(move || {
            // Nobody waits any more where the node was ready before.
            let _ = ended.send(false);
        });
        notices.set_read_timeout(Some(READY_WITHIN))?;
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = notices.recv(&mut message) {
                let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                if text.lines().any(|line| line == "READY=1") && happened.send(true).is_err() {
                    return;
                }
            }
        });
        match what.recv_timeout(READY_WITHIN) {
            Ok(true) => Ok(()),
            Ok(false) => bail!("weir ended before it was ready:\n{}", command::tail(&self.log_text())),
            Err(_) => bail!("weir is not ready after {READY_WITHIN:?}:\n{}", command::tail(&self.log_text())),
        }
    }

    /// What it has written to standard output and standard error.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid.as_raw_pid().unsigned_abs()
    }

    /// What the admin socket answers to a GET.
    pub(crate) fn ask(&self, path: &str) -> Result<String> {
        let answer = http::get_unix(&self.socket, path)
            .with_context(|| format!("admin socket {}", self.socket.display()))?;
        if answer.status != 200 {
            bail!("admin socket: {path} answers {}: {}", answer.status, answer.text());
        }
        Ok(answer.text())
    }

    /// The status, as `weir status --json` prints it.
    pub(crate) fn status(&self) -> Result<Value> {
        let text = self.ask("/status")?;
        serde_json::from_str(&text).with_context(|| format!("the status is not JSON: {text}"))
    }

    /// What a scrape would get.
    pub(crate) fn metrics(&self) -> Result<String> {
        Ok(http::get(self.metrics, "/metrics")?.text())
    }

    /// Has it read its files now; the answer of `weir reload` and whether it was content.
    pub(crate) fn reload(&self) -> Result<(bool, String)> {
        let output = Command::new(paths::weir()).arg("reload").arg("--socket").arg(&self.socket).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Looks at the status until it is as wanted. For what happens inside the node and is announced nowhere else.
    pub(crate) fn until(
        &self,
        what: &str,
        within: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let started = Instant::now();
        loop {
            let status = self.status()?;
            if wanted(&status) {
                return Ok(status);
            }
            if started.elapsed() > within {
                bail!("after {within:?} still not: {what}. The status is\n{status:#}");
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Two different signals: the first begins to drain, the second says not to wait for that. How it ended.
    pub(crate) fn stop_at_once(&self) -> Result<ExitStatus> {
        self.signal(Signal::INT)?;
        self.stop()
    }

    /// SIGTERM, and how it ended once it has drained.
    pub(crate) fn stop(&self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.process.wait(STOP_WITHIN)
    }
}

/// A child process whose end is awaited by a thread of its own.
pub(crate) struct Process {
    pid: Pid,
    shared: Arc<Shared>,
}

struct Shared {
    ended: Mutex<Ended>,
    changed: Condvar,
}

#[derive(Default)]
struct Ended {
    status: Option<ExitStatus>,
    then: Vec<Box<dyn FnOnce() + Send>>,
}

impl Process {
    /// Starts `command` with its output in `log`. To be called on a thread that lives as long as the child shall.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // SAFETY: the hook runs in the child between fork and exec, where only async-signal-safe calls are
        // allowed. It makes one system call (prctl) and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                Ok(())
            });
        }
        let child =
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let pid =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process number above 2^31")?;
        let shared = Arc::new(Shared { ended: Mutex::default(), changed: Condvar::new() });
        let waiting = Arc::clone(&shared);
        std::thread::spawn(move || waiting.reap(pid, child));
        Ok(Self { pid, shared })
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Runs this when the process has ended, at once where it has.
    fn at_end(&self, then: impl FnOnce() + Send + 'static) {
        let mut ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.status.is_some() {
            then();
        } else {
            ended.then.push(Box::new(then));
        }
    }

    /// Sends a signal; nothing where it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        // Under the lock the number cannot have been reaped and given to another process.
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.status.is_none() {
            rustix::process::kill_process(self.pid, signal)?;
        }
        Ok(())
    }

    /// How it ended, awaited for so long.
    pub(crate) fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _) = self
            .shared
            .changed
            .wait_timeout_while(ended, within, |ended| ended.status.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        ended.status.with_context(|| format!("process {} has not ended within {within:?}", self.pid()))
    }
}

impl Shared {
    fn reap(&self, pid: Pid, mut child: Child) {
        // Waits without taking the number away, then takes it under the lock: see `signal`.
        let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.status = child.wait().ok();
        let then = std::mem::take(&mut ended.then);
        drop(ended);
        self.changed.notify_all();
        for run in then {
            run();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whoever wanted it to end in good order has told it so before; what still runs is of no use.
        drop(self.signal(Signal::KILL));
        drop(self.wait(Duration::from_secs(5)));
    }
}

/// A channel that says when the person presses Ctrl-C or the session ends.
pub(crate) fn interrupted() -> Result<Receiver<()>> {
    use std::io::Read;
    let (mut told, telling) = std::os::unix::net::UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::low_level::pipe::register(signal, telling.try_clone()?)?;
    }
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        while told.read_exact(&mut byte).is_ok() && sender.send(()).is_ok() {}
    });
    Ok(receiver)
}
