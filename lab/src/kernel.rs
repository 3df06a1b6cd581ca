//! A kernel that can carry the lab, and a job in it.
//!
//! The lab needs IPVS and tunnels. Where the machine's own kernel has them, a run is a set of namespaces on it;
//! elsewhere it is Debian's user-mode kernel, which is a process. Inside, both look the same, because [`root`] builds
//! the same root for both: the machine's files below Debian packages that were unpacked and never installed, all
//! read-only under a layer in memory. Only the run's own folder is written.
//!
//! The kernel ends with the job, with the time limit, and with whoever started it, however that came about: it is
//! all in one process namespace whose first process the machine kills with its parent.
//!
//! | module | is |
//! |---|---|
//! | [`boot`] | the commands that start either kernel |
//! | [`init`] | the first process inside |
//! | [`root`] | the file system inside |
//! | [`modules`] | the kernel modules that the lab needs |
//! | [`affinity`] | which core the user-mode kernel has for itself |
//! | [`cpu`] | what programs under the user-mode kernel have used |
//! | [`control`] | the way in for visitors from another terminal |
//! | [`check`] | whether all this works, tried |

mod affinity;
mod boot;
pub(crate) mod check;
pub(crate) mod control;
mod cpu;
pub(crate) mod init;
mod modules;
mod root;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use affinity::Core;
pub(crate) use boot::shared_memory;
use control::Wire;
pub(crate) use modules::NEEDED;

use crate::inside::{Job, Spec};
use crate::{command, install, machine, paths, say};

/// Which kernel carries a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kernel {
    /// The machine's own, in namespaces
    Own,
    /// Debian's user-mode kernel, a process
    Uml,
}

impl Kernel {
    /// The machine's own where it has all that is needed and may be used, else the user-mode kernel.
    pub(crate) fn choose() -> Self {
        let able = machine::is_root() && modules::NEEDED.iter().all(|name| machine::kernel_module(name));
        if able { Self::Own } else { Self::Uml }
    }
}

impl Kernel {
    /// As `--kernel` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Uml => "uml",
        }
    }

    /// In words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Own => "namespaces on this machine's own kernel (--kernel own)",
            Self::Uml => "Debian's user-mode kernel (--kernel uml)",
        }
    }
}

/// What the first process inside has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    kernel: Kernel,
    /// The packages that were unpacked.
    tree: PathBuf,
    /// The checkout.
    checkout: PathBuf,
}

/// The user-mode kernel's program, where it is unpacked or installed.
pub(crate) fn user_mode_program() -> Option<PathBuf> {
    boot::program(&paths::lab("debian"))
}

/// What the full topology takes at most, in MiB.
pub(crate) const MEMORY: u32 = 6 * 1024;
/// The longest line to a job. The console of a user-mode kernel stops for ever where more than 4096 bytes wait in it.
pub(crate) const LONGEST: usize = 2000;

/// What a run needs.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Its name: it lives in `target/lab/runs/NAME/`, which is emptied first.
    pub(crate) name: String,
    /// A kernel of somebody's choice.
    pub(crate) kernel: Option<Kernel>,
    /// Memory of a user-mode kernel in MiB. Taken as it is used.
    pub(crate) memory: u32,
    /// After this long the kernel is killed.
    pub(crate) limit: Duration,
}

impl Wish {
    /// A run of this name with the memory that the full topology takes and half an hour.
    pub(crate) fn named(name: &str) -> Self {
        let limit = Duration::from_secs(30 * 60);
        Self { name: name.to_owned(), kernel: None, memory: MEMORY, limit }
    }
}

/// A job that runs. Dropping it kills the kernel under it.
pub(crate) struct Run {
    /// Where its results are.
    pub(crate) out: PathBuf,
    child: Child,
    wire: Arc<Wire>,
    lines: Receiver<String>,
    ends: Instant,
    limit: Duration,
    /// Given back with the run.
    _core: Option<Core>,
}

/// What a run says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A line of the job.
    Line(String),
    /// Nothing, within the time.
    Nothing,
    /// The job has ended; see [`Run::end`].
    End,
}

/// The folder of a run.
pub(crate) fn folder(name: &str) -> PathBuf {
    paths::lab("runs").join(name)
}

/// Starts a kernel with a job in it. To be called on a thread that lives as long as the run shall: the machine ends the
/// kernel with it.
pub(crate) fn start(wish: &Wish, job: Job) -> Result<Run> {
    let kernel = wish.kernel.unwrap_or_else(Kernel::choose);
    let tree = install::for_lab(kernel)?;
    let out = folder(&wish.name);
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", paths::short(&out)))?;
    }
    std::fs::create_dir_all(&out)?;
    own_program(&out)?;
    let place = Place { kernel, tree, checkout: paths::root().to_owned() };
    let (mut command, core) = match kernel {
        Kernel::Own => (boot::own(&out)?, None),
        Kernel::Uml => {
            let core = affinity::take()?;
            let number = core.as_ref().map(|core| core.number);
            (boot::user_mode(&place.tree, &out, wish.memory, number)?, core)
        }
    };
    let spec = Spec { out: out.clone(), place, job }.write()?;
    boot::with_spec(&mut command, kernel, &spec);
    let run = Run::start(command, out, core, wish.limit)?;
    if let Err(error) = control::listen(&run.out, kernel, &run.wire) {
        say::line(format!("  {error:#}"));
    }
    Ok(run)
}

/// The lab's own program of a run, in the run's folder: a build that replaces the program meanwhile does not change
/// what runs.
pub(crate) const PROGRAM: &str = "weir-lab";

fn own_program(out: &Path) -> Result<()> {
    let target = out.join(PROGRAM);
    let linked = std::env::current_exe().and_then(|program| std::fs::hard_link(program, &target));
    if linked.is_err() {
        // This works even where the file has lost its name.
        std::fs::copy("/proc/self/exe", &target).context("cannot copy the lab's program")?;
    }
    Ok(())
}

impl Run {
    fn start(
        mut command: std::process::Command,
        out: PathBuf,
        core: Option<Core>,
        limit: Duration,
    ) -> Result<Self> {
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", command::shown(&command)))?;
        let printed = child.stdout.take().context("a kernel without output")?;
        let wire = Wire::new(child.stdin.take());
        let sorting = Arc::clone(&wire);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(printed).split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                let Some(line) = sorting.sort(line) else { continue };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { out, child, wire, lines, ends: Instant::now() + limit, limit, _core: core })
    }

    /// Sends a line to the job, of [`LONGEST`] bytes at most.
    pub(crate) fn send(&mut self, line: &str) -> Result<()> {
        self.wire.send(line)
    }

    /// What it says next, awaited for so long at most. An error when its time is over.
    pub(crate) fn next(&mut self, within: Duration) -> Result<Said> {
        let left = self.ends.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(within.min(left)) {
            Ok(line) => Ok(Said::Line(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(Said::End),
            Err(RecvTimeoutError::Timeout) if Instant::now() >= self.ends => {
                self.kill();
                bail!(
                    "the run was ended after its limit of {}; {}",
                    say::elapsed(self.limit),
                    self.where_to_look()
                )
            }
            Err(RecvTimeoutError::Timeout) => Ok(Said::Nothing),
        }
    }

    /// Follows it to its end; every line goes to `tell`.
    pub(crate) fn follow(mut self, mut tell: impl FnMut(&str)) -> Result<PathBuf> {
        loop {
            match self.next(Duration::from_secs(3600))? {
                Said::Line(line) => tell(&line),
                Said::Nothing => {}
                Said::End => return self.end(),
            }
        }
    }

    /// Waits for its end; the run's folder where the job was content.
    pub(crate) fn end(mut self) -> Result<PathBuf> {
        self.wire.close();
        while !matches!(self.next(Duration::from_secs(3600))?, Said::End) {}
        let status = self.child.wait()?;
        let ended = std::fs::read_to_string(self.out.join(init::END)).unwrap_or_default();
        match ended.trim() {
            "0" => Ok(self.out.clone()),
            "" => {
                let log = std::fs::read_to_string(kernel_log(&self.out)).unwrap_or_default();
                let log = command::tail(&log);
                bail!("the kernel ended ({status}) before the job did; {}\n{log}", self.where_to_look())
            }
            code => bail!("the job ended with code {code}; {}", self.where_to_look()),
        }
    }

    /// CPU seconds that the programs inside have used by now, without the kernel's in their name. `None` on the machine's own kernel.
    pub(crate) fn outside_the_kernel(&self) -> Result<Option<f64>> {
        cpu::of_programs(self.child.id()).context("cannot see what programs have used")
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // The first process of the namespace dies with this one, and with it all others.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn where_to_look(&self) -> String {
        format!("its logs are in {}", paths::short(&self.out))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The pieces of a kernel's log that tell why it did not come up.
fn kernel_log(out: &Path) -> PathBuf {
    out.join("kernel.log")
}
