//! The commands that start a kernel: namespaces on the machine's own, or Debian's user-mode kernel.
//!
//! Both go through `setpriv --pdeathsig` and `unshare --pid --kill-child`: the machine kills the first process of the
//! namespace when its parent is gone, and all others with it. So nothing that a run starts can outlive the lab.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Kernel, PROGRAM, kernel_log, modules};
use crate::{machine, paths};

/// The user-mode kernel is started with the channel as descriptors 3 and 4, because what it prints to its standard
/// output before it has consoles would be taken for lines of the job.
const REDIRECT: &str = r#"log=$1; shift; "$@" 3<&0 4>&1 </dev/null >"$log" 2>&1"#;

/// On the machine's own kernel. The first process is the lab itself.
pub(super) fn own(out: &Path) -> Result<Command> {
    modules::load_on_machine()?;
    let mut command = tied(&["--mount", "--net", "--uts", "--ipc"]);
    command.arg(out.join(PROGRAM));
    Ok(command)
}

/// Debian's user-mode kernel, whose root is the machine's, read-only; on this core.
pub(super) fn user_mode(tree: &Path, out: &Path, memory: u32, core: Option<usize>) -> Result<Command> {
    path_is_sound()?;
    let program = program(tree).context("the package user-mode-linux has no program linux.uml")?;
    let mut command = tied(&[]);
    if let Some(core) = core {
        command.args(["taskset", "-c"]).arg(core.to_string());
        if machine::is_root() && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            // Before all that runs on that core by the usual rules: a build beside it would hold it up at each of its handings over.
            // The machine keeps a twentieth of the core for others (kernel.sched_rt_runtime_us).
            command.args(["chrt", "-r", "1"]);
        }
    }
    command.args(["sh", "-c", REDIRECT, "sh"]).arg(kernel_log(out)).arg(program);
    // The kernel's memory is a file without a name. In a memory file system it is never written to a disk.
    command.env("TMPDIR", if shared_memory() >= u64::from(memory) { Path::new("/dev/shm") } else { out });
    command.args(line(memory, out));
    command.arg(format!("init={}", out.join(PROGRAM).display()));
    Ok(command)
}

/// Adds what the first process is told.
pub(super) fn with_spec(command: &mut Command, kernel: Kernel, spec: &Path) {
    if kernel == Kernel::Uml {
        // The kernel hands what follows to init.
        command.arg("--");
    }
    command.arg("boot").arg(spec);
}

/// The user-mode kernel's own options.
fn line(memory: u32, out: &Path) -> Vec<String> {
    let consoles = ["con=null", "con0=null,fd:1", "con1=fd:3,fd:4", "con2=pts", "con3=pts", "ssl=null"];
    let mut line = vec![
        format!("mem={memory}M"),
        "root=/dev/root".to_owned(),
        "rootfstype=hostfs".to_owned(),
        "rootflags=/".to_owned(),
        "ro".to_owned(),
        // Its pid file and management socket would otherwise be in the user's home.
        format!("uml_dir={}", out.join("uml").display()),
        "umid=lab".to_owned(),
        // A kernel that fails says so and ends, instead of waiting for somebody to look at it.
        "panic=-1".to_owned(),
    ];
    line.extend(consoles.map(str::to_owned));
    line
}

/// A command in namespaces that end with whoever started it.
fn tied(namespaces: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL"]);
    if !machine::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(namespaces).arg("--");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // Ctrl-C goes to the lab alone, which ends the run in good order.
    command.process_group(0);
    command
}

/// The user-mode kernel's program, unpacked or installed.
pub(super) fn program(tree: &Path) -> Option<std::path::PathBuf> {
    let unpacked = tree.join("usr/bin/linux.uml");
    if unpacked.is_file() { Some(unpacked) } else { machine::program("linux.uml") }
}

/// The size of /dev/shm that is free, in MiB.
pub(crate) fn shared_memory() -> u64 {
    rustix::fs::statvfs("/dev/shm").map_or(0, |stat| stat.f_bavail * stat.f_frsize / (1024 * 1024))
}

/// Refuses a checkout whose path a kernel's command line could not carry.
fn path_is_sound() -> Result<()> {
    let root = paths::root().display().to_string();
    if root.contains(|c: char| c.is_whitespace() || ":,\\\"'".contains(c)) {
        bail!("the lab cannot run from {root}: a kernel's options hold no blanks, commas, colons or quotes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_files_are_read_only_and_the_kernels_own_lie_in_the_runs_folder() {
        let line = line(512, Path::new("/checkout/target/lab/runs/x"));
        for wanted in ["mem=512M", "ro", "uml_dir=/checkout/target/lab/runs/x/uml", "con1=fd:3,fd:4"] {
            assert!(line.iter().any(|option| option == wanted), "{wanted} in {line:?}");
        }
        assert!(!line.iter().any(|option| option == "rw"), "{line:?}");
    }

    #[test]
    fn a_run_is_tied_to_whoever_started_it() {
        let command = tied(&["--net"]);
        let arguments: Vec<String> =
            command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let text = arguments.join(" ");
        assert!(text.starts_with("--pdeathsig KILL unshare --pid --fork --kill-child=KILL"), "{text}");
        assert!(text.ends_with("--net --"), "{text}");
    }
}
