//! The process that holds a node: `unshare ... weir-lab keep`.
//!
//! Namespaces live as long as a process is in them. Because there must be one anyway, it also does what would
//! otherwise cost a process each: it makes the node's folders, writes files and kernel parameters, and hands batches
//! to `ip`. Requests and answers are lines of JSON on its standard input and output. When its input ends it ends.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount, mount_bind};
use serde::{Deserialize, Serialize};

/// An interface is up, in its flags.
const IFF_UP: u32 = 1;

/// What a keeper does for its node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// Lines for `ip -batch -`.
    Ip { batch: String },
    /// Sets interfaces up.
    Up { interfaces: Vec<String> },
    /// Kernel parameters, name and value.
    Sysctl { settings: Vec<(String, String)> },
    /// Writes a file in one step.
    Write { path: PathBuf, text: String },
    /// Makes a link to a file of the machine.
    Link { path: PathBuf, target: PathBuf },
    /// Removes a file where there is one.
    Remove { path: PathBuf },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Done,
    Failed(String),
}

/// The fabric's end of a keeper.
pub(super) struct Keeper {
    node: String,
    pid: u32,
    pipes: Mutex<(Child, Option<ChildStdin>, BufReader<ChildStdout>)>,
}

impl Keeper {
    /// Starts a keeper; [`Keeper::ready`] waits for it.
    pub(super) fn start(node: &str, logs: &Path) -> Result<Self> {
        std::fs::create_dir_all(logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--uts", "--"]).arg(std::env::current_exe()?);
        command.arg("keep").arg(node).arg(logs).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("node {node}: cannot start its keeper"))?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.context("a keeper without output")?;
        let pid = child.id();
        Ok(Self { node: node.to_owned(), pid, pipes: Mutex::new((child, requests, BufReader::new(answers))) })
    }

    /// Waits until the node is there.
    pub(super) fn ready(&self) -> Result<()> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&mut pipes.2).with_context(|| format!("node {} was not made", self.node))
    }

    /// The number of the process.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Has something done and waits for it.
    pub(super) fn ask(&self, request: &Request) -> Result<()> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        pipes.1.as_mut().context("the keeper was told to end")?.write_all(line.as_bytes())?;
        answer(&mut pipes.2)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.1 = None;
        drop(pipes.0.wait());
    }
}

fn answer(from: &mut impl BufRead) -> Result<()> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        bail!("its keeper has ended");
    }
    match serde_json::from_str(&line).with_context(|| format!("the keeper says {line:?}"))? {
        Answer::Done => Ok(()),
        Answer::Failed(why) => bail!("{why}"),
    }
}

/// The keeper itself: `weir-lab keep NODE LOGS`, in namespaces of its own.
pub(crate) fn keep(node: &str, logs: &Path) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut tell = |result: Result<()>| -> Result<()> {
        let answer = match result {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(format!("{error:#}")),
        };
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        Ok(out.flush()?)
    };
    tell(furnish(node, logs))?;
    for line in std::io::stdin().lock().lines() {
        tell(serde_json::from_str(&line?).map_err(Into::into).and_then(carry_out))?;
    }
    Ok(())
}

fn carry_out(request: Request) -> Result<()> {
    match request {
        Request::Ip { batch } => ip(&batch),
        Request::Up { interfaces } => interfaces.iter().try_for_each(|name| up(name)),
        Request::Sysctl { settings } => settings.iter().try_for_each(|(name, value)| sysctl(name, value)),
        Request::Write { path, text } => write(&path, &text),
        Request::Link { path, target } => link(&path, &target),
        Request::Remove { path } => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        },
    }
}

/// Makes the node: its name, its own /etc, /run and /var/log, its loopback.
fn furnish(node: &str, logs: &Path) -> Result<()> {
    rustix::system::sethostname(node.as_bytes()).context("host name")?;
    // Upper layers of the private folders: nothing of them is left when the namespace ends.
    tmpfs("/run")?;
    for folder in ["/run/etc/upper", "/run/etc/work", "/run/lock"] {
        std::fs::create_dir_all(folder)?;
    }
    mount(
        "overlay",
        "/etc",
        "overlay",
        MountFlags::empty(),
        Some(c"lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work"),
    )
    .context("private /etc")?;
    mount_bind(logs, "/var/log").context("private /var/log")?;
    // What /sys shows of the network is that of the namespace in which it was mounted.
    mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None).context("/sys")?;
    std::fs::create_dir_all("/etc/lb")?;
    write(Path::new("/etc/hostname"), &format!("{node}\n"))?;
    write(Path::new("/etc/hosts"), &format!("127.0.0.1 localhost {node}\n::1 localhost {node}\n"))?;
    // Nobody else can have a node's address, and waiting for that to be proved costs seconds.
    for which in ["all", "default"] {
        for (name, value) in [("accept_dad", "0"), ("accept_ra", "0")] {
            sysctl(&format!("net.ipv6.conf.{which}.{name}"), value)?;
        }
    }
    up("lo")
}

/// Sets an interface up by its flags in /sys: a program for it would be the dearest part of making a node.
fn up(interface: &str) -> Result<()> {
    let file = Path::new("/sys/class/net").join(interface).join("flags");
    let cannot = || format!("cannot set interface {interface} up");
    let flags = std::fs::read_to_string(&file).with_context(cannot)?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).with_context(cannot)?;
    std::fs::write(&file, format!("{:#x}", flags | IFF_UP)).with_context(cannot)
}

fn tmpfs(path: &str) -> Result<()> {
    mount("tmpfs", path, "tmpfs", MountFlags::NOSUID, Some(c"mode=755"))
        .with_context(|| format!("private {path}"))
}

fn ip(batch: &str) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start ip (package iproute2)")?;
    // A batch that fails early leaves the rest unread; what it says is worth more than the broken pipe.
    let fed = child.stdin.take().map(|mut input| input.write_all(batch.as_bytes()));
    let output = child.wait_with_output()?;
    if output.status.success() {
        return fed.transpose().map(|_| ()).context("ip read not all of its batch");
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    // "Command failed -:3" names the line.
    let number =
        complaint.lines().rev().find_map(|line| line.rsplit_once("-:")?.1.trim().parse::<usize>().ok());
    let line = number.and_then(|number| batch.lines().nth(number.saturating_sub(1))).unwrap_or(batch);
    bail!("ip {}: {}", line.trim(), complaint.trim())
}

/// Dots separate; a dot within an interface's name is written as a slash, as `sysctl` has it.
fn sysctl_path(name: &str) -> PathBuf {
    let path: String = name
        .chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    Path::new("/proc/sys").join(path)
}

fn sysctl(name: &str, value: &str) -> Result<()> {
    std::fs::write(sysctl_path(name), value).with_context(|| format!("kernel parameter {name}={value}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = path.parent().with_context(cannot)?;
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut name = path.file_name().with_context(cannot)?.to_owned();
    name.push(".new");
    let beside = folder.join(name);
    std::fs::write(&beside, text).with_context(cannot)?;
    if text.starts_with("#!") {
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).with_context(cannot)?;
    }
    std::fs::rename(&beside, path).with_context(cannot)
}

fn link(path: &Path, target: &Path) -> Result<()> {
    let cannot = || format!("cannot make {} a link to {}", path.display(), target.display());
    std::fs::create_dir_all(path.parent().with_context(cannot)?).with_context(cannot)?;
    if path.is_symlink() {
        std::fs::remove_file(path).with_context(cannot)?;
    }
    std::os::unix::fs::symlink(target, path).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_parameter_of_an_interface_with_a_dot_is_found() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), Path::new("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/10.rp_filter"),
            Path::new("/proc/sys/net/ipv4/conf/eth0.10/rp_filter")
        );
    }

    #[test]
    fn a_written_file_replaces_the_old_one_and_a_script_can_be_run() {
        let folder = std::env::temp_dir().join(format!("weir-lab-keeper-{}", std::process::id()));
        let file = folder.join("below/check.sh");
        write(&file, "old").unwrap();
        write(&file, "#!/bin/sh\n").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "#!/bin/sh\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(std::fs::read_dir(folder.join("below")).unwrap().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
