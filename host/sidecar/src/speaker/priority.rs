//! BFD goes first: its packets are due every few tenths of a second, and a neighbor that misses three takes all routes away. A machine
//! on which everything wants to run is no reason for that.
//!
//! Other threads keep their usual priority. This one does little at a time, and the kernel stops any real-time thread that
//! would not (`sched_rt_runtime_us`).

#![allow(unsafe_code, reason = "sched_setscheduler, which no crate wraps")]

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The lowest real-time priority: before all that has none, after all that somebody gave a higher one.
const PRIORITY: u8 = 1;

/// Lets threads of this process take the priority later, when they have no privilege any more. To be called before they are given
/// up. Where the process may not, the limit that it was started with counts (`LimitRTPRIO=` of a unit).
pub(crate) fn allow() {
    let limit = getrlimit(Resource::Rtprio);
    let most = limit.maximum.map_or(u64::from(PRIORITY), |most| most.max(PRIORITY.into()));
    let _ = setrlimit(Resource::Rtprio, Rlimit { current: Some(PRIORITY.into()), maximum: Some(most) });
}

/// Puts the calling thread before all that have no real-time priority.
///
/// # Errors
/// The process may not.
pub(super) fn take() -> io::Result<()> {
    // SAFETY: an all-zero sched_param is a value, and the kernel only reads it. 0 is the calling thread.
    let done = unsafe {
        let mut param: libc::sched_param = std::mem::zeroed();
        param.sched_priority = PRIORITY.into();
        libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const param)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_privileges_goes_first_where_it_was_allowed_to() {
        allow();
        let allowed = getrlimit(Resource::Rtprio).current.is_none_or(|limit| limit >= PRIORITY.into());
        let taken = std::thread::spawn(|| {
            crate::privileges::thread_keeps_only(rustix::thread::CapabilitySet::empty()).unwrap();
            let taken = take();
            // SAFETY: it reads nothing of ours.
            (taken.is_ok(), unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK)
        });
        let (taken, policy) = taken.join().unwrap();
        assert_eq!((taken, policy == libc::SCHED_RR), (allowed, allowed));
    }
}
