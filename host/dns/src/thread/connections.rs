//! The connections of the thread, by how long they have been idle.

use std::collections::{BTreeSet, HashMap};

use tokio::task::AbortHandle;

/// A connection that is open.
#[derive(Debug, Default)]
struct Open {
    /// Grows with each query of any connection: the lowest has been idle for longest.
    touched: u64,
    task: Option<AbortHandle>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    next: u64,
    touches: u64,
    open: HashMap<u64, Open>,
    by_touch: BTreeSet<(u64, u64)>,
}

impl Connections {
    /// At most this many at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), next: 0, touches: 0, open: HashMap::new(), by_touch: BTreeSet::new() }
    }

    /// One more. Returns its number, and whether another had to go for it.
    pub(crate) fn enter(&mut self) -> (u64, bool) {
        let evicted = self.open.len() >= self.limit && self.evict();
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Open::default());
        self.touch(number);
        (number, evicted)
    }

    /// This task serves it.
    pub(crate) fn began(&mut self, number: u64, task: AbortHandle) {
        if let Some(open) = self.open.get_mut(&number) {
            open.task = Some(task);
        }
    }

    /// It has asked something.
    pub(crate) fn touch(&mut self, number: u64) {
        self.touches += 1;
        if let Some(open) = self.open.get_mut(&number) {
            self.by_touch.remove(&(open.touched, number));
            open.touched = self.touches;
            self.by_touch.insert((open.touched, number));
        }
    }

    /// It has ended.
    pub(crate) fn leave(&mut self, number: u64) {
        if let Some(open) = self.open.remove(&number) {
            self.by_touch.remove(&(open.touched, number));
        }
    }

    /// Whether there is room for fewer than there are.
    pub(crate) fn is_half_full(&self) -> bool {
        self.open.len() >= self.limit.div_ceil(2)
    }

    /// Closes the one that has been idle for longest. False where there is none.
    pub(crate) fn evict(&mut self) -> bool {
        let Some((_, number)) = self.by_touch.pop_first() else { return false };
        if let Some(task) = self.open.remove(&number).and_then(|open| open.task) {
            task.abort();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(connections: &Connections) -> Vec<u64> {
        let mut numbers: Vec<u64> = connections.open.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn the_one_that_has_been_idle_for_longest_makes_room() {
        let mut connections = Connections::new(2);
        assert_eq!((connections.enter(), connections.enter()), ((0, false), (1, false)));
        connections.touch(0);
        assert_eq!(connections.enter(), (2, true));
        assert_eq!(open(&connections), [0, 2]);
        connections.leave(0);
        assert!(connections.is_half_full());
        connections.leave(1);
        assert_eq!(connections.enter(), (3, false), "one of the two has left by itself");
        assert_eq!((open(&connections), connections.by_touch.len()), (vec![2, 3], 2));
        assert!(connections.evict() && connections.evict() && !connections.evict());
    }
}
