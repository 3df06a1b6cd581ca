//! What waits to be used again: the newest first, for it is the least likely to have been closed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::key::mix;

/// Who may use a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) server: SocketAddr,
    /// The group of the PROXY line that was its beginning; 0 without one.
    pub(super) client: u64,
}

/// Connections that wait, at most `limit` of them.
pub(super) struct Idle<T> {
    limit: usize,
    count: usize,
    lists: HashMap<Key, Vec<Waiting<T>>, BuildHasherDefault<Fold>>,
}

struct Waiting<T> {
    connection: T,
    since: Instant,
    until: Instant,
}

impl<T> Idle<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, count: 0, lists: HashMap::default() }
    }

    /// Keeps a connection for this long. Where there is no room, the eighth of all that has waited longest makes some.
    pub(super) fn put(&mut self, key: Key, connection: T, now: Instant, idle: Duration) {
        if self.count >= self.limit {
            self.make_room();
        }
        if self.limit == 0 {
            return;
        }
        let until = now + idle;
        self.lists.entry(key).or_default().push(Waiting { connection, since: now, until });
        self.count += 1;
    }

    /// The newest connection of this key that is not too old and still good. Others that are met on the way are dropped.
    pub(super) fn take(&mut self, key: &Key, now: Instant, is_good: impl Fn(&T) -> bool) -> Option<T> {
        let list = self.lists.get_mut(key)?;
        while let Some(waiting) = list.pop() {
            self.count -= 1;
            if now < waiting.until && is_good(&waiting.connection) {
                return Some(waiting.connection);
            }
        }
        None
    }

    /// Drops what is too old or not good any more, and the lists of servers and clients that have gone.
    pub(super) fn sweep(&mut self, now: Instant, is_good: impl Fn(&T) -> bool) {
        self.keep(|waiting| now < waiting.until && is_good(&waiting.connection));
    }

    fn make_room(&mut self) {
        let mut ages: Vec<Instant> = self.lists.values().flatten().map(|waiting| waiting.since).collect();
        let at = ages.len() / 8;
        if at < ages.len() {
            let (_, youngest, _) = ages.select_nth_unstable(at);
            let youngest = *youngest;
            self.keep(|waiting| waiting.since > youngest);
        }
    }

    fn keep(&mut self, mut is_kept: impl FnMut(&Waiting<T>) -> bool) {
        self.lists.retain(|_, list| {
            list.retain(&mut is_kept);
            !list.is_empty()
        });
        self.count = self.lists.values().map(Vec::len).sum();
    }
}

/// A hash of a few multiplications. Whoever can choose addresses of servers, or what a line of ours hashes to, is the operator.
#[derive(Default)]
pub(super) struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(part) {
                *to = *from;
            }
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn key(server: u8, client: u64) -> Key {
        Key { server: ([192, 0, 2, server], 80).into(), client }
    }

    fn all(_: &u32) -> bool {
        true
    }

    #[test]
    fn the_newest_is_taken_first_and_nobody_elses() {
        let now = Instant::now();
        let mut idle = Idle::new(8);
        for (at, key) in [(1, key(1, 0)), (2, key(1, 0)), (3, key(2, 0)), (4, key(1, 7))] {
            idle.put(key, at, now, IDLE);
        }
        assert_eq!(idle.take(&key(1, 0), now, all), Some(2));
        assert_eq!(idle.take(&key(1, 7), now, all), Some(4));
        assert_eq!(idle.take(&key(1, 0), now, all), Some(1));
        assert_eq!(idle.take(&key(1, 0), now, all), None);
        assert_eq!((idle.take(&key(2, 7), now, all), idle.count), (None, 1));
    }

    #[test]
    fn one_that_was_closed_or_waited_too_long_is_not_taken() {
        let now = Instant::now();
        let mut idle = Idle::new(8);
        idle.put(key(1, 0), 1, now, IDLE);
        idle.put(key(1, 0), 2, now, IDLE);
        idle.put(key(1, 0), 3, now, IDLE / 2);
        assert_eq!(idle.take(&key(1, 0), now + IDLE / 2, |one| *one != 2), Some(1));
        assert_eq!(idle.count, 0);
    }

    #[test]
    fn a_sweep_leaves_what_is_good_and_no_empty_list() {
        let now = Instant::now();
        let mut idle = Idle::new(8);
        idle.put(key(1, 0), 1, now, IDLE);
        idle.put(key(1, 0), 2, now + IDLE, IDLE);
        idle.put(key(2, 0), 3, now + IDLE, IDLE);
        idle.sweep(now + IDLE, |one| *one != 3);
        assert_eq!((idle.count, idle.lists.len()), (1, 1));
        assert_eq!(idle.take(&key(1, 0), now + IDLE, all), Some(2));
    }

    #[test]
    fn where_there_is_no_room_the_oldest_go() {
        let now = Instant::now();
        let mut idle = Idle::new(16);
        for at in 0..17 {
            idle.put(key(at as u8, 0), at, now + Duration::from_millis(at.into()), IDLE);
        }
        let left: Vec<u32> = (0..17).filter(|at| idle.take(&key(*at as u8, 0), now, all).is_some()).collect();
        assert_eq!(left, (3..17).collect::<Vec<_>>());
        let mut none = Idle::new(0);
        none.put(key(1, 0), 1, now, IDLE);
        assert_eq!(none.take(&key(1, 0), now, all), None);
    }
}
