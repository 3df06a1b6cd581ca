//! What the programs under a user-mode kernel have used, as the machine sees it.
//!
//! Such a kernel is one process, and each process under it is another, which it traces: what that one uses outside of the machine's
//! system calls is the program's own. The kernel itself counts in ticks of a clock that stands still while it works, and charges nearly
//! everything to programs.

use std::path::Path;

use anyhow::Result;

/// The name of the kernel's processes, as the machine cuts it.
const NAME: &str = "linux";

/// One line of /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    name: String,
    parent: u32,
    /// Ticks outside of system calls, its own and those of its children that have ended.
    user: u64,
    of_ended: u64,
}

/// CPU seconds that programs have used outside of kernels, under the user-mode kernel that was started by `starter` or by one that it
/// started. `None` where there is no such kernel.
pub(super) fn of_programs(starter: u32) -> Result<Option<f64>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile has no file any more, and is in what its parent has.
        if let Some(process) = read(&entry.path()) {
            all.push((pid, process));
        }
    }
    let Some((kernel, ended)) = kernel(starter, &all) else { return Ok(None) };
    let living: u64 = all.iter().filter(|(_, one)| one.parent == kernel).map(|(_, one)| one.user).sum();
    Ok(Some((living + ended) as f64 / rustix::param::clock_ticks_per_second() as f64))
}

fn read(folder: &Path) -> Option<Process> {
    parse(&std::fs::read_to_string(folder.join("stat")).ok()?)
}

/// The name may hold blanks and brackets.
fn parse(stat: &str) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Process {
        name: name.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        user: number(11)?,
        of_ended: number(13)?,
    })
}

/// The first process of that name from the starter on, with the ticks of its children that have ended.
fn kernel(starter: u32, all: &[(u32, Process)]) -> Option<(u32, u64)> {
    let mut generation = vec![starter];
    while !generation.is_empty() {
        let is_kernel = |(pid, one): &&(u32, Process)| generation.contains(pid) && one.name.starts_with(NAME);
        if let Some((pid, one)) = all.iter().find(is_kernel) {
            return Some((*pid, one.of_ended));
        }
        generation =
            all.iter().filter(|(_, one)| generation.contains(&one.parent)).map(|(pid, _)| *pid).collect();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, name: &str, parent: u32, user: u64, of_ended: u64) -> (u32, Process) {
        let stat = format!("{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {user} 7 {of_ended} 9 20 0 1 0 0");
        (pid, parse(&stat).unwrap())
    }

    #[test]
    fn the_kernel_is_found_below_whatever_starts_it() {
        let all = [
            process(1, "init", 0, 5, 5),
            process(10, "chrt", 1, 5, 5),
            process(11, "a (b) c", 10, 5, 5),
            process(12, "linux.uml", 11, 100, 42),
            process(13, "linux.uml", 12, 3, 0),
            process(20, "linux.uml", 1, 1, 1),
        ];
        assert_eq!(kernel(10, &all), Some((12, 42)));
        assert_eq!(kernel(12, &all), Some((12, 42)), "it may have replaced its starter");
        assert_eq!(kernel(13, &all[..3]), None);
        assert_eq!(all[2].1, Process { name: "a (b) c".to_owned(), parent: 10, user: 5, of_ended: 5 });
    }
}
