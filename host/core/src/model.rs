//! Servers as the request path sees them: immutable, shared, swapped as a whole list.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The largest weight, as HAProxy's.
pub const MAX_WEIGHT: u16 = 256;

/// The most servers of one pool; `update` of a plugin is bounded by it.
pub const MAX_SERVERS: usize = 4096;

/// What may be done with a server now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Takes new work.
    Up,
    /// Failed its checks, or its agent says so.
    Down,
    /// Finishes what it has.
    Drain,
    /// Taken out by an operator or its agent.
    Maint,
}

impl State {
    /// The word in files, output and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

/// A server of a pool, as it is now. A change makes a new one; only [`Load`] is shared between the two.
#[derive(Debug, Clone)]
pub struct Server {
    /// Stays with the name for as long as the pool has it; never used again for another name.
    pub id: u32,
    /// Its name in the fleet file, unique in its pool.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Outcome of checks, agent and operator together.
    pub state: State,
    /// Weight now, 0 to [`MAX_WEIGHT`]; 0 takes no new work.
    pub weight: u16,
    /// Requests that may be in flight from this node; `None` is no limit.
    pub max_in_flight: Option<u32>,
    /// Free-form pairs of the fleet file, names unique.
    pub labels: Arc<[(String, String)]>,
    /// What it is busy with.
    pub load: Arc<Load>,
}

impl Server {
    /// Whether it may be given new work by its state and weight. Its limit is not looked at: see [`Server::has_room`].
    pub fn is_usable(&self) -> bool {
        self.state == State::Up && self.weight > 0
    }

    /// Whether one more request stays within its limit.
    pub fn has_room(&self) -> bool {
        self.max_in_flight.is_none_or(|limit| self.load.in_flight() < limit)
    }
}

/// What a server is busy with, counted by the workers of this node. Outlives every [`Server`] value of its name.
///
/// Each worker writes a cell of its own, on a cache line of its own, and readers add them up: requests are
/// counted many times more often than load is read, and a line that two cores write costs more than a sum.
#[derive(Debug)]
pub struct Load {
    cells: Box<[Cell]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell {
    in_flight: AtomicU32,
    /// Smoothed latency of this worker's requests, microseconds times [`LATENCY_SCALE`].
    latency: AtomicU32,
}

/// One part in ten of each new value, as `wit/host.wit` says.
const LATENCY_WEIGHT: u32 = 10;
/// Fixed point: an eighth of a microsecond, so that small latencies do not stick at a rounded value.
const LATENCY_SCALE: u32 = 8;

impl Load {
    /// Counters for this many workers; at least one.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { cells: (0..workers.max(1)).map(|_| Cell::default()).collect() })
    }

    /// One more request was sent by `worker`. A worker that does not exist is ignored.
    pub fn begin(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            cell.in_flight.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request of `worker` is over. To be called once for each [`Load::begin`].
    pub fn end(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            // Only this worker writes the cell, so load and store need not be one step.
            let now = cell.in_flight.load(Ordering::Relaxed);
            cell.in_flight.store(now.saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// Takes one time to first byte, microseconds, into the smoothed latency.
    pub fn observe_latency(&self, worker: usize, micros: u32) {
        let Some(cell) = self.cells.get(worker) else { return };
        let new = micros.min(u32::MAX / LATENCY_SCALE).saturating_mul(LATENCY_SCALE).max(1);
        let old = cell.latency.load(Ordering::Relaxed);
        let smoothed = if old == 0 { new } else { old - old / LATENCY_WEIGHT + new / LATENCY_WEIGHT };
        cell.latency.store(smoothed.max(1), Ordering::Relaxed);
    }

    /// Requests in flight, all workers.
    pub fn in_flight(&self) -> u32 {
        self.cells.iter().fold(0, |sum: u32, c| sum.saturating_add(c.in_flight.load(Ordering::Relaxed)))
    }

    /// Smoothed time to first byte in microseconds: the mean of the workers that have seen an answer, 0 where none has.
    pub fn latency_micros(&self) -> u32 {
        let (sum, count) = self
            .cells
            .iter()
            .map(|c| c.latency.load(Ordering::Relaxed))
            .filter(|l| *l > 0)
            .fold((0u64, 0u64), |(sum, count), l| (sum + u64::from(l), count + 1));
        if count == 0 {
            return 0;
        }
        let mean = sum / count / u64::from(LATENCY_SCALE);
        u32::try_from(mean).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_is_the_sum_of_all_workers_and_never_wraps() {
        let load = Load::new(2);
        load.begin(0);
        load.begin(1);
        load.begin(7); // no such worker
        assert_eq!(load.in_flight(), 2);
        load.end(0);
        load.end(0); // one too many
        assert_eq!(load.in_flight(), 1);
    }

    #[test]
    fn latency_moves_a_tenth_of_the_way() {
        let load = Load::new(1);
        assert_eq!(load.latency_micros(), 0);
        load.observe_latency(0, 1000);
        assert_eq!(load.latency_micros(), 1000);
        load.observe_latency(0, 2000);
        assert_eq!(load.latency_micros(), 1100);
        load.observe_latency(0, u32::MAX);
        assert!(load.latency_micros() > 1100);
    }
}
