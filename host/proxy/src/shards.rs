//! The shards of a node, and everything that may be done to them from outside.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::access_log::AccessLog;
use crate::service::ServiceTable;
use crate::settings::Options;
use crate::shard::{Node, Phase, Shard, Vitals, listen};
use crate::stats::{ProxyStats, ShardCounters};

/// How often [`Shards::drain`] looks. Only while draining.
const LOOK: Duration = Duration::from_millis(10);

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be listened on: another program has it, or this one may not.
    #[error(
        "cannot listen on port {port}: {source}; is another program there, or does this one lack the right?"
    )]
    Listen {
        /// The port.
        port: u16,
        /// What the kernel says.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Requests that were under way when the time was over; 0 is a clean end.
    pub in_flight: u64,
}

/// The running shards. Dropped, they end at once, with whatever is under way: see [`Shards::drain`].
#[derive(Debug)]
pub struct Shards {
    node: Arc<Node>,
    vitals: Vec<Arc<Vitals>>,
    nudges: Vec<Arc<Notify>>,
    ports: Vec<u16>,
    phase: watch::Sender<Phase>,
    closing: watch::Sender<bool>,
    access_log: Option<AccessLog>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    /// Binds every port, then starts every shard. Where one cannot be had, none is left behind.
    pub fn start(options: Options, services: ServiceTable) -> Result<Self, StartError> {
        let workers = options.workers.max(1);
        let node = Arc::new(Node::new(services, options.max_head));
        let mut ports = Vec::with_capacity(options.ports.len());
        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for port in options.ports {
            let (port, bound) = listen::listen(port, workers, options.segments)
                .map_err(|source| StartError::Listen { port, source })?;
            ports.push(port);
            listeners.iter_mut().zip(bound).for_each(|(of_shard, bound)| of_shard.extend(bound));
        }
        let (phase, phases) = watch::channel(Phase::Open);
        let (closing, closings) = watch::channel(false);
        let mut shards = Self {
            node: node.clone(),
            vitals: Vec::new(),
            nudges: Vec::new(),
            ports,
            phase,
            closing,
            access_log: options.access_log,
            threads: Vec::new(),
        };
        let cores = if options.pin_cores { crate::cores::usable() } else { Vec::new() };
        for (index, listeners) in listeners.into_iter().enumerate() {
            let vitals = Arc::new(Vitals { node: node.clone(), counters: ShardCounters::default() });
            let shard = Shard {
                index,
                listeners,
                vitals: vitals.clone(),
                lines: shards.access_log.as_ref().and_then(AccessLog::lines),
                idle_connections: options.idle_connections,
                phase: phases.clone(),
                closing: closings.clone(),
                nudge: Arc::new(Notify::new()),
            };
            shards.vitals.push(vitals);
            shards.nudges.push(shard.nudge.clone());
            let core = if cores.is_empty() { None } else { cores.get(index % cores.len()).copied() };
            let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
                if let Some(core) = core {
                    crate::cores::pin(core);
                }
                if let Err(error) = shard.run() {
                    tracing::error!(%error, index, "a shard has ended; its connections are lost");
                }
            });
            shards.threads.push(thread.map_err(StartError::Thread)?);
        }
        Ok(shards)
    }

    /// The ports that are listened on, in the order of [`Options::ports`].
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// How many shards there are: what [`Pool::new`](crate::Pool::new) wants to know.
    pub fn workers(&self) -> usize {
        self.vitals.len()
    }

    /// Swaps the services. Open connections find the new ones with their next request; ports cannot change.
    pub fn set_services(&self, services: ServiceTable) {
        self.node.set_table(services);
        self.nudge();
    }

    /// Whether this node's own agent says that it may be sent clients; `/healthcheck` fails while not.
    pub fn set_agent_up(&self, up: bool) {
        self.node.agent_up.store(up, Ordering::Relaxed);
    }

    /// Has idle shards move on to the newest services, views and policies, and let go of the old ones.
    pub fn nudge(&self) {
        self.nudges.iter().for_each(|n| n.notify_one());
    }

    /// What was counted, all shards together.
    pub fn stats(&self) -> ProxyStats {
        let mut stats = ProxyStats {
            log_dropped: self.access_log.as_ref().map_or(0, AccessLog::dropped),
            ..ProxyStats::default()
        };
        self.vitals.iter().for_each(|v| v.counters.add_to(&mut stats));
        stats
    }

    /// Whether [`Shards::drain`] has begun.
    pub fn is_draining(&self) -> bool {
        self.node.draining.load(Ordering::Relaxed)
    }

    /// Sends clients away without losing a request: `/healthcheck` fails and answers carry `Connection: close`
    /// at once; after `grace` nothing more is accepted; then what is under way may end. Returns
    /// when nothing is, or when `deadline` is over. Needs a tokio runtime with time.
    pub async fn drain(&self, grace: Duration, deadline: Duration) -> Drained {
        self.node.draining.store(true, Ordering::Relaxed);
        self.closing.send_replace(true);
        let end = tokio::time::Instant::now() + deadline;
        tokio::time::sleep(grace.min(deadline)).await;
        self.phase.send_if_modified(|phase| {
            let open = *phase == Phase::Open;
            *phase = (*phase).max(Phase::Closed);
            open
        });
        loop {
            let stats = self.stats();
            let quiet = self.node.accepting.load(Ordering::Relaxed) == 0 && stats.connections == 0;
            if quiet || tokio::time::Instant::now() >= end {
                return Drained { in_flight: stats.in_flight };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends every shard and waits for their threads.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Over);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a shard has panicked");
            }
        }
    }
}
