//! The thread that speaks with the kernel: always about the newest desired state, and again on a timer.
//!
//! A thread of its own, since a large table takes the kernel a while, and the hold of the announcements must not wait for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::thread::CapabilitySet;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use weir_core::desired::{Desired, Ways};
use weir_core::ipvs::Key;

use super::{Cause, Kernel, Looked};
use crate::privileges;

/// Of the time between two looks, a look may take this part at most; a large table is looked at less often.
const SHARE: u32 = 20;

/// Between two looks for a flood of connections, where packets are marked.
const FLOOD: Duration = Duration::from_millis(100);

/// The two ends of a worker. When they are dropped, its thread ends.
pub struct Worker {
    /// What shall be; `None` until anybody has said so: nothing is touched before.
    pub desired: watch::Sender<Option<Arc<Desired>>>,
    /// What checks need before anything else is said.
    pub ways: watch::Sender<Option<Arc<Ways>>>,
    /// What became of it, once for each look.
    pub looked: mpsc::Receiver<Looked>,
    /// The services for marks of checks that the balancer has, and where they lead.
    pub there: watch::Receiver<Arc<BTreeMap<Key, IpAddr>>>,
}

impl Worker {
    /// Starts the thread. It looks at the kernel whenever the desired state changes, and at least `every` so often.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(observe_only: bool, every: Duration) -> std::io::Result<Self> {
        let (desired, wanted) = watch::channel(None);
        let (ways, prepared) = watch::channel(None);
        let (results, looked) = mpsc::channel(1);
        let (known, there) = watch::channel(Arc::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            runtime.block_on(async move {
                // The BGP port is the speaker's.
                let needs = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
                if let Err(error) = privileges::thread_keeps_only(needs) {
                    tracing::error!(%error, "the kernel is not touched");
                    return;
                }
                work(Kernel::open(observe_only), Told { wanted, prepared }, results, known, every).await;
            });
        };
        std::thread::Builder::new().name("kernel".to_owned()).spawn(work)?;
        Ok(Self { desired, ways, looked, there })
    }
}

/// What a worker is told.
struct Told {
    wanted: watch::Receiver<Option<Arc<Desired>>>,
    prepared: watch::Receiver<Option<Arc<Ways>>>,
}

async fn work(
    mut kernel: Kernel,
    Told { mut wanted, mut prepared }: Told,
    results: mpsc::Sender<Looked>,
    known: watch::Sender<Arc<BTreeMap<Key, IpAddr>>>,
    every: Duration,
) {
    // Looks keep their time however often the desired state changes.
    let (mut next, mut spent) = (Instant::now() + every, Duration::ZERO);
    let mut cause = Cause::Wanted;
    loop {
        let desired = wanted.borrow_and_update().clone();
        let begun = Instant::now();
        if let Some(desired) = desired {
            // Nobody waits for a look at a large table, and somebody may for the change that has just come.
            let looked = kernel.reconcile(&desired, cause, || wanted.has_changed().unwrap_or(true)).await;
            if let Some(looked) = looked
                && results.send(looked).await.is_err()
            {
                return;
            }
        } else if let Some(ways) = prepared.borrow_and_update().clone()
            && let Err(error) = kernel.prepare(&ways)
        {
            tracing::error!(%error, "checks through tunnels have no way yet");
        }
        known.send_if_modified(|known| {
            let now = kernel.ways();
            let differs = **known != now;
            if differs {
                *known = Arc::new(now);
            }
            differs
        });
        if cause == Cause::Looked {
            spent += begun.elapsed();
            if !kernel.is_looking() {
                next = Instant::now() + every.max(spent * SHARE);
                spent = Duration::ZERO;
            }
        }
        let redirects = wanted.borrow().as_ref().is_some_and(|desired| !desired.redirects.is_empty());
        cause = loop {
            let news = async {
                tokio::select! {
                    changed = wanted.changed() => changed,
                    changed = prepared.changed() => changed,
                }
            };
            let until = if redirects { next.min(Instant::now() + FLOOD) } else { next };
            match tokio::time::timeout_at(until, news).await {
                Ok(Ok(())) => break Cause::Wanted,
                Ok(Err(_)) => return,
                Err(_) if until == next => break Cause::Looked,
                Err(_) if kernel.flood_changes() => break Cause::Wanted,
                Err(_) => {}
            }
        };
    }
}
