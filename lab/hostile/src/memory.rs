//! What is allocated by whom: an allocator that counts for each thread.
#![allow(unsafe_code, reason = "an allocator is one by its trait; it hands on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The most that a call may hold at once: so much, and so much more for each byte of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes, whatever the input.
    pub base: usize,
    /// Bytes for each byte of it.
    pub per_byte: usize,
}

impl Default for Memory {
    /// 64 KiB, and 64 bytes for each byte: what a list of values takes that are one byte each in the input and a few words in
    /// memory, with a vector's room to grow.
    fn default() -> Self {
        Self { base: 64 << 10, per_byte: 64 }
    }
}

impl Memory {
    /// For an input of this length.
    pub(crate) const fn of(self, length: usize) -> usize {
        self.base.saturating_add(self.per_byte.saturating_mul(length))
    }
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    // Constant, so that reading it allocates nothing.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// What is freed by another thread than the one that allocated it makes the one's sum too large and the other's negative; a decoder has
/// no threads.
fn count(bytes: isize) {
    // A thread that ends has no cells any more, and nobody asks what it holds.
    let _ = HELD.try_with(|held| {
        held.set(held.get().wrapping_add(bytes));
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: all that makes an allocator one is the system's, which each method hands its arguments on to unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps what `alloc` asks of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps what `alloc_zeroed` asks of it.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller keeps what `dealloc` asks of it.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there for a moment where it cannot grow in its place.
        count(signed(size));
        count(-signed(layout.size()));
        // SAFETY: the caller keeps what `realloc` asks of it.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// No layout is larger than this.
fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

/// The most that this thread held at once while `call` ran, beyond what it held before.
pub(crate) fn most_during<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(Cell::get);
    MOST.with(|most| most.set(before));
    let result = call();
    let most = MOST.with(Cell::get).wrapping_sub(before);
    (result, usize::try_from(most).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_counted_and_not_the_sum() {
        let (_, most) = most_during(|| {
            for _ in 0..10 {
                drop(std::hint::black_box(Vec::<u8>::with_capacity(10_000)));
            }
            std::hint::black_box(Vec::<u8>::with_capacity(100)).len()
        });
        assert!((10_000..12_000).contains(&most), "{most}");
    }

    #[test]
    fn other_threads_do_not_count() {
        let (_, most) = most_during(|| {
            std::thread::spawn(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20))))
                .join()
                .is_ok()
        });
        assert!(most < 1 << 19, "{most}");
    }

    #[test]
    fn an_input_may_take_its_multiple() {
        assert_eq!(Memory { base: 10, per_byte: 3 }.of(5), 25);
    }
}
