//! Which processes a node is, and what each of them may do.
//!
//! A node whose fleet has no L4 tier has no network side: `weir run` is the host itself, one process. Else it is a
//! [`supervisor`] of two.

use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use anyhow::Context;
use weir_core::config::{Fleet, Paths};
use weir_core::l4::has_tunnels;
use weir_sidecar::privileges::{self, User};

use crate::cli::{HostArgs, RunArgs, SidecarArgs};
use crate::fleet::FleetFile;
use crate::{EXIT_FAULTY, logging, run, supervisor};

/// The name of the sidecar's socket in the run directory.
pub(crate) const SIDECAR_SOCKET: &str = "sidecar.sock";

/// `weir run`.
pub(crate) fn node(args: &RunArgs) -> ExitCode {
    let (file, name) = match read(args) {
        Ok(read) => read,
        Err(code) => return code,
    };
    if !has_tunnels(&file.fleet, &name) {
        let begun = furnish(&file.fleet.paths, args.user.as_deref())
            .and_then(|()| unprivileged(args.user.as_deref()));
        return ended(begun.map(|()| run::main(file, name)));
    }
    logging::start(file.fleet.log.level);
    ended(supervised(args, &file.fleet, &name))
}

/// `weir host`.
pub(crate) fn host(args: &HostArgs) -> ExitCode {
    let (file, name) = match read(&args.run) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let begun = unprivileged(args.run.user.as_deref())
        .and_then(|()| privileges::keep_only(privileges::HOST).context("privileges"))
        .and_then(|_| args.supervisor.map_or(Ok(()), supervisor::end_with));
    ended(begun.map(|()| run::main(file, name)))
}

/// `weir sidecar`.
pub(crate) fn sidecar(args: &SidecarArgs) -> ExitCode {
    logging::start(args.log);
    let options = weir_sidecar::Options {
        socket: args.socket.clone(),
        host_uid: args.host_uid,
        observe_only: args.observe,
        every: Duration::from_millis(args.every),
    };
    let begun = args.supervisor.map_or(Ok(()), supervisor::end_with);
    ended(begun.and_then(|()| Ok(weir_sidecar::run(&options)?)).map(|()| ExitCode::SUCCESS))
}

fn ended(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("weir: {error:#}");
        ExitCode::FAILURE
    })
}

/// The fleet file and this node's name in it. [`EXIT_FAULTY`] where there is a fault: nothing was bound then.
fn read(args: &RunArgs) -> Result<(FleetFile, String), ExitCode> {
    let faulty = |fault: String| {
        eprintln!("{}", fault.trim_end());
        ExitCode::from(EXIT_FAULTY)
    };
    let file = FleetFile::read(&args.fleet).map_err(|error| faulty(error.to_string()))?;
    let name = args.node.clone().unwrap_or_else(host_name);
    if let Err(unknown) = file.fleet.node(&name) {
        return Err(faulty(format!(
            "{}: {unknown}; say which one this is with --node",
            args.fleet.display()
        )));
    }
    Ok((file, name))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Becomes the user that was asked for.
fn unprivileged(user: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = user else { return Ok(()) };
    let user = User::find(name)?;
    user.become_it(privileges::HOST).with_context(|| format!("cannot become {name}"))?;
    privileges::keep_only(privileges::HOST).context("privileges")?;
    Ok(())
}

/// Makes the node's directories where they are not there, for the user who will work in them: that user may not be able to.
fn furnish(paths: &Paths, user: Option<&str>) -> anyhow::Result<()> {
    let user = user.map(User::find).transpose()?;
    for (path, mode) in [(&paths.run, 0o755), (&paths.state, 0o700)] {
        directory(path, mode, user.as_ref())
            .with_context(|| format!("cannot make the directory {}", path.display()))?;
    }
    Ok(())
}

/// A directory that is there stays whose it is: packaging may know better, and only what was just made is surely no link of somebody's.
fn directory(path: &Path, mode: u32, user: Option<&User>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    user.map_or(Ok(()), |user| lchown(path, Some(user.uid), Some(user.gid)))
}

fn supervised(args: &RunArgs, fleet: &Fleet, name: &str) -> anyhow::Result<ExitCode> {
    let user = args.user.as_deref().map(User::find).transpose()?;
    let run = &*fleet.paths.run;
    furnish(&fleet.paths, args.user.as_deref())?;
    let me = std::process::id().to_string();
    let mut host = arguments(["--fleet", text(&args.fleet)?, "--node", name, "--supervisor", &me]);
    let socket = run.join(SIDECAR_SOCKET);
    let level = fleet.log.level.as_str();
    let mut sidecar = arguments(["--socket", text(&socket)?, "--log", level, "--supervisor", &me]);
    if let Some(name) = &args.user {
        host.extend(arguments(["--user", name]));
    }
    if let Some(user) = user {
        sidecar.extend(arguments(["--host-uid", &user.uid.to_string()]));
    }
    if args.observe {
        sidecar.extend(arguments(["--observe"]));
    }
    supervisor::run(host, sidecar)
}

fn arguments<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn directories_are_made_for_the_user_who_works_in_them_and_stay_whose_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (new, there) = (dir.path().join("var/lib/weir"), dir.path().join("run"));
        fs::create_dir(&there).unwrap();
        let before = fs::metadata(&there).unwrap();
        // Only root can give anything away; anybody else gives it to himself.
        let (uid, gid) = if before.uid() == 0 { (12_345, 12_345) } else { (before.uid(), before.gid()) };
        let user = User { uid, gid };
        directory(&new, 0o700, Some(&user)).unwrap();
        directory(&there, 0o700, Some(&user)).unwrap();
        let (new, after) = (fs::metadata(&new).unwrap(), fs::metadata(&there).unwrap());
        assert_eq!((new.uid(), new.gid(), new.mode() & 0o777), (uid, gid, 0o700));
        assert_eq!((after.uid(), after.mode()), (before.uid(), before.mode()));
    }
}
