//! What is counted, so that counting costs a request almost nothing.
//!
//! Each worker writes cells of its own, on cache lines of its own, with plain loads and stores: there is no other
//! writer. A scrape adds the cells up. The node gives the numbers their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_core::schedule::By;

/// Upper bounds of the latency buckets, microseconds; one more bucket takes what is above the last.
pub const LATENCY_BOUNDS: [u32; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// Who may decide, in the order of [`PoolStats::decisions`].
pub const DECIDERS: [By; 7] =
    [By::Table, By::Cycle, By::Pick, By::Native, By::Fallback, By::Refused, By::Exhausted];

/// A counter that one worker writes.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, by: u64) {
        // Only one worker writes it, so load and store need not be one step.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How an attempt at a server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Connect,
    ConnectTimeout,
    Timeout,
    Broken,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct ServerCell {
    /// By first digit of the status; 0 takes what is no status.
    answers: [Count; 6],
    bytes: Count,
    connects: Count,
    retries: Count,
    troubles: [Count; 4],
}

/// Counters of one server; they outlive the views it is in.
#[derive(Debug)]
pub(crate) struct ServerCounters {
    cells: Box<[ServerCell]>,
}

impl ServerCounters {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { cells: (0..workers.max(1)).map(|_| ServerCell::default()).collect() })
    }

    pub(crate) fn answer(&self, worker: usize, status: u16, bytes: u64) {
        let Some(cell) = self.cells.get(worker) else { return };
        let class = cell.answers.get(usize::from(status / 100)).or(cell.answers.first());
        if let Some(count) = class {
            count.add(1);
        }
        cell.bytes.add(bytes);
    }

    pub(crate) fn connected(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            cell.connects.add(1);
        }
    }

    pub(crate) fn trouble(&self, worker: usize, trouble: Trouble, retried: bool) {
        let Some(cell) = self.cells.get(worker) else { return };
        if let Some(count) = cell.troubles.get(trouble as usize) {
            count.add(1);
        }
        cell.retries.add(u64::from(retried));
    }

    /// An attempt was made again, for no fault of the server.
    pub(crate) fn retried(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            cell.retries.add(1);
        }
    }

    pub(crate) fn stats(&self, name: &Arc<str>) -> ServerStats {
        let sum = |of: fn(&ServerCell) -> &Count| self.cells.iter().map(|c| of(c).get()).sum();
        let sums = |of: fn(&ServerCell) -> &[Count]| -> Vec<u64> {
            let width = self.cells.first().map_or(0, |c| of(c).len());
            (0..width).map(|i| self.cells.iter().filter_map(|c| of(c).get(i)).map(Count::get).sum()).collect()
        };
        let [connect_failed, connect_timed_out, timed_out, broken] =
            sums(|c| &c.troubles).try_into().unwrap_or_default();
        ServerStats {
            name: name.clone(),
            answers: sums(|c| &c.answers).try_into().unwrap_or_default(),
            bytes: sum(|c| &c.bytes),
            connects: sum(|c| &c.connects),
            retries: sum(|c| &c.retries),
            connect_failed,
            connect_timed_out,
            timed_out,
            broken,
        }
    }
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct PoolCell {
    decisions: [Count; DECIDERS.len()],
    policy_failures: Count,
    client_aborts: Count,
    latency: [Count; LATENCY_BOUNDS.len() + 1],
    latency_sum: Count,
}

/// Counters of a pool.
#[derive(Debug)]
pub(crate) struct PoolCounters {
    cells: Box<[PoolCell]>,
}

impl PoolCounters {
    pub(crate) fn new(workers: usize) -> Self {
        Self { cells: (0..workers.max(1)).map(|_| PoolCell::default()).collect() }
    }

    pub(crate) fn decision(&self, worker: usize, by: By) {
        let at = match by {
            By::Table => 0,
            By::Cycle => 1,
            By::Pick => 2,
            By::Native => 3,
            By::Fallback => 4,
            By::Refused => 5,
            By::Exhausted => 6,
        };
        if let Some(count) = self.cells.get(worker).and_then(|c| c.decisions.get(at)) {
            count.add(1);
        }
    }

    pub(crate) fn policy_failed(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            cell.policy_failures.add(1);
        }
    }

    pub(crate) fn client_aborted(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            cell.client_aborts.add(1);
        }
    }

    /// A first byte came after this long.
    pub(crate) fn latency(&self, worker: usize, micros: u32) {
        let Some(cell) = self.cells.get(worker) else { return };
        let at = LATENCY_BOUNDS.iter().position(|b| micros <= *b).unwrap_or(LATENCY_BOUNDS.len());
        if let Some(count) = cell.latency.get(at) {
            count.add(1);
        }
        cell.latency_sum.add(u64::from(micros));
    }

    pub(crate) fn stats(&self, servers: Vec<ServerStats>) -> PoolStats {
        let mut stats = PoolStats { servers, ..PoolStats::default() };
        for cell in &self.cells {
            for (sum, count) in stats.decisions.iter_mut().zip(&cell.decisions) {
                *sum += count.get();
            }
            for (sum, count) in stats.latency.iter_mut().zip(&cell.latency) {
                *sum += count.get();
            }
            stats.latency_sum += Duration::from_micros(cell.latency_sum.get());
            stats.policy_failures += cell.policy_failures.get();
            stats.client_aborts += cell.client_aborts.get();
        }
        stats
    }
}

/// What was counted for a server since it came into its pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerStats {
    /// Its name.
    pub name: Arc<str>,
    /// Answers passed on, by first digit of the status: `answers[2]` are the 2xx. `answers[0]` is what is no status.
    pub answers: [u64; 6],
    /// Bytes of bodies that were passed on to clients.
    pub bytes: u64,
    /// New connections.
    pub connects: u64,
    /// Attempts that failed here and were made again: elsewhere, or here where an idle connection had been closed.
    pub retries: u64,
    /// Attempts that found no connection: refused, unreachable, reset.
    pub connect_failed: u64,
    /// Attempts that found no connection in time.
    pub connect_timed_out: u64,
    /// Attempts that a time limit ended after the connection stood.
    pub timed_out: u64,
    /// Attempts whose connection broke, or whose answer was none. Not those that were made again because an idle connection
    /// had been closed.
    pub broken: u64,
}

/// What was counted for a pool since it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Its servers, in the order of the view.
    pub servers: Vec<ServerStats>,
    /// How many decisions were made by whom, in the order of [`DECIDERS`].
    pub decisions: [u64; DECIDERS.len()],
    /// Decisions that a policy owed and did not give.
    pub policy_failures: u64,
    /// Requests whose client went away before the answer was complete.
    pub client_aborts: u64,
    /// Times to the first byte of an answer: how many were within each of [`LATENCY_BOUNDS`] and not within the
    /// one before, and above the last.
    pub latency: [u64; LATENCY_BOUNDS.len() + 1],
    /// The sum of those times.
    pub latency_sum: Duration,
}

/// What was counted for the node since it started, and what it is busy with now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProxyStats {
    /// Connections accepted, those that were closed at once included.
    pub accepted: u64,
    /// Connections closed at accept because no service has their address.
    pub misdirected: u64,
    /// Requests that this node answered itself: 4xx, 5xx and `/healthcheck`.
    pub answered: u64,
    /// Requests that came to nothing before anybody could be asked to serve them, so that no log has them: bytes that are no
    /// request, heads that are ambiguous, broken off or too slow, and `CONNECT`. At most one for each connection: it is closed.
    pub malformed: u64,
    /// Client connections open now.
    pub connections: u64,
    /// Requests being served now.
    pub in_flight: u64,
    /// Lines that are not in the access log because the disk was too slow or failed.
    pub log_dropped: u64,
}

/// What one shard counts for [`ProxyStats`].
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ShardCounters {
    accepted: Count,
    misdirected: Count,
    answered: Count,
    malformed: Count,
    opened: Count,
    closed: Count,
    begun: Count,
    ended: Count,
}

impl ShardCounters {
    pub(crate) fn accepted(&self) {
        self.accepted.add(1);
    }

    pub(crate) fn misdirected(&self) {
        self.misdirected.add(1);
    }

    pub(crate) fn answered(&self) {
        self.answered.add(1);
    }

    pub(crate) fn malformed(&self) {
        self.malformed.add(1);
    }

    pub(crate) fn opened(&self) {
        self.opened.add(1);
    }

    pub(crate) fn closed(&self) {
        self.closed.add(1);
    }

    pub(crate) fn begun(&self) {
        self.begun.add(1);
    }

    pub(crate) fn ended(&self) {
        self.ended.add(1);
    }

    pub(crate) fn add_to(&self, sum: &mut ProxyStats) {
        sum.accepted += self.accepted.get();
        sum.misdirected += self.misdirected.get();
        sum.answered += self.answered.get();
        sum.malformed += self.malformed.get();
        // The end is read first: a connection that opens in between is then counted, never one that was not there.
        let (closed, ended) = (self.closed.get(), self.ended.get());
        sum.connections += self.opened.get().saturating_sub(closed);
        sum.in_flight += self.begun.get().saturating_sub(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_all_workers_are_added_up() {
        let counters = ServerCounters::new(2);
        counters.answer(0, 200, 10);
        counters.answer(1, 204, 5);
        counters.answer(1, 999, 0); // no class: not lost
        counters.answer(7, 200, 1); // no such worker
        counters.trouble(1, Trouble::Timeout, true);
        let stats = counters.stats(&"a".into());
        assert_eq!(stats.answers, [1, 0, 2, 0, 0, 0]);
        assert_eq!((stats.bytes, stats.retries, stats.timed_out, stats.broken), (15, 1, 1, 0));
    }

    #[test]
    fn a_latency_is_in_the_first_bucket_whose_bound_it_keeps() {
        let counters = PoolCounters::new(1);
        for micros in [0, 250, 251, 10_000_000, 10_000_001] {
            counters.latency(0, micros);
        }
        let stats = counters.stats(vec![]);
        assert_eq!((stats.latency[0], stats.latency[1]), (2, 1));
        assert_eq!((stats.latency[13], stats.latency[14]), (1, 1));
        assert_eq!(stats.latency_sum.as_micros(), 20_000_502);
    }

    #[test]
    fn every_decider_has_its_place() {
        let counters = PoolCounters::new(1);
        for (at, by) in DECIDERS.into_iter().enumerate() {
            (0..=at).for_each(|_| counters.decision(0, by));
        }
        assert_eq!(counters.stats(vec![]).decisions, [1, 2, 3, 4, 5, 6, 7]);
    }
}
