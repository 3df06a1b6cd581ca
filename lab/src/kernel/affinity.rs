//! A core for a user-mode kernel, which is a process for the kernel and one for each program in it, of which one runs at a time: each system
//! call inside is a handing over between two of them. On one core that takes half the time that it takes from core to core.

use std::fs::File;

use anyhow::Result;
use rustix::fs::FlockOperation;
use rustix::thread::sched_getaffinity;

use crate::paths;

/// The core that a kernel runs on, taken for as long as this is there.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) number: usize,
    /// Locked. The lock ends with the process that has it, however that ends.
    _lock: File,
}

/// A core that this process may use and no other run of this checkout has; `None` where there is none left.
pub(super) fn take() -> Result<Option<Core>> {
    let usable = sched_getaffinity(None)?;
    let folder = paths::lab("cores");
    std::fs::create_dir_all(&folder)?;
    for number in (0..rustix::thread::CpuSet::MAX_CPU).filter(|number| usable.is_set(*number)) {
        let lock = File::create(folder.join(number.to_string()))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(Some(Core { number, _lock: lock }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_runs_have_one_core() {
        let first = take().unwrap();
        let second = take().unwrap();
        if let (Some(first), Some(second)) = (&first, &second) {
            assert_ne!(first.number, second.number);
        }
    }
}
