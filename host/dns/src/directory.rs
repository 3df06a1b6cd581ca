//! Zone files on disk: one directory, a file for each zone, all of them or none.
//!
//! A file is named after its zone, `example.org` or `example.org.zone`. What an editor or a package manager leaves
//! beside it (`.example.org.swp`, `example.org~`, `example.org.dpkg-old`) is no zone, and neither is a directory, so
//! that files which others include have a place.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use weir_core::dns::name::Name;
use weir_core::dns::zone::{Zone, Zones};
use weir_core::dns::zonefile::{self, Included};

/// The largest file, bytes: ten million names.
const MAX_FILE: u64 = 1 << 30;

/// What an interrupted hand or program leaves behind.
const LEFT_OVERS: [&str; 6] = ["~", ".swp", ".tmp", ".bak", ".orig", ".rej"];

/// Why there are no new zones. Those before stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ZonesError {
    /// One line each, with file and line where there is one.
    pub faults: Vec<String>,
}

impl fmt::Display for ZonesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

/// Reads every zone in this directory. `is_policy` says whether the fleet file has a policy of a name.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn read(directory: &Path, is_policy: impl Fn(&str) -> bool) -> Result<Zones, ZonesError> {
    let mut faults = Vec::new();
    let mut zones = Vec::new();
    for (origin, file) in files(directory, &mut faults) {
        match read_zone(&origin, &file) {
            Ok(zone) => {
                let unknown = zone.policies().filter(|p| !is_policy(&p.policy));
                faults.extend(unknown.map(|p| {
                    format!(
                        "{}:{}: the fleet file has no [dns.policies.{}]",
                        p.place.file, p.place.line, p.policy
                    )
                }));
                zones.push(zone);
            }
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(ZonesError { faults });
    }
    Zones::new(zones).map_err(|e| ZonesError { faults: vec![format!("{}: {e}", directory.display())] })
}

/// The zones that there are files for, in the order of their names.
fn files(directory: &Path, faults: &mut Vec<String>) -> Vec<(Name, PathBuf)> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(format!("dns.zones: cannot read {}: {error}", directory.display()));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                faults.push(format!("dns.zones: cannot read {}: {error}", directory.display()));
                continue;
            }
        };
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            faults.push(format!("{}: the name of the file is not UTF-8", path.display()));
            continue;
        };
        // A link to a file counts, and one to nothing is a fault below.
        if is_left_over(name) || fs::metadata(&path).is_ok_and(|m| m.is_dir()) {
            continue;
        }
        match Name::parse(name.strip_suffix(".zone").unwrap_or(name)) {
            Ok(origin) => files.push((origin, path)),
            Err(error) => {
                faults.push(format!("{}: the file is named after its zone: {error}", path.display()));
            }
        }
    }
    files.sort_by(|(_, a), (_, b)| a.cmp(b));
    files
}

fn is_left_over(name: &str) -> bool {
    name.starts_with(['.', '#'])
        || LEFT_OVERS.iter().any(|end| name.ends_with(end))
        || name.contains(".dpkg-")
        || name.contains(".ucf-")
}

fn read_zone(origin: &Name, file: &Path) -> Result<Zone, String> {
    let shown = file.display().to_string();
    let text = read_file(file).map_err(|error| format!("{shown}: {error}"))?;
    let mut include = |path: &str, from: &str| {
        // A relative path belongs to the file that says it.
        let path = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let text = read_file(&path).map_err(|error| error.to_string())?;
        Ok(Included { name: path.display().to_string(), text })
    };
    zonefile::read(origin, &shown, &text, &mut include).map_err(|errors| errors.to_string())
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(io::Error::other(format!("more than {MAX_FILE} bytes are not read")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\n";

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    #[test]
    fn files_are_zones_and_what_lies_beside_them_is_not() {
        let included = "www A 192.0.2.1\n";
        let dir = directory(&[
            ("example.org", &format!("{ZONE}$INCLUDE parts/hosts\n")),
            ("example.net.zone", ZONE),
            ("example.org~", "old"),
            (".example.org.swp", "\u{0}"),
            ("example.net.zone.dpkg-dist", "new"),
            ("parts/hosts", included),
        ]);
        let zones = read(dir.path(), |_| false).unwrap();
        let mut names: Vec<_> = zones.iter().map(|z| (z.origin().to_string(), z.names())).collect();
        names.sort();
        assert_eq!(names, [("example.net.".to_owned(), 1), ("example.org.".to_owned(), 2)]);
    }

    #[test]
    fn one_fault_in_one_file_and_there_is_no_new_zone_and_all_faults_are_named() {
        let dir = directory(&[
            ("a.example", ZONE),
            ("b.example", &format!("{ZONE}www A 192.0.2.999\n")),
            ("c.example", &format!("{ZONE}_policy.www TXT web\n_policy.x TXT known\n")),
            ("d..example", ZONE),
        ]);
        let error = read(dir.path(), |name| name == "known").unwrap_err();
        let shown = error.to_string();
        let path = |name: &str| dir.path().join(name).display().to_string();
        assert_eq!(error.faults.len(), 3, "{shown}");
        assert!(shown.contains(&format!("{}:4: ", path("b.example"))), "{shown}");
        let unknown = format!("{}:4: the fleet file has no [dns.policies.web]", path("c.example"));
        assert!(shown.contains(&unknown), "{shown}");
        assert!(
            shown.contains(&format!("{}: the file is named after its zone", path("d..example"))),
            "{shown}"
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_fault_and_an_empty_one_has_no_zones() {
        let dir = directory(&[]);
        assert_eq!(read(dir.path(), |_| true).unwrap().iter().count(), 0);
        let error = read(&dir.path().join("none"), |_| true).unwrap_err();
        assert!(error.to_string().starts_with("dns.zones: cannot read "), "{error}");
    }

    #[test]
    fn the_same_zone_in_two_files_is_a_fault() {
        let dir = directory(&[("example.org", ZONE), ("example.org.zone", ZONE)]);
        assert!(read(dir.path(), |_| true).unwrap_err().to_string().contains("example.org. is there twice"));
    }
}
