//! Getting what the machine lacks from Debian. Nothing but packages changes: no daemon is started, no file of the
//! machine is edited. Daemons that a measurement compares with are not installed at all but unpacked below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::kernel::Kernel;
use crate::{command, machine, paths, say};

/// What building Weir and its plugins needs, whichever way the Wasm target is had.
const BUILD: [&str; 5] = ["cmake", "gcc", "libc6-dev", "clang-19", "lld-19"];
/// Debian's compiler for `wasm32-unknown-unknown`, and the source of its standard library.
const WASM: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Installs what `up` and `test` need and the machine lacks.
pub(crate) fn for_building() -> Result<()> {
    let mut missing: Vec<&str> = BUILD.into_iter().filter(|name| !machine::package(name)).collect();
    // A compiler from elsewhere is as good.
    if machine::program("cc").is_some() {
        missing.retain(|name| !["gcc", "libc6-dev"].contains(name));
    }
    if machine::program("cmake").is_some() {
        missing.retain(|name| *name != "cmake");
    }
    if !machine::rustup_wasm() && !rustup_adds_wasm() {
        missing.extend(WASM.into_iter().filter(|name| !machine::package(name)));
    }
    packages(&missing)
}

/// Whether rustup could fetch the target. It can where its server can be reached.
fn rustup_adds_wasm() -> bool {
    if machine::debian_wasm() || machine::program("rustup").is_none() {
        return false;
    }
    say::line("  install   trying rustup target add wasm32-unknown-unknown");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", "wasm32-unknown-unknown"]);
    let added = command::successful(&mut rustup, &paths::log("rustup")).is_ok() && machine::rustup_wasm();
    if !added {
        say::line("  install   rustup cannot; Debian's rustc-web can");
    }
    added
}

fn packages(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !machine::is_root() {
        bail!(
            "missing Debian packages; as root run: apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
    }
    let started = Instant::now();
    say::line(format!("  install   {}", missing.join(" ")));
    let log = paths::log("apt");
    command::successful(apt().args(["-qq", "update"]), &log)?;
    command::successful(apt().args(["-qq", "-y", "--no-install-recommends", "install"]).args(missing), &log)?;
    say::line(format!("  install   done in {}", say::elapsed(started.elapsed())));
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// A program of a Debian package, unpacked below `target/lab/debian/` and never installed.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    /// The program.
    pub(crate) program: PathBuf,
    /// Folders for `LD_LIBRARY_PATH`.
    libraries: PathBuf,
}

impl Unpacked {
    /// A command that runs the program with the libraries that were unpacked with it.
    pub(crate) fn put_into(&self, command: &mut Command) {
        command.env("LD_LIBRARY_PATH", &self.libraries);
    }
}

/// Finds or unpacks programs, given as (package, program).
pub(crate) fn unpacked(wanted: &[(&str, &str)]) -> Result<Vec<Unpacked>> {
    let tree = paths::lab("debian");
    let absent: Vec<&str> = wanted
        .iter()
        .filter(|(_, program)| find(&tree, program).is_none())
        .map(|(package, _)| *package)
        .collect();
    if !absent.is_empty() {
        fetch(&tree, &absent)?;
    }
    wanted
        .iter()
        .map(|(package, program)| {
            let found = find(&tree, program)
                .with_context(|| format!("Debian package {package} has no program {program}"))?;
            Ok(Unpacked { program: found, libraries: tree.join("usr/lib/x86_64-linux-gnu") })
        })
        .collect()
}

/// What the lab runs in its kernel, as (package, program).
const LAB: [(&str, &str); 16] = [
    ("kmod", "modprobe"),
    ("iproute2", "ip"),
    ("iputils-ping", "ping"),
    ("procps", "ps"),
    ("bird2", "bird"),
    ("gobgpd", "gobgpd"),
    ("frr", "vtysh"),
    ("python3-exabgp", "python3-exabgp"),
    ("keepalived", "keepalived"),
    ("haproxy", "haproxy"),
    ("socat", "socat"),
    ("nginx", "nginx"),
    ("gdnsd", "gdnsd"),
    ("ipvsadm", "ipvsadm"),
    ("iptables", "iptables-legacy"),
    ("tcpdump", "tcpdump"),
];
/// More of the same, for those whose program's name is not on the search path of every user.
const LAB_TOOLS: [(&str, &str); 1] = [("bind9-dnsutils", "dig")];

/// Names that packages would make when installed. The user-mode kernel has no nftables for IP, so iptables is the old one.
const ALTERNATIVES: [(&str, &str); 4] = [
    ("exabgp", "python3-exabgp"),
    ("exabgpcli", "python3-exabgpcli"),
    ("iptables", "iptables-legacy"),
    ("ip6tables", "ip6tables-legacy"),
];

/// Unpacks what the lab runs in its kernel, and the kernel itself where it is the user-mode one. The tree that holds
/// it all: it is laid over the machine's root, so what is installed already is left out of it.
pub(crate) fn for_lab(kernel: Kernel) -> Result<PathBuf> {
    let mut wanted: Vec<(&str, &str)> = LAB.into_iter().chain(LAB_TOOLS).collect();
    if kernel == Kernel::Uml {
        wanted.push(("user-mode-linux", "linux.uml"));
    }
    unpacked(&wanted)?;
    let tree = paths::lab("debian");
    std::fs::create_dir_all(&tree)?;
    merge(&tree)?;
    compile(&tree)?;
    Ok(tree)
}

/// Compiles ExaBGP, as Debian does when it installs it. Otherwise each of its processes does so at its start, for
/// seconds.
fn compile(tree: &Path) -> Result<()> {
    let packages = tree.join("usr/lib/python3/dist-packages");
    let python = Path::new("/usr/bin/python3");
    if !packages.join("exabgp").is_dir() || packages.join("exabgp/__pycache__").exists() || !python.exists() {
        return Ok(());
    }
    let mut command = Command::new(python);
    command.args(["-m", "compileall", "-q", "-s"]).arg(tree).arg(&packages);
    // A file that does not compile is for somebody else's Python; what matters is noticed when it runs.
    command::watched(&mut command, &paths::log("compileall")).map(|_| ())
}

/// Moves what packages have in /bin, /sbin, /lib and /lib64 to /usr, where those of a Debian machine point. As
/// folders of the tree they would hide the machine's links when they are laid over its root.
fn merge(tree: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let folder = tree.join(name);
        if folder.is_dir() && !folder.is_symlink() {
            move_into(&folder, &tree.join("usr").join(name))?;
        }
    }
    for (name, program) in ALTERNATIVES {
        let link = tree.join("usr/sbin").join(name);
        if tree.join("usr/sbin").join(program).exists() && !link.is_symlink() {
            std::os::unix::fs::symlink(program, &link)?;
        }
    }
    // The user-mode kernel's modules are not where modprobe looks for them.
    let modules = tree.join("usr/lib/uml/modules");
    for version in std::fs::read_dir(&modules).into_iter().flatten().flatten() {
        let link = tree.join("usr/lib/modules").join(version.file_name());
        if !link.is_symlink() {
            std::fs::create_dir_all(tree.join("usr/lib/modules"))?;
            std::os::unix::fs::symlink(Path::new("/usr/lib/uml/modules").join(version.file_name()), &link)?;
        }
    }
    Ok(())
}

/// Moves everything in `from` to `to`, folder by folder, and removes `from`.
fn move_into(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            move_into(&entry.path(), &target)?;
        } else {
            std::fs::rename(entry.path(), &target)?;
        }
    }
    Ok(std::fs::remove_dir(from)?)
}

fn find(tree: &Path, program: &str) -> Option<PathBuf> {
    let inside = ["usr/bin", "usr/sbin"].map(|folder| tree.join(folder).join(program));
    // A link's target may lie outside the tree as long as nothing is laid over the machine's root.
    inside.into_iter().find(|file| file.is_file() || file.is_symlink()).or_else(|| machine::program(program))
}

fn fetch(tree: &Path, packages: &[&str]) -> Result<()> {
    if !machine::is_root() {
        bail!("apt-get downloads as root only; or install by hand: {}", packages.join(" "));
    }
    say::line(format!("  unpack    {} below {}", packages.join(" "), paths::short(tree)));
    let archives = tree.join("archives");
    std::fs::create_dir_all(archives.join("partial"))?;
    let log = paths::log("apt");
    command::successful(apt().args(["-qq", "update"]), &log)?;
    // Downloads the packages *and* whatever they depend on that the machine lacks, and stops there.
    let mut download = apt();
    download.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
    download.args(["-qq", "-y", "--no-install-recommends", "--download-only", "install"]).args(packages);
    command::successful(&mut download, &log)?;
    for entry in std::fs::read_dir(&archives)? {
        let file = entry?.path();
        if file.extension().is_some_and(|kind| kind == "deb") {
            command::successful(Command::new("dpkg").arg("-x").arg(&file).arg(tree), &paths::log("dpkg"))?;
        }
    }
    merge(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_tree_hides_none_of_the_machines_links_and_loses_no_file() {
        let tree = std::env::temp_dir().join(format!("weir-lab-merge-{}", std::process::id()));
        for file in [
            "lib/x86_64-linux-gnu/a.so",
            "usr/lib/x86_64-linux-gnu/b.so",
            "sbin/tool",
            "usr/sbin/python3-exabgp",
        ] {
            let file = tree.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        std::fs::create_dir_all(tree.join("usr/lib/uml/modules/6.1.0")).unwrap();
        // Twice: packages that are unpacked later come into a tree that was merged.
        for _ in 0..2 {
            merge(&tree).unwrap();
            for file in ["usr/lib/x86_64-linux-gnu/a.so", "usr/lib/x86_64-linux-gnu/b.so", "usr/sbin/tool"] {
                assert!(tree.join(file).is_file(), "{file}");
            }
            assert!(!tree.join("lib").exists() && !tree.join("sbin").exists());
            assert!(tree.join("usr/sbin/exabgp").is_file());
            assert!(tree.join("usr/lib/modules/6.1.0").is_symlink());
            assert!(!tree.join("usr/sbin/iptables").is_symlink(), "a name for a program that is not there");
        }
        std::fs::remove_dir_all(tree).unwrap();
    }
}
