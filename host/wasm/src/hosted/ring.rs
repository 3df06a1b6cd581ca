//! The last requests of one worker, to try the next version with.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use weir_core::schedule::Request;

use crate::trial::CANARY_REQUESTS;

/// Written by one worker without ever waiting, read by anybody. A reader may see one request half old and half new: it is
/// then a request that never was, which is as good to try a version with.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Ring {
    written: AtomicU64,
    slots: Box<[Slot]>,
}

#[derive(Debug, Default)]
struct Slot {
    key: AtomicU64,
    tried: AtomicU64,
    attempt: AtomicU32,
}

impl Default for Ring {
    fn default() -> Self {
        Self { written: AtomicU64::new(0), slots: (0..CANARY_REQUESTS).map(|_| Slot::default()).collect() }
    }
}

impl Ring {
    pub(crate) fn push(&self, request: Request) {
        let written = self.written.load(Ordering::Relaxed);
        // Below the number of slots, which is a small constant.
        let at = (written % CANARY_REQUESTS as u64) as usize;
        let Some(slot) = self.slots.get(at) else { return };
        slot.key.store(request.key, Ordering::Relaxed);
        slot.tried.store(request.tried, Ordering::Relaxed);
        slot.attempt.store(request.attempt, Ordering::Relaxed);
        self.written.store(written.wrapping_add(1), Ordering::Release);
    }

    /// What is in it, in no order.
    pub(crate) fn read(&self) -> Vec<Request> {
        let written = usize::try_from(self.written.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        let read = |slot: &Slot| Request {
            key: slot.key.load(Ordering::Relaxed),
            tried: slot.tried.load(Ordering::Relaxed),
            attempt: slot.attempt.load(Ordering::Relaxed),
        };
        self.slots.iter().take(written).map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_last_256_requests() {
        let ring = Ring::default();
        assert_eq!(ring.read(), []);
        (0..300).for_each(|key| ring.push(Request { key, attempt: 1, tried: key }));
        let mut keys: Vec<u64> = ring.read().iter().map(|r| r.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, (44..300).collect::<Vec<_>>());
    }
}
