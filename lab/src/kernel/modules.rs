//! The kernel modules that the lab needs, and how they get into a kernel.

use std::ffi::CString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{machine, paths};

/// Without these the machine's own kernel cannot carry the lab.
pub(crate) const NEEDED: [&str; 12] = [
    "ip_vs",
    "ip_vs_mh",
    "ip_vs_wrr",
    "ipip",
    "ip6_tunnel",
    "ip_gre",
    "veth",
    "bridge",
    "dummy",
    "overlay",
    "tun",
    "sch_netem",
];
/// Loaded where the kernel has them.
const WELCOME: [&str; 13] = [
    "ip_vs_rr",
    "ip_vs_sh",
    "ip6_gre",
    "vrf",
    "xt_socket",
    "xt_mark",
    "xt_tcpudp",
    "iptable_mangle",
    "ip6table_mangle",
    "iptable_filter",
    "ip6table_filter",
    "act_bpf",
    "cls_bpf",
];

/// Loads them into the user-mode kernel, from the modules that came with it.
pub(super) fn load_in_user_mode() -> Result<()> {
    modprobe(&NEEDED)?;
    // What is missing here is missed by whoever needs it, in words of its own.
    drop(modprobe(&WELCOME));
    Ok(())
}

/// Loads them on the machine where they are not loaded yet.
pub(super) fn load_on_machine() -> Result<()> {
    let absent: Vec<&str> =
        NEEDED.into_iter().filter(|name| !Path::new("/sys/module").join(name).exists()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    if let Some(missing) = absent.iter().find(|name| !machine::kernel_module(name)) {
        bail!("this machine's kernel has no module {missing}; leave out --kernel own");
    }
    modprobe(&absent)
}

fn modprobe(names: &[&str]) -> Result<()> {
    let program = machine::program("modprobe").context("no modprobe (package kmod)")?;
    let output = Command::new(program).arg("--all").args(names).output()?;
    if !output.status.success() {
        bail!("modprobe: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Loads the layer file system, which is needed before there is a root in which `modprobe` finds anything.
pub(super) fn load_overlay(tree: &Path) -> Result<()> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let file = Path::new("usr/lib/uml/modules").join(release).join("kernel/fs/overlayfs/overlay.ko");
    // Unpacked below the tree, or installed.
    let file = [tree.join(&file), Path::new("/").join(&file)]
        .into_iter()
        .find(|file| file.is_file())
        .with_context(|| format!("the user-mode kernel's module {} is missing", paths::short(&file)))?;
    let module = std::fs::File::open(&file)?;
    rustix::system::finit_module(&module, &CString::default(), 0).context("loading the module overlay")
}
