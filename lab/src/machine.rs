//! What this machine has. Looks only; changes nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program on the search path, or in one of the folders for administrators that a search path may lack.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What a program prints on success, trimmed.
pub(crate) fn answer(program: impl AsRef<Path>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Whether a Debian package is installed.
pub(crate) fn package(name: &str) -> bool {
    answer("dpkg-query", &["-W", "-f=${db:Status-Status}", name]).as_deref() == Some("installed")
}

/// The user number of this process; 0 may install packages.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether rustup's toolchain has the Wasm target's standard library.
pub(crate) fn rustup_wasm() -> bool {
    let rustc = std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    answer(rustc, &["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

/// Whether Debian's compiler for the web and its library's source are there.
pub(crate) fn debian_wasm() -> bool {
    ["rustc-web", "rust-web-src", "lld-19"].into_iter().all(package)
}

/// Whether a kernel module is loaded, built in or can be loaded.
pub(crate) fn kernel_module(name: &str) -> bool {
    if Path::new("/sys/module").join(name).exists() {
        return true;
    }
    let Some(release) = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok() else { return false };
    let folder = Path::new("/lib/modules").join(release.trim());
    let dashed = name.replace('_', "-");
    ["modules.builtin", "modules.dep"].iter().any(|list| {
        let text = std::fs::read_to_string(folder.join(list)).unwrap_or_default();
        let mut files = text.lines().filter_map(|line| line.split([':', ' ']).next());
        files.any(|file| {
            let module = Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned());
            let module = module.as_deref().and_then(|name| name.split('.').next());
            module == Some(name) || module == Some(&dashed)
        })
    })
}
