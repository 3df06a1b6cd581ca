//! What one shard has for itself: routes, its position in each plan, its instance of each policy, its lines of log.
//!
//! A shard is one thread, so all of it is in a thread-local value and nothing is locked. It is borrowed for the length
//! of one synchronous step, never across an `await`.

mod slot;

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use pingora_http::RequestHeader;
use weir_core::schedule::Outcome;

use crate::access_log::Lines;
use crate::forwarded;
use crate::key::mix;
use crate::service::{Service, ServiceTable};
use crate::shard::Vitals;

use slot::Slot;
pub(crate) use slot::{Ask, Decision, Held};

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// A service, as this shard reaches it. Counted by this shard only, so that no cache line is shared for it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) service: Arc<Service>,
}

/// The state of the current thread's shard.
pub(crate) struct Worker {
    pub(crate) index: usize,
    vitals: Arc<Vitals>,
    /// The table that `routes` was made from.
    table: Arc<ServiceTable>,
    table_revision: u64,
    /// In the order of the table's services.
    routes: Vec<Arc<Route>>,
    slots: Vec<Slot>,
    pub(crate) lines: Option<Lines>,
    random: u64,
    /// Takes the place of a head that is being changed.
    spare: Option<RequestHeader>,
    /// One moment by both clocks, renewed by every tick, so that a request needs one clock only.
    anchor: (Instant, SystemTime),
}

impl Worker {
    /// Makes the current thread the shard of this index.
    pub(crate) fn install(index: usize, vitals: Arc<Vitals>, lines: Option<Lines>) {
        let mut worker = Self {
            index,
            vitals,
            table: Arc::default(),
            table_revision: 0,
            routes: Vec::new(),
            slots: Vec::new(),
            lines,
            random: RandomState::new().hash_one(index),
            spare: RequestHeader::build_no_case("GET", b"/", None).ok(),
            anchor: (Instant::now(), SystemTime::now()),
        };
        worker.refresh_routes();
        WORKER.set(Some(worker));
    }

    /// Ends what [`Worker::install`] began: instances are dropped and lines are handed over.
    pub(crate) fn remove() {
        if let Some(mut worker) = WORKER.take() {
            worker.flush();
        }
    }

    /// Runs with the shard of the current thread; `None` where the thread is none.
    pub(crate) fn with<R>(f: impl FnOnce(&mut Self) -> R) -> Option<R> {
        WORKER.with_borrow_mut(|worker| worker.as_mut().map(f))
    }

    /// The service at a connection's local address, by the newest table.
    pub(crate) fn route(&mut self, local: SocketAddr) -> Option<Arc<Route>> {
        self.renew_routes();
        self.routes.get(self.table.at(local)?).cloned()
    }

    /// The service that a request is for: the one at its connection's local address, unless it is a check that names another one.
    pub(crate) fn asked(&mut self, local: SocketAddr, head: &RequestHeader) -> Option<Arc<Route>> {
        self.renew_routes();
        self.routes.get(self.table.asked(local, head)?).cloned()
    }

    fn renew_routes(&mut self) {
        if self.table_revision != self.vitals.node.table_revision() {
            self.refresh_routes();
        }
    }

    fn refresh_routes(&mut self) {
        // The revision first: a table that comes in between is then taken again, never missed.
        self.table_revision = self.vitals.node.table_revision();
        self.table = self.vitals.node.table();
        let services = self.table.services();
        self.routes = services.iter().map(|s| Arc::new(Route { service: s.clone() })).collect();
        self.slots.retain(|slot| services.iter().any(|s| Arc::ptr_eq(&s.pool, slot.pool())));
    }

    /// Adds to a head what a server is told, and returns the request's id.
    pub(crate) fn tell(&mut self, head: &mut RequestHeader, client: HeaderValue) -> HeaderValue {
        let bits = [self.random(), self.random()];
        // There always is one: it is put back below.
        let spare = self.spare.take().unwrap_or_else(|| head.clone());
        let (id, spare) = forwarded::tell(head, client, bits, spare);
        self.spare = Some(spare);
        id
    }

    /// Chooses a server for a request of this route.
    pub(crate) fn choose(&mut self, route: &Route, ask: &Ask<'_>) -> Decision {
        let random = self.random();
        let (index, at) = (self.index, self.slot_of(route));
        match self.slots.get_mut(at) {
            Some(slot) => slot.choose(index, ask, random),
            None => Decision::default(),
        }
    }

    /// Tells the policy that chose how it went.
    pub(crate) fn feed_back(&mut self, held: &Held, server: u32, outcome: Outcome, latency: Duration) {
        let index = self.index;
        if let Some(slot) = self.slots.iter_mut().find(|s| Arc::ptr_eq(s.pool(), &held.pool)) {
            slot.feed_back(index, held, server, outcome, latency);
        }
    }

    /// Moves on to the newest table, views and instances, also where no request comes.
    pub(crate) fn nudge(&mut self) {
        self.refresh_routes();
        let now = Instant::now();
        for at in 0..self.routes.len() {
            let Some(route) = self.routes.get(at).cloned() else { break };
            let (index, at) = (self.index, self.slot_of(&route));
            if let Some(slot) = self.slots.get_mut(at) {
                slot.refresh(index, now);
            }
        }
    }

    /// From time to time: hands lines over, sets the clock.
    pub(crate) fn tick(&mut self) {
        self.anchor = (Instant::now(), SystemTime::now());
        self.flush();
    }

    fn flush(&mut self) {
        if let Some(lines) = &mut self.lines {
            lines.flush();
        }
    }

    /// Time since 1970 at that moment.
    pub(crate) fn wall(&self, at: Instant) -> Duration {
        let base = self.anchor.1.duration_since(UNIX_EPOCH).unwrap_or_default();
        match at.checked_duration_since(self.anchor.0) {
            Some(after) => base + after,
            None => base.saturating_sub(self.anchor.0.duration_since(at)),
        }
    }

    /// 64 random bits; good enough for ids and spreading, not for secrets.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }

    /// The slot of a route's pool, made where it is new. A node has few pools, so they are looked through.
    fn slot_of(&mut self, route: &Route) -> usize {
        let pool = &route.service.pool;
        if let Some(at) = self.slots.iter().position(|s| Arc::ptr_eq(s.pool(), pool)) {
            return at;
        }
        self.slots.push(Slot::new(pool));
        self.slots.len() - 1
    }
}
