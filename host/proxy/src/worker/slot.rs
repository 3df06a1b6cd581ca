//! One pool on one shard: the view it has taken, its position in it, and its instance of the policy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use pingora_core::upstreams::peer::HttpPeer;
use weir_core::schedule::{By, Chooser, Failure, Outcome, Plan, Policy, PolicySource, Request, View};

use crate::key;
use crate::pool::Pool;
use crate::settings::PoolSettings;
use crate::stats::ServerCounters;

/// How often an instance that failed is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A view and what was made of it, for the requests of one shard. Its count is touched by that shard only.
pub(crate) struct Held {
    pub(crate) pool: Arc<Pool>,
    pub(crate) source: Option<Arc<dyn PolicySource>>,
    pub(crate) view: Arc<View>,
    pub(crate) settings: Arc<PoolSettings>,
    pub(crate) counters: Arc<[Arc<ServerCounters>]>,
    /// A peer with everything set but the address and the way to it, whose limits are its own.
    pub(crate) peer: HttpPeer,
}

/// What is asked for one attempt.
pub(crate) struct Ask<'a> {
    /// What the affinity key may be made of.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) path: &'a [u8],
    pub(crate) client: IpAddr,
    /// Ids of servers that failed this request already.
    pub(crate) tried: &'a [u32],
    pub(crate) attempt: u32,
    pub(crate) now: Instant,
}

/// What was decided.
#[derive(Default)]
pub(crate) struct Decision {
    /// The server, as an index into the servers of `held`.
    pub(crate) server: Option<u32>,
    pub(crate) by: Option<By>,
    pub(crate) held: Option<Arc<Held>>,
}

/// A policy's instance and what it knows.
struct Instance {
    policy: Box<dyn Policy>,
    /// `servers_epoch` of the view that it was last told of.
    knows: Option<u64>,
}

/// One pool on one shard.
pub(super) struct Slot {
    held: Arc<Held>,
    revision: u64,
    chooser: Chooser,
    instance: Option<Instance>,
    /// The generation that `instance` is of, or was asked of.
    generation: u64,
    /// When an instance was last asked for.
    asked: Option<Instant>,
    /// Whether `instance` was given while `generation` stayed the same: it may be of the next one.
    early: bool,
}

impl Slot {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        let revision = pool.revision();
        Self {
            held: held(pool),
            revision,
            chooser: Chooser::default(),
            instance: None,
            generation: 0,
            asked: None,
            early: false,
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.held.pool
    }

    /// Takes the newest view, then the newest instance, then tells the instance of the view's servers: in this order, so
    /// that whatever is asked afterwards speaks of the same servers.
    pub(super) fn refresh(&mut self, worker: usize, now: Instant) {
        let revision = self.held.pool.revision();
        if revision != self.revision {
            let new = held(&self.held.pool);
            if !same_source(new.source.as_ref(), self.held.source.as_ref()) {
                self.instance = None;
                self.asked = None;
            }
            self.held = new;
            self.revision = revision;
        }
        if self.held.source.is_none() {
            return;
        }
        // Cloned instead of the source: this count is the shard's own, the source's is shared by all.
        let held = self.held.clone();
        if let Some(source) = &held.source {
            self.take_instance(&**source, worker, now);
            self.tell_servers(&**source, worker, &held.view);
        }
    }

    fn take_instance(&mut self, source: &dyn PolicySource, worker: usize, now: Instant) {
        let generation = source.generation();
        let is_new = generation != self.generation || self.asked.is_none();
        let is_due = self.asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN);
        if !(is_new || self.instance.is_none() && is_due) {
            return;
        }
        // The old one is of no more use, and it is the last of its version that keeps memory. But a source fills its
        // hands before it changes its number: one that was given in between is the new one already.
        let early = self.instance.take().filter(|_| self.early);
        let given = source.instance(worker).map(|policy| Instance { policy, knows: None });
        self.early = given.is_some() && !is_new;
        self.instance = given.or(early);
        self.generation = generation;
        self.asked = Some(now);
    }

    fn tell_servers(&mut self, source: &dyn PolicySource, worker: usize, view: &View) {
        let Some(instance) = &mut self.instance else { return };
        if view.plan != Plan::PerRequest || instance.knows == Some(view.servers_epoch) {
            return;
        }
        match instance.policy.update(&view.servers) {
            // The plan that counts is the view's: all workers carry out the same one.
            Ok(_) => instance.knows = Some(view.servers_epoch),
            Err(failure) => self.failed(source, worker, "update", &failure),
        }
    }

    fn failed(&mut self, source: &dyn PolicySource, worker: usize, hook: &'static str, failure: &Failure) {
        self.held.pool.counters.policy_failed(worker);
        if failure.poisons() {
            self.instance = None;
        }
        source.failed(worker, self.generation, hook, failure);
    }

    pub(super) fn choose(&mut self, worker: usize, ask: &Ask<'_>, random: u64) -> Decision {
        self.refresh(worker, ask.now);
        let held = self.held.clone();
        let servers = &held.view.servers;
        let key = key::of(&held.settings.key, ask.headers, ask.path, ask.client).unwrap_or(random);
        let request = Request { key, attempt: ask.attempt, tried: bits(&held.view, ask.tried) };
        let tried = |index: u32| {
            !ask.tried.is_empty() && servers.get(index as usize).is_some_and(|s| ask.tried.contains(&s.id))
        };
        let source = held.source.as_ref();
        // An instance that could not be told of these servers must not be asked about them.
        let epoch = held.view.servers_epoch;
        let instance = self.instance.as_mut().filter(|i| i.knows == Some(epoch));
        let policy = instance.map(|i| &mut *i.policy as &mut dyn Policy);
        let chosen = self.chooser.choose(&held.view, request, source.is_some(), policy, tried);
        if let Some(source) = source {
            if ask.attempt == 0 {
                source.seen(worker, request);
            }
            if let Some(failure) = &chosen.failure {
                self.failed(&**source, worker, "pick", failure);
            }
        }
        held.pool.counters.decision(worker, chosen.by);
        Decision { server: chosen.server, by: Some(chosen.by), held: Some(held) }
    }

    pub(super) fn feed_back(
        &mut self,
        worker: usize,
        held: &Held,
        server: u32,
        outcome: Outcome,
        latency: Duration,
    ) {
        let Some(instance) = &mut self.instance else { return };
        let now = &self.held.view;
        if !same_source(held.source.as_ref(), self.held.source.as_ref()) {
            return;
        }
        if !instance.policy.wants_results() || instance.knows != Some(now.servers_epoch) {
            return;
        }
        // Where the list has changed since, the server is looked for by its id; one that has left is not reported.
        let index = if held.view.servers_epoch == now.servers_epoch {
            Some(server)
        } else {
            let id = held.view.servers.get(server as usize).map(|s| s.id);
            (0u32..).zip(now.servers.iter()).find(|(_, s)| Some(s.id) == id).map(|(index, _)| index)
        };
        let Some(index) = index else { return };
        if let Err(failure) = instance.policy.on_result(index, outcome, latency)
            && let Some(source) = self.held.source.clone()
        {
            self.failed(&*source, worker, "on-result", &failure);
        }
    }
}

/// `tried` of the contract: bit i for server i of the view, as far as there are bits.
fn bits(view: &View, tried: &[u32]) -> u64 {
    if tried.is_empty() {
        return 0;
    }
    let first = view.servers.iter().take(64).enumerate();
    first.filter(|(_, s)| tried.contains(&s.id)).fold(0, |bits, (at, _)| bits | 1 << at)
}

/// Whether it is the very same policy.
fn same_source(a: Option<&Arc<dyn PolicySource>>, b: Option<&Arc<dyn PolicySource>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn held(pool: &Arc<Pool>) -> Arc<Held> {
    let snapshot = pool.snapshot();
    let timeouts = &snapshot.settings.timeouts;
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut peer = HttpPeer::new(nowhere, false, String::new());
    // None for reads: the client's connection has one timer for both limits, instead of one for each read.
    peer.options.write_timeout = Some(timeouts.write);
    Arc::new(Held {
        pool: pool.clone(),
        source: snapshot.source.clone(),
        view: snapshot.view.clone(),
        settings: snapshot.settings.clone(),
        counters: snapshot.counters.clone(),
        peer,
    })
}
