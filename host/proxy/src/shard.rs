//! A shard: one OS thread with its own runtime, listeners, connections to servers, and counters.
//!
//! Nothing that a request needs is shared with another shard. The kernel spreads new connections over the
//! listeners (`SO_REUSEPORT`), and from there on a connection stays on its thread, so neither a request nor a wake-up crosses cores.

pub(crate) mod accept;
pub(crate) mod listen;
mod rest;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pingora_core::apps::HttpServerApp;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::sync::{Notify, watch};

use crate::access_log::Lines;
use crate::gateway::Gateway;
use crate::service::ServiceTable;
use crate::settings::MAX_RETRIES;
use crate::stats::ShardCounters;
use crate::upstream;
use crate::worker::Worker;

/// How often lines of log are handed over where few requests come.
const TICK: Duration = Duration::from_millis(250);
/// After the last accept: how long connections that have sent nothing yet may take to send something.
const LINGER: Duration = Duration::from_millis(500);

/// What all shards of a node share. Written rarely.
#[derive(Debug)]
pub(crate) struct Node {
    table: ArcSwap<ServiceTable>,
    table_revision: AtomicU64,
    /// This node's own agent says that it may be sent clients.
    pub(crate) agent_up: AtomicBool,
    pub(crate) draining: AtomicBool,
    /// Listeners that still accept.
    pub(crate) accepting: AtomicUsize,
    pub(crate) max_head: usize,
}

impl Node {
    pub(crate) fn new(table: ServiceTable, max_head: usize) -> Self {
        Self {
            table: ArcSwap::from_pointee(table),
            table_revision: AtomicU64::new(1),
            agent_up: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            accepting: AtomicUsize::new(0),
            max_head,
        }
    }

    pub(crate) fn table(&self) -> Arc<ServiceTable> {
        self.table.load_full()
    }

    /// Grows with every table.
    pub(crate) fn table_revision(&self) -> u64 {
        self.table_revision.load(Ordering::Acquire)
    }

    pub(crate) fn set_table(&self, table: ServiceTable) {
        self.table.store(Arc::new(table));
        // A worker that sees the number sees the table.
        self.table_revision.fetch_add(1, Ordering::Release);
    }

    /// Whether clients may be sent to this node, as far as the node itself is concerned.
    pub(crate) fn is_welcoming(&self) -> bool {
        self.agent_up.load(Ordering::Relaxed) && !self.draining.load(Ordering::Relaxed)
    }
}

/// A shard's part in the whole: what it counts, and what all share.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) node: Arc<Node>,
    pub(crate) counters: ShardCounters,
}

/// How far a shard is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Accepts and serves.
    Open,
    /// Accepts no more.
    Closed,
    /// Ends now, whatever is under way.
    Over,
}

/// What a shard is started with.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) lines: Option<Lines>,
    pub(crate) idle_connections: usize,
    pub(crate) phase: watch::Receiver<Phase>,
    /// True once answers carry `Connection: close`.
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) nudge: Arc<Notify>,
}

pub(crate) type App = HttpProxy<Gateway>;

/// Steps of tasks between two looks at sockets and timers, where there is that much to do. A request takes four or five, so with
/// tokio's 61 a busy shard asks the kernel after a dozen requests, and servers and clients that wait for it are woken one by one.
/// All steps of a round are some milliseconds at most.
const EVENT_INTERVAL: u32 = 512;

impl Shard {
    /// Serves until the phase is [`Phase::Over`]. To be called on a thread of its own.
    pub(crate) fn run(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(EVENT_INTERVAL)
            .enable_all()
            .build()?;
        Worker::install(self.index, self.vitals.clone(), self.lines);
        upstream::install(self.idle_connections);
        let conf = Arc::new(ServerConf {
            threads: 1,
            // We keep them ourselves.
            upstream_keepalive_pool_size: 1,
            // Both kinds of retry, and one to spare: the exchange decides, this is only a backstop.
            max_retries: 2 * MAX_RETRIES as usize + 2,
            ..ServerConf::default()
        });
        let app = Arc::new(http_proxy(&conf, Gateway::new(self.index, self.vitals.clone())));
        let mut phase = self.phase;
        let (vitals, closing, nudge, listeners) = (self.vitals, self.closing, self.nudge, self.listeners);
        let ended = runtime.block_on(async move {
            for listener in listeners {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let loops = accept::Accept {
                    listener,
                    app: app.clone(),
                    vitals: vitals.clone(),
                    phase: phase.clone(),
                    closing: closing.clone(),
                };
                tokio::spawn(loops.run());
            }
            tokio::spawn(look_after(nudge));
            // An error is the end of the sender, which is the end of the node.
            let _ = phase.wait_for(|p| *p >= Phase::Closed).await;
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                rest::end();
                // Those as well that have begun to send one.
                app.http_cleanup().await;
            });
            let _ = phase.wait_for(|p| *p == Phase::Over).await;
            Ok(())
        });
        // Requests that are still under way end here, while their worker is there to be told.
        upstream::remove();
        drop(runtime);
        Worker::remove();
        ended
    }
}

/// Keeps a shard up to date that has no requests.
async fn look_after(nudge: Arc<Notify>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                Worker::with(Worker::tick);
                upstream::sweep(Instant::now());
            }
            () = nudge.notified() => { Worker::with(Worker::nudge); }
        }
    }
}
