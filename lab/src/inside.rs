//! What runs inside the lab's kernel: one job, read from a file, followed by lines.
//!
//! Whoever adds a job adds a variant to [`Job`] and a line to [`run`]. A job prints lines to standard output, which
//! appear outside while it runs, and leaves its results in the run's folder. Lines sent from outside arrive at
//! [`Orders`].

mod visits;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::kernel::control::MARK;
use crate::tiers::Shape;
use crate::{bench, disrupt, kernel, trials, up};

/// A job with where it runs, handed over as a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// The run's folder: results and logs. The one place outside that can be written from inside.
    pub(crate) out: PathBuf,
    /// What the kernel needs to know to furnish its root.
    pub(crate) place: kernel::Place,
    /// What to do.
    pub(crate) job: Job,
}

/// What can be done inside.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Job {
    /// The lab's own parts, tried: see [`kernel::check`].
    Check,
    /// The topology of `cargo lab up`: see [`up`].
    Up(Shape),
    /// A small topology, asked everything that a stack promises: see [`trials`].
    Trial(Shape),
    /// Weir's L4 tier between real neighbors: see [`trials`].
    L4(trials::L4Task),
    /// The kernel's balancer as Weir keeps it: see [`trials`].
    TrialIpvs,
    /// The speaker among others: see [`trials`].
    TrialBgp,
    /// A large table, programmed by several programs: see [`bench::ipvs`].
    BenchIpvs(bench::ipvs::Task),
    /// Steps of the matrix of `cargo lab disrupt`: see [`disrupt`].
    Disrupt(disrupt::Task),
}

/// `weir-lab inside SPEC`.
pub(crate) fn run(file: &Path) -> Result<()> {
    let spec = Spec::read(file)?;
    let orders = Orders::listen();
    match spec.job {
        Job::Check => kernel::check::inside(&spec.out, &orders),
        Job::Up(shape) => up::inside(&spec.out, shape, &orders),
        Job::Trial(shape) => trials::tiers_inside(&spec.out, shape, &orders),
        Job::TrialBgp => trials::bgp_inside(&spec.out, &orders),
        Job::L4(task) => trials::l4_inside(&spec.out, task, &orders),
        Job::TrialIpvs => trials::ipvs_inside(&spec.out, &orders),
        Job::BenchIpvs(task) => bench::ipvs::inside(&spec.out, task, &orders),
        Job::Disrupt(task) => disrupt::inside(&spec.out, task, &orders),
    }
}

impl Spec {
    /// Reads what [`Spec::write`] wrote.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no job", file.display()))
    }

    /// Writes it to `spec.json` in the run's folder and says where that is.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let file = self.out.join("spec.json");
        std::fs::write(&file, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// Lines from outside. Their end means that nobody is there any more, and the job should end.
pub(crate) struct Orders {
    lines: Receiver<String>,
}

impl Orders {
    fn listen() -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if let Some(visit) = line.strip_prefix(MARK) {
                    visits::serve(visit);
                    continue;
                }
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// The next line, `None` where there is none within that time. An error at the end.
    pub(crate) fn next(&self, within: Duration) -> Result<Option<String>> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("nobody outside listens any more"),
        }
    }
}
