//! A pool: the servers of a service, what is to be done with them, and what has been counted.
//!
//! Whatever a request needs is in one [`Snapshot`], swapped whole. A worker compares one number for each request
//! and takes the new snapshot where it grew; nothing on the request path waits for the thread that makes snapshots.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use weir_core::schedule::{PolicySource, View};

use crate::settings::PoolSettings;
use crate::stats::{PoolCounters, PoolStats, ServerCounters};

/// All that the workers read of a pool. Immutable.
pub(crate) struct Snapshot {
    pub(crate) view: Arc<View>,
    /// Whose plan the view has; `None` is the native round robin.
    pub(crate) source: Option<Arc<dyn PolicySource>>,
    pub(crate) settings: Arc<PoolSettings>,
    /// Counters of the servers of `view`, in its order.
    pub(crate) counters: Arc<[Arc<ServerCounters>]>,
}

/// A pool. Shared by the node, which sets views, and the workers, which carry them out.
pub struct Pool {
    name: Arc<str>,
    workers: usize,
    snapshot: ArcSwap<Snapshot>,
    /// Grows with every snapshot, after it was stored.
    revision: AtomicU64,
    pub(crate) counters: PoolCounters,
    /// Held while a snapshot is made, so that of two changes at once none is lost. Never taken by a worker.
    change: Mutex<()>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool for this many workers ([`Options::workers`](crate::Options::workers)). `source` is its policy, `None` where it
    /// names none.
    pub fn new(
        name: impl Into<Arc<str>>,
        workers: usize,
        settings: PoolSettings,
        source: Option<Arc<dyn PolicySource>>,
        view: View,
    ) -> Arc<Self> {
        let workers = workers.max(1);
        let counters = counters_of(&view, None, workers);
        let snapshot = Snapshot { view: Arc::new(view), source, settings: Arc::new(settings), counters };
        Arc::new(Self {
            name: name.into(),
            workers,
            snapshot: ArcSwap::from_pointee(snapshot),
            revision: AtomicU64::new(1),
            counters: PoolCounters::new(workers),
            change: Mutex::new(()),
        })
    }

    /// Its name in the fleet file.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its policy now.
    pub fn source(&self) -> Option<Arc<dyn PolicySource>> {
        self.snapshot.load().source.clone()
    }

    /// The servers and the plan as they are now.
    pub fn view(&self) -> Arc<View> {
        self.snapshot.load().view.clone()
    }

    /// How it speaks with its servers now.
    pub fn settings(&self) -> Arc<PoolSettings> {
        self.snapshot.load().settings.clone()
    }

    /// Swaps servers and plan. Requests that were sent already end as they began.
    pub fn set_view(&self, view: View) {
        self.change(|old| self.with_view(old, view, old.source.clone()));
    }

    /// Swaps servers, plan and the policy that made it. Workers let go of the old policy's instances.
    pub fn set_policy(&self, view: View, source: Option<Arc<dyn PolicySource>>) {
        self.change(|old| self.with_view(old, view, source));
    }

    fn with_view(&self, old: &Snapshot, view: View, source: Option<Arc<dyn PolicySource>>) -> Snapshot {
        Snapshot {
            counters: counters_of(&view, Some(old), self.workers),
            view: Arc::new(view),
            source,
            settings: old.settings.clone(),
        }
    }

    /// Swaps the settings.
    pub fn set_settings(&self, settings: PoolSettings) {
        self.change(|old| Snapshot {
            view: old.view.clone(),
            source: old.source.clone(),
            settings: Arc::new(settings),
            counters: old.counters.clone(),
        });
    }

    /// What was counted, all workers together. Counters of a server go with it.
    pub fn stats(&self) -> PoolStats {
        let snapshot = self.snapshot.load();
        self.counters.stats(
            snapshot
                .view
                .servers
                .iter()
                .zip(snapshot.counters.iter())
                .map(|(s, c)| c.stats(&s.name))
                .collect(),
        )
    }

    /// A number that grows with every snapshot.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    fn change(&self, make: impl FnOnce(&Snapshot) -> Snapshot) {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let new = make(&self.snapshot.load());
        self.snapshot.store(Arc::new(new));
        // A worker that sees the number sees the snapshot.
        self.revision.fetch_add(1, Ordering::Release);
    }
}

/// The counters of the servers of a view: those that the old snapshot had for the same server, else new ones.
fn counters_of(view: &View, old: Option<&Snapshot>, workers: usize) -> Arc<[Arc<ServerCounters>]> {
    let known = |id: u32, at: usize| -> Option<Arc<ServerCounters>> {
        let old = old?;
        // Most changes keep the list, so the same place is looked at first.
        let same = |i: usize| old.view.servers.get(i).is_some_and(|s| s.id == id);
        let at = if same(at) { at } else { old.view.servers.iter().position(|s| s.id == id)? };
        old.counters.get(at).cloned()
    };
    view.servers
        .iter()
        .enumerate()
        .map(|(at, server)| known(server.id, at).unwrap_or_else(|| ServerCounters::new(workers)))
        .collect()
}
