//! The processes of a node's `weir run`, one by one: what becomes of a node when one of them is killed.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::World;
use crate::fabric::daemon;

/// A process of a node with a network side, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The one that decides.
    Host,
    /// The one that has power over the network.
    Sidecar,
    /// The one that starts the other two.
    Supervisor,
    /// All three at once.
    All,
}

impl Part {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Sidecar => "sidecar",
            Self::Supervisor => "supervisor",
            Self::All => "all processes",
        }
    }
}

/// Whoever lost its supervisor leaves in order, which takes it a while.
const LEAVES_WITHIN: Duration = Duration::from_secs(60);

impl World {
    /// Kills a part of a node's Weir with SIGKILL. What has a supervisor is started again by it; a supervisor is by us, as an init
    /// system does it: when all that it had started has ended.
    pub(crate) fn kill_part(&mut self, node: &str, part: Part) -> Result<()> {
        let daemon = self.program(node, "weir").with_context(|| format!("{node} does not run Weir"))?;
        match part {
            Part::All => daemon.kill()?,
            Part::Supervisor => {
                daemon.signal(Signal::KILL)?;
                daemon.await_gone(LEAVES_WITHIN)?;
            }
            Part::Host | Part::Sidecar => {
                let child = child(daemon.pid(), part.name()).with_context(|| {
                    format!("{node}: `weir run` has no {}; it may be between two starts", part.name())
                })?;
                let child = Pid::from_raw(child.cast_signed()).context("no process")?;
                return Ok(kill_process(child, Signal::KILL)?);
            }
        }
        self.running.remove(node);
        self.start(node)
    }
}

/// The child of a process whose first argument is this.
fn child(parent: u32, word: &str) -> Option<u32> {
    daemon::children(parent).into_iter().find(|child| {
        let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(word.as_bytes())
    })
}
