//! Settings of the kernel: written once when they are declared, looked at ever after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use weir_core::desired::Sysctl;

/// The settings that were declared, and where the kernel shows them.
#[derive(Debug)]
pub(super) struct Sysctls {
    root: PathBuf,
    /// What was written, by name.
    declared: BTreeMap<String, String>,
}

/// What one look at the settings came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// Settings that were changed.
    pub(super) changed: u64,
    /// A sentence for each that is not as declared.
    pub(super) differences: Vec<String>,
}

impl Sysctls {
    /// Of this kernel.
    pub(super) fn new() -> Self {
        Self::under(Path::new("/proc/sys"))
    }

    fn under(root: &Path) -> Self {
        Self { root: root.to_owned(), declared: BTreeMap::new() }
    }

    /// Writes those that are declared for the first time, or with another value than before, and compares all.
    pub(super) fn look(&mut self, wanted: &[Sysctl], observe_only: bool) -> Looked {
        let mut looked = Looked::default();
        for Sysctl { name, value } in wanted {
            let path = self.root.join(name);
            let is_new = self.declared.get(name) != Some(value);
            match read(&path) {
                Ok(now) if now == *value => drop(self.declared.insert(name.clone(), value.clone())),
                Ok(now) if is_new && !observe_only => match fs::write(&path, value) {
                    Ok(()) => {
                        tracing::info!(
                            setting = name,
                            from = now,
                            to = value,
                            "setting of the kernel changed"
                        );
                        self.declared.insert(name.clone(), value.clone());
                        looked.changed += 1;
                    }
                    Err(e) => looked.differences.push(format!("{name} is {now}, not {value}: {e}")),
                },
                Ok(now) => looked.differences.push(format!("{name} is {now}, not {value}")),
                Err(e) => {
                    looked.differences.push(format!("{name} should be {value} and cannot be read: {e}"));
                }
            }
        }
        self.declared.retain(|name, _| wanted.iter().any(|w| w.name == *name));
        looked
    }
}

fn read(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Lets packets out of a tunnel whose sender is not reached through the tunnel, which is every client. Loose checks (2) do not do: on a
/// device without an address the kernel drops what any check is to look at.
pub(super) fn loosen_source_check(device: &str) -> io::Result<()> {
    fs::write(Path::new("/proc/sys/net/ipv4/conf").join(device).join("rp_filter"), "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(value: &str) -> (tempfile::TempDir, Sysctls, [Sysctl; 1]) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("net/ipv4/vs")).unwrap();
        fs::write(dir.path().join("net/ipv4/vs/sloppy_tcp"), value).unwrap();
        let sysctls = Sysctls::under(dir.path());
        (dir, sysctls, [Sysctl::new("net/ipv4/vs/sloppy_tcp", "1")])
    }

    #[test]
    fn a_setting_is_written_once_and_a_later_change_by_others_is_reported_not_undone() {
        let (dir, mut sysctls, wanted) = kernel("0\n");
        let file = dir.path().join("net/ipv4/vs/sloppy_tcp");
        assert_eq!(sysctls.look(&wanted, false), Looked { changed: 1, differences: vec![] });
        assert_eq!(sysctls.look(&wanted, false), Looked::default());
        fs::write(&file, "0\n").unwrap();
        let looked = sysctls.look(&wanted, false);
        assert_eq!(looked.differences, ["net/ipv4/vs/sloppy_tcp is 0, not 1"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "0\n");
        // Not wanted for a while, it is declared anew.
        sysctls.look(&[], false);
        assert_eq!(sysctls.look(&wanted, false).changed, 1);
    }

    #[test]
    fn who_only_observes_changes_nothing() {
        let (dir, mut sysctls, wanted) = kernel("0\n");
        assert_eq!(sysctls.look(&wanted, true).differences.len(), 1);
        assert_eq!(fs::read_to_string(dir.path().join("net/ipv4/vs/sloppy_tcp")).unwrap(), "0\n");
    }

    #[test]
    fn a_setting_that_the_kernel_does_not_have_is_a_difference() {
        let (_dir, mut sysctls, _) = kernel("0");
        let looked = sysctls.look(&[Sysctl::new("net/ipv4/vs/none", "1")], false);
        assert!(looked.differences[0].starts_with("net/ipv4/vs/none should be 1 and cannot be read"));
    }
}
