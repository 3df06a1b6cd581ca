//! A program that runs in a node until it is told to end, with everything that it started.
//!
//! Daemons fork: workers, health checks, shells. To kill a daemon is to kill all of them. Who belongs to it is told
//! by its process group, by descent and by a mark in the environment, because each alone has an exception: some
//! daemons make groups of their own, orphans have no parent, nginx overwrites its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// The mark.
const MARK: &str = "WEIR_LAB_DAEMON";
/// A pause between two looks at whether a program has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long what was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A running program of a node. Dropping it kills it.
pub(crate) struct Daemon {
    node: String,
    name: String,
    pid: u32,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Daemon {
    pub(super) fn start(mut command: Command, node: &str, name: &str, log: &Path) -> Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        writeln!(file, "$ {}", crate::command::shown(&command))?;
        command.env(MARK, format!("{node}/{name}")).process_group(0);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("node {node}: cannot start {name}"))?;
        let pid = child.id();
        Ok(Self {
            node: node.to_owned(),
            name: name.to_owned(),
            pid,
            log: log.to_owned(),
            child: Mutex::new(child),
        })
    }

    /// The node it runs in.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Its name, as given at its start.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number of its first process.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until its first process and all that it started have ended by themselves; what has not by then is killed.
    pub(crate) fn await_gone(&self, within: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let running = self.is_running();
            let mut mine = belonging(&processes(), self.pid, &format!("{MARK}={}/{}", self.node, self.name));
            if !running {
                mine.remove(&self.pid);
            }
            if mine.is_empty() || started.elapsed() > within {
                return self.kill();
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Where it prints to.
    pub(crate) fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// Whether its first process still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.ended().is_none()
    }

    /// How its first process ended, where it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Sends a signal to its first process; nothing where that has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        // Under the lock nobody reaps it, so the number is still its own.
        if child.try_wait()?.is_none() {
            send(self.pid, signal)?;
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL where that does not end it in time.
    pub(crate) fn stop_or_kill(&self, within: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        while self.is_running() && started.elapsed() < within {
            std::thread::sleep(LOOK_AGAIN);
        }
        self.kill()
    }

    /// SIGKILL to it and to all that it started. Returns when they are gone.
    pub(crate) fn kill(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let running = self.is_running();
            let mut mine = belonging(&processes(), self.pid, &format!("{MARK}={}/{}", self.node, self.name));
            if !running {
                mine.remove(&self.pid);
            }
            if mine.is_empty() {
                return Ok(());
            }
            for pid in &mine {
                // One that has ended since has nothing to be told.
                drop(send(*pid, Signal::KILL));
            }
            if started.elapsed() > GONE_WITHIN {
                bail!(
                    "node {}: {} is still there {GONE_WITHIN:?} after SIGKILL: {mine:?}",
                    self.node,
                    self.name
                );
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// What is known of a process.
#[derive(Debug, Clone, Default)]
struct Known {
    parent: u32,
    group: u32,
    environment: Vec<u8>,
}

/// All processes that have not ended.
fn processes() -> BTreeMap<u32, Known> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((state, parent, group)) = stat_fields(&stat) else { continue };
        if state == "Z" || state == "X" {
            continue;
        }
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        all.insert(pid, Known { parent, group, environment });
    }
    all
}

/// The processes that a process has started and that have not ended.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    processes().into_iter().filter(|(_, known)| known.parent == parent).map(|(pid, _)| pid).collect()
}

/// State, parent and group of a line of /proc/PID/stat. The name before them may hold blanks and brackets.
fn stat_fields(stat: &str) -> Option<(&str, u32, u32)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The processes that belong to the daemon whose first process is `first`.
fn belonging(all: &BTreeMap<u32, Known>, first: u32, mark: &str) -> BTreeSet<u32> {
    let marked =
        |known: &Known| known.environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes());
    let mut mine: BTreeSet<u32> = all
        .iter()
        .filter(|(pid, known)| **pid == first || known.group == first || marked(known))
        .map(|(pid, _)| *pid)
        .collect();
    loop {
        let before = mine.len();
        for (pid, known) in all {
            if mine.contains(&known.parent) {
                mine.insert(*pid);
            }
        }
        if mine.len() == before {
            return mine;
        }
    }
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process number above 2^31")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_its_group_its_descendants_and_whoever_carries_its_mark() {
        let known =
            |parent, group, environment: &str| Known { parent, group, environment: environment.into() };
        let all = BTreeMap::from([
            (10, known(1, 10, "A=1\0WEIR_LAB_DAEMON=l7-1/nginx\0")),
            (11, known(10, 10, "overwritten")),
            (12, known(11, 12, "overwritten")),
            (13, known(1, 13, "WEIR_LAB_DAEMON=l7-1/nginx\0")),
            (14, known(13, 14, "")),
            (20, known(1, 20, "WEIR_LAB_DAEMON=l7-10/nginx\0")),
            (21, known(20, 20, "")),
        ]);
        let mine = belonging(&all, 10, "WEIR_LAB_DAEMON=l7-1/nginx");
        assert_eq!(mine, BTreeSet::from([10, 11, 12, 13, 14]));
    }

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        assert_eq!(stat_fields("7 (a) b (c) S 3 5 5 0"), Some(("S", 3, 5)));
        assert_eq!(stat_fields("7"), None);
    }
}
