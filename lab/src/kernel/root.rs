//! The file system inside: the machine's files below unpacked packages, read-only, under a layer in memory.
//!
//! Whatever is written goes to memory and is gone with the kernel, except in the run's own folder. The machine's
//! files are seen as they are, so what was built outside runs inside; and packages need not be installed, which
//! would start their daemons on the machine.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    unmount,
};

use super::{Kernel, Place};

/// Where the new root is put together; every machine has /run.
const BASE: &str = "/run";
/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAYFS: i64 = 0x794c_7630;
/// Folders that the kernel fills.
const SYSTEM: [&str; 4] = ["proc", "sys", "dev", "run"];
/// Users that packages would have made when installed. Their daemons refuse to start without.
const USERS: [&str; 8] =
    ["bird", "haproxy", "_gdnsd", "exabgp", "keepalived_script", "gobgp", "frr", "frrvty"];
/// Devices that programs expect.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Makes the root and enters it. For the first process of a kernel or namespace, and only once.
pub(super) fn enter(place: &Place, out: &Path) -> Result<()> {
    // Nothing that is mounted from here on shows outside.
    if place.kernel == Kernel::Own {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    }
    tmpfs(Path::new(BASE), c"mode=755")?;
    let root = Path::new(BASE).join("root");
    std::fs::create_dir(&root)?;
    // Only what is mounted can become a root.
    tmpfs(&root, c"mode=755")?;
    layers(&place.tree, &root)?;
    system(place, &root)?;
    own_folder(place, out, &root)?;

    std::env::set_current_dir(&root)?;
    // Both in the same place: the old root lies on top of the new one until it is taken off.
    rustix::process::pivot_root(".", ".").context("cannot change the root")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")?;
    users()
}

/// Lays each folder of the machine's root below a layer in memory, and packages between them. Folder by folder,
/// because the unpacked packages lie in one of them: a kernel refuses a layer that is within another.
fn layers(tree: &Path, root: &Path) -> Result<()> {
    for entry in std::fs::read_dir("/")? {
        let entry = entry?;
        let (name, kind, target) = (entry.file_name(), entry.file_type()?, root.join(entry.file_name()));
        if kind.is_symlink() {
            symlink(std::fs::read_link(entry.path())?, &target)?;
        }
        if !kind.is_dir() {
            continue;
        }
        std::fs::create_dir_all(&target)?;
        if SYSTEM.iter().any(|system| name == *system) {
            continue;
        }
        let layer = Path::new(BASE).join("layers").join(&name);
        let (upper, work) = (layer.join("upper"), layer.join("work"));
        std::fs::create_dir_all(&upper)?;
        std::fs::create_dir_all(&work)?;
        // What is made in memory has to look like what it lies on: nobody may delete others' files in /tmp.
        std::fs::set_permissions(&upper, entry.metadata()?.permissions())?;
        let unpacked = tree.join(&name);
        if name == "etc" && is_layered(Path::new("/"))? {
            // Nodes lay a layer of their own over /etc, and a kernel takes two at most.
            tmpfs(&target, c"mode=755")?;
            copy(&entry.path(), &target)?;
            copy(&unpacked, &target)?;
            continue;
        }
        let below = if unpacked.is_dir() { format!("{}:", unpacked.display()) } else { String::new() };
        let options = format!(
            "lowerdir={below}{},upperdir={},workdir={}",
            entry.path().display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options)?;
        mount("overlay", &target, "overlay", MountFlags::empty(), Some(options.as_c_str()))
            .with_context(|| format!("cannot lay memory over {}", entry.path().display()))?;
    }
    Ok(())
}

/// Whether the machine's files are layers themselves, as they are in a container.
fn is_layered(path: &Path) -> Result<bool> {
    Ok(rustix::fs::statfs(path)?.f_type == OVERLAYFS)
}

/// Copies folders, files and links; what cannot be read or is anything else is left out.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).into_iter().flatten() {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            std::fs::create_dir_all(&target)?;
            std::fs::set_permissions(&target, entry.metadata()?.permissions())?;
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() && !target.is_symlink() {
            symlink(std::fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            let _ = std::fs::copy(entry.path(), &target);
        }
    }
    Ok(())
}

/// The kernel's own file systems.
fn system(place: &Place, root: &Path) -> Result<()> {
    let at = |path: &str| root.join(path);
    mount("proc", at("proc"), "proc", MountFlags::empty(), None).context("/proc")?;
    mount("sysfs", at("sys"), "sysfs", MountFlags::empty(), None).context("/sys")?;
    tmpfs(&at("run"), c"mode=755")?;
    match place.kernel {
        Kernel::Uml => {
            mount("devtmpfs", at("dev"), "devtmpfs", MountFlags::empty(), None).context("/dev")?;
        }
        Kernel::Own => {
            tmpfs(&at("dev"), c"mode=755")?;
            for device in DEVICES {
                let file = at("dev").join(device);
                std::fs::write(&file, "")?;
                mount_bind(Path::new("/dev").join(device), &file)
                    .with_context(|| format!("/dev/{device}"))?;
            }
            for (name, to) in
                [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
            {
                symlink(to, at("dev").join(name))?;
            }
            std::fs::create_dir(at("dev/net"))?;
            if Path::new("/dev/net/tun").exists() {
                std::fs::write(at("dev/net/tun"), "")?;
                mount_bind("/dev/net/tun", at("dev/net/tun"))?;
            }
        }
    }
    for folder in ["dev/pts", "dev/shm"] {
        std::fs::create_dir_all(at(folder))?;
    }
    mount(
        "devpts",
        at("dev/pts"),
        "devpts",
        MountFlags::empty(),
        Some(c"newinstance,ptmxmode=0666,mode=620"),
    )
    .context("/dev/pts")?;
    if place.kernel == Kernel::Own {
        symlink("pts/ptmx", at("dev/ptmx"))?;
    }
    tmpfs(&at("dev/shm"), c"mode=1777")
}

/// The one folder that can be written, and on the machine's own kernel the checkout, which may be a mount of its own.
fn own_folder(place: &Place, out: &Path, root: &Path) -> Result<()> {
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let target = inside(out);
    match place.kernel {
        Kernel::Uml => {
            let path = std::ffi::CString::new(out.as_os_str().as_encoded_bytes())?;
            mount("none", &target, "hostfs", MountFlags::empty(), Some(path.as_c_str()))
        }
        Kernel::Own => {
            let checkout = inside(&place.checkout);
            std::fs::create_dir_all(&checkout)?;
            mount_bind_recursive(&place.checkout, &checkout)?;
            let read_only = MountFlags::BIND | MountFlags::RDONLY;
            rustix::mount::mount_remount(&checkout, read_only, "")?;
            mount_bind(out, &target)
        }
    }
    .with_context(|| format!("cannot mount the run's folder {}", out.display()))
}

/// Adds the users of packages that were only unpacked.
fn users() -> Result<()> {
    for (file, tail) in [("/etc/passwd", ":/nonexistent:/usr/sbin/nologin"), ("/etc/group", "")] {
        let mut text = std::fs::read_to_string(file)?;
        for (name, number) in USERS.iter().zip(790..) {
            if text.lines().any(|line| line.split(':').next() == Some(name)) {
                continue;
            }
            let _ = match tail {
                "" => writeln!(text, "{name}:x:{number}:"),
                tail => writeln!(text, "{name}:x:{number}:{number}:{tail}"),
            };
        }
        std::fs::write(file, text)?;
    }
    Ok(())
}

fn tmpfs(path: &Path, options: &std::ffi::CStr) -> Result<()> {
    mount("tmpfs", path, "tmpfs", MountFlags::NOSUID, Some(options))
        .with_context(|| format!("memory at {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_folder_has_its_links_and_what_was_there_before() {
        let base = std::env::temp_dir().join(format!("weir-lab-copy-{}", std::process::id()));
        let (from, to) = (base.join("from"), base.join("to"));
        std::fs::create_dir_all(from.join("below")).unwrap();
        std::fs::create_dir_all(to.join("below")).unwrap();
        std::fs::write(from.join("below/file"), "text").unwrap();
        std::fs::write(to.join("below/other"), "kept").unwrap();
        symlink("below/file", from.join("link")).unwrap();
        for _ in 0..2 {
            copy(&from, &to).unwrap();
        }
        assert_eq!(std::fs::read_to_string(to.join("below/file")).unwrap(), "text");
        assert_eq!(std::fs::read_to_string(to.join("below/other")).unwrap(), "kept");
        assert_eq!(std::fs::read_link(to.join("link")).unwrap(), Path::new("below/file"));
        std::fs::remove_dir_all(base).unwrap();
    }
}
