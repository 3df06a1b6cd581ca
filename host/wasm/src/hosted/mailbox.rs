//! Where the control thread leaves an instance for a worker.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock;

/// At most one instance, and the issue that it is of: it is given out only under that number, so that a worker that asks while a
/// version is put to use does not get the new one for the old.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    waiting: Mutex<Option<(T, u64)>>,
    /// The issue of the instance that was taken last.
    given: AtomicU64,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { waiting: Mutex::new(None), given: AtomicU64::new(0) }
    }
}

impl<T> Mailbox<T> {
    /// Leaves an instance in place of one that was not taken.
    pub(crate) fn put(&self, instance: T, issue: u64) {
        // What was there is dropped when the lock is free again: that takes a while, and workers try only once.
        let _old = lock(&self.waiting).replace((instance, issue));
    }

    /// Takes away what was not taken.
    pub(crate) fn clear(&self) {
        let _old = lock(&self.waiting).take();
    }

    /// The instance of this issue, if there is one. Waits for nobody: a worker asks again.
    pub(crate) fn take(&self, issue: u64) -> Option<T> {
        let mut waiting = self.waiting.try_lock().ok()?;
        let (instance, _) = waiting.take_if(|(_, of)| *of == issue)?;
        self.given.store(issue, Ordering::Relaxed);
        Some(instance)
    }

    /// The issue of the instance that the worker has, 0 where it never had one.
    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_given_out_under_its_own_number_only_and_once() {
        let mailbox = Mailbox::default();
        assert_eq!((mailbox.take(0), mailbox.given()), (None, 0));
        mailbox.put("first", 1);
        assert_eq!((mailbox.take(0), mailbox.given()), (None, 0), "the number was not raised yet");
        assert_eq!((mailbox.take(1), mailbox.given()), (Some("first"), 1));
        assert_eq!(mailbox.take(1), None);
        mailbox.put("second", 2);
        mailbox.put("third", 3);
        assert_eq!(mailbox.take(2), None, "nobody took it in time");
        assert_eq!((mailbox.take(3), mailbox.given()), (Some("third"), 3));
        mailbox.put("fourth", 4);
        mailbox.clear();
        assert_eq!((mailbox.take(4), mailbox.given()), (None, 3));
    }
}
