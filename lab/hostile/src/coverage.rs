//! Which code an input has reached. Where the compiler was asked to count (`cargo lab fuzz` asks it for the decoders' crates), it puts a
//! counter of eight bits into each edge of the code and tells where they are before `main`; everywhere else there are none.
#![allow(unsafe_code, reason = "the counters are the compiler's: addresses that it hands over")]

use std::sync::{Mutex, PoisonError};

/// Begin and end of the counters.
static COUNTERS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by what the compiler adds to each unit, all of which name the same counters.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    let mut all = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    let one = (start.addr(), end.addr());
    start.expose_provenance();
    if one.0 < one.1 && !all.contains(&one) {
        all.push(one);
    }
}

/// Which code the counters belong to; not asked for, and called all the same.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_pcs_init(_start: *const usize, _end: *const usize) {}

/// What has been reached so far.
pub(crate) struct Coverage {
    regions: Vec<(usize, usize)>,
    /// For each counter the kinds of counts that were seen, a bit each.
    seen: Vec<u8>,
}

impl Coverage {
    /// Of this program.
    pub(crate) fn of_this_program() -> Self {
        let regions = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = regions.iter().map(|(start, end)| end - start).sum();
        Self { regions, seen: vec![0; all] }
    }

    /// Whether anything is counted.
    pub(crate) const fn is_counted(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Counters that were reached, of all.
    pub(crate) fn reached(&self) -> (usize, usize) {
        (self.seen.iter().filter(|seen| **seen != 0).count(), self.seen.len())
    }

    /// All counters are 0 from now on.
    pub(crate) fn begin(&self) {
        for (start, end) in &self.regions {
            let counters = std::ptr::with_exposed_provenance_mut::<u8>(*start);
            // SAFETY: the compiler's own array, which lives as long as the program. Other threads may count in it meanwhile, without
            // any order: a count that is lost or comes late is a worse hint, and nothing else.
            unsafe { std::ptr::write_bytes(counters, 0, end - start) };
        }
    }

    /// Whether something was reached since then that was not before, or another number of times.
    pub(crate) fn is_news(&mut self) -> bool {
        let mut news = false;
        let mut seen = self.seen.iter_mut();
        for (start, end) in &self.regions {
            let counters = std::ptr::with_exposed_provenance::<u8>(*start);
            for at in 0..end - start {
                // SAFETY: within the compiler's array, see `begin`; read as something that others may change.
                let count = unsafe { std::ptr::read_volatile(counters.add(at)) };
                let Some(seen) = seen.next() else { return news };
                let kind = kind(count);
                if kind & !*seen != 0 {
                    *seen |= kind;
                    news = true;
                }
            }
        }
        news
    }
}

/// Once, twice, a few times, often: other numbers are no news.
const fn kind(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        128.. => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_before_as_often_is_no_news() {
        static COUNTED: Mutex<[u8; 4]> = Mutex::new([0; 4]);
        let mut counted = COUNTED.lock().unwrap();
        let start = counted.as_mut_ptr();
        start.expose_provenance();
        let mut coverage = Coverage { regions: vec![(start.addr(), start.addr() + 4)], seen: vec![0; 4] };
        let mut hit = |coverage: &mut Coverage, at: usize, times: u8| {
            coverage.begin();
            counted[at] = times;
            coverage.is_news()
        };
        assert!(hit(&mut coverage, 1, 1));
        assert!(!hit(&mut coverage, 1, 1));
        assert!(hit(&mut coverage, 1, 9) && !hit(&mut coverage, 1, 15));
        assert!(hit(&mut coverage, 3, 1));
        assert_eq!(coverage.reached(), (2, 4));
    }
}
