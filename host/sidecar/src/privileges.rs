//! What a process and a thread may do, and giving it up.
//!
//! Capabilities are per thread on Linux, and a new thread begins with those of the one that made it. So the order is: the process
//! drops to what its kind needs before it has threads, then each thread drops what it does not need itself.

use std::fs;
use std::path::Path;

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// What the sidecar needs: routes, addresses and IPVS; sockets with marks; the BGP port.
pub const SIDECAR: CapabilitySet =
    CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW).union(CapabilitySet::NET_BIND_SERVICE);

/// What the host needs: ports below 1024.
pub const HOST: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

/// Why privileges were not given up. Nobody should go on then.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {error}")]
pub struct PrivilegeError {
    step: &'static str,
    error: std::io::Error,
}

fn step<T>(step: &'static str, result: rustix::io::Result<T>) -> Result<T, PrivilegeError> {
    result.map_err(|e| PrivilegeError { step, error: e.into() })
}

/// Keeps of this process's capabilities those in `keep` that it has, and gives up all others for good, also for programs that it
/// starts. Returns what it is left with. To be called before there are other threads.
///
/// # Errors
/// The kernel did not allow to give something up.
pub fn keep_only(keep: CapabilitySet) -> Result<CapabilitySet, PrivilegeError> {
    step("forbid new privileges", set_no_new_privs(true))?;
    // The bounding set can be made smaller by who has SETPCAP only, and matters only to who could gain something by exec.
    if step("read capabilities", capabilities(None))?.effective.contains(CapabilitySet::SETPCAP) {
        for (_, capability) in CapabilitySet::all().difference(keep).iter_names() {
            if capability_is_in_bounding_set(capability).unwrap_or(false) {
                step("limit capabilities", remove_capability_from_bounding_set(capability))?;
            }
        }
    }
    step("clear ambient capabilities", clear_ambient_capability_set())?;
    thread_keeps_only(keep)
}

/// Keeps of this thread's capabilities those in `keep` that it has. Returns what it is left with.
///
/// # Errors
/// The kernel did not allow to give something up.
pub fn thread_keeps_only(keep: CapabilitySet) -> Result<CapabilitySet, PrivilegeError> {
    let left = step("read capabilities", capabilities(None))?.permitted.intersection(keep);
    let sets = CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() };
    step("give up capabilities", set_capabilities(None, sets))?;
    Ok(left)
}

/// A user that a process may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// There is no such user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no user `{name}` in /etc/passwd; name one that is, or UID:GID")]
pub struct UnknownUser {
    name: String,
}

impl User {
    /// By name, from /etc/passwd, or as `UID:GID`. Directories of users that are elsewhere are not asked: this runs while the
    /// network is not up.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn find(name: &str) -> Result<Self, UnknownUser> {
        let numbers = name.split_once(':').and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
        if let Some((uid, gid)) = numbers {
            return Ok(Self { uid, gid });
        }
        let table = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
        entry(&table, name).ok_or_else(|| UnknownUser { name: name.to_owned() })
    }

    /// Becomes this user with no other group, and with the capabilities in `keep` that the process has. To be called
    /// before there are other threads.
    ///
    /// # Errors
    /// The process may not become another user.
    pub fn become_it(self, keep: CapabilitySet) -> Result<(), PrivilegeError> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        step("keep capabilities", set_keep_capabilities(true))?;
        step("leave other groups", set_thread_groups(&[]))?;
        step("change the group", set_thread_res_gid(gid, gid, gid))?;
        step("change the user", set_thread_res_uid(uid, uid, uid))?;
        step("keep capabilities", set_keep_capabilities(false))?;
        // Only permitted ones survive the change; they are made effective again.
        thread_keeps_only(keep.union(CapabilitySet::SETPCAP)).map(drop)
    }
}

/// The entry of a user in the text of a passwd file.
fn entry(table: &str, name: &str) -> Option<User> {
    let line = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = line.into_iter().find(|fields| fields.first() == Some(&name))?;
    Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

/// Words for a set, for logs.
pub fn words(set: CapabilitySet) -> String {
    let names: Vec<_> = set.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name_only() {
        let table = "root:x:0:0:root:/root:/bin/sh\nweir:x:990:991::/:/bin/false\nbroken:x:y:z\n";
        assert_eq!(entry(table, "weir"), Some(User { uid: 990, gid: 991 }));
        assert_eq!(entry(table, "wei"), None);
        assert_eq!(entry(table, "broken"), None);
        assert_eq!(User::find("12:13"), Ok(User { uid: 12, gid: 13 }));
        assert!(User::find("no such user").unwrap_err().to_string().contains("UID:GID"));
    }

    #[test]
    fn a_thread_that_gave_up_its_capabilities_has_none_and_others_keep_theirs() {
        let before = capabilities(None).unwrap();
        let left = std::thread::spawn(|| {
            thread_keeps_only(CapabilitySet::empty()).unwrap();
            capabilities(None).unwrap()
        });
        let left = left.join().unwrap();
        assert!(left.effective.is_empty() && left.permitted.is_empty());
        assert_eq!(capabilities(None).unwrap(), before);
    }

    #[test]
    fn what_is_kept_is_at_most_what_was_there() {
        let kept = std::thread::spawn(|| {
            let had = thread_keeps_only(CapabilitySet::NET_RAW).unwrap();
            (had, thread_keeps_only(SIDECAR).unwrap())
        });
        let (had, after) = kept.join().unwrap();
        assert_eq!(had, after);
        assert!(!after.contains(CapabilitySet::NET_ADMIN));
    }

    #[test]
    fn sets_are_told_by_their_names() {
        assert_eq!(words(SIDECAR), "net_bind_service, net_admin, net_raw");
        assert_eq!(words(CapabilitySet::empty()), "none");
    }
}
