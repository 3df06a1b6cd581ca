//! One request on its way: what is known of it, and the attempt that is under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use weir_core::model::Server;
use weir_core::schedule::{By, Outcome};

use crate::access_log::Term;
use crate::shard::Vitals;
use crate::stats::Trouble;
use crate::upstream::Progress;
use crate::worker::{Held, Route, Worker};

/// A request, from its head to its line in the log. Counted as in flight until it is dropped.
pub(crate) struct Exchange {
    pub(crate) started: Instant,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) attempt: Option<Attempt>,
    /// Attempts made so far.
    pub(crate) attempts: u32,
    /// Ids and names of the servers that failed this request.
    pub(crate) tried: Vec<u32>,
    pub(crate) tried_names: Vec<Arc<str>>,
    /// Whether the last failure was an idle connection that the server had closed: no fault of the server.
    pub(crate) stale: bool,
    pub(crate) by: Option<By>,
    /// Whether the attempt's connection has served a request before.
    pub(crate) reused: bool,
    /// Of the attempt's connection.
    pub(crate) progress: Option<Arc<Progress>>,
    /// Microseconds from the start; 0 where it did not happen.
    pub(crate) connect: u32,
    pub(crate) response: u32,
    pub(crate) term: Term,
    /// Not to be logged.
    pub(crate) quiet: bool,
    /// Whether the client would rather speak something else on this connection.
    pub(crate) upgrade: bool,
    /// Whether a part of a body has come.
    pub(crate) has_body: bool,
    vitals: Arc<Vitals>,
}

impl Exchange {
    pub(crate) fn new(vitals: Arc<Vitals>) -> Self {
        vitals.counters.begun();
        Self {
            started: Instant::now(),
            route: None,
            request_id: None,
            attempt: None,
            attempts: 0,
            tried: Vec::new(),
            tried_names: Vec::new(),
            stale: false,
            by: None,
            reused: false,
            progress: None,
            connect: 0,
            response: 0,
            term: Term::Ok,
            quiet: false,
            upgrade: false,
            has_body: false,
            vitals,
        }
    }

    /// Microseconds from the start to `now`.
    pub(crate) fn micros(&self, now: Instant) -> u32 {
        micros(now.saturating_duration_since(self.started))
    }

    /// Ends the attempt as a failure of its server; returns whether another server may be tried.
    pub(crate) fn fail_attempt(&mut self, trouble: Trouble, may_retry: bool) -> bool {
        let Some(attempt) = self.attempt.take() else { return false };
        let retry = may_retry && self.may_try_again(&attempt);
        let outcome = match trouble {
            Trouble::Connect | Trouble::Broken => Outcome::ConnectionFailed,
            Trouble::ConnectTimeout | Trouble::Timeout => Outcome::TimedOut,
        };
        if let Some(counters) = attempt.held.counters.get(attempt.index as usize) {
            counters.trouble(attempt.worker, trouble, retry);
        }
        self.note_tried(&attempt);
        if !attempt.reported {
            attempt.report(outcome, attempt.started.elapsed());
        }
        retry
    }

    /// Ends the attempt because its connection had been closed while it was idle, and returns whether there may be another. Then
    /// it is no failure of the server: it is counted as a retry only, and no policy hears of it.
    pub(crate) fn retry_idle(&mut self) -> bool {
        match self.attempt.take() {
            Some(attempt) if self.may_try_again(&attempt) => {
                if let Some(counters) = attempt.held.counters.get(attempt.index as usize) {
                    counters.retried(attempt.worker);
                }
                self.note_tried(&attempt);
                true
            }
            attempt => {
                self.attempt = attempt;
                self.fail_attempt(Trouble::Broken, false)
            }
        }
    }

    fn may_try_again(&self, attempt: &Attempt) -> bool {
        self.attempts <= attempt.held.settings.retries.min(crate::settings::MAX_RETRIES)
    }

    fn note_tried(&mut self, attempt: &Attempt) {
        if let Some(server) = attempt.server() {
            self.tried.push(server.id);
            self.tried_names.push(server.name.clone());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.vitals.counters.ended();
    }
}

/// A server that was given a request. It counts as one more in flight there until this is dropped, which happens also
/// where the client goes away.
pub(crate) struct Attempt {
    pub(crate) held: Arc<Held>,
    pub(crate) index: u32,
    pub(crate) started: Instant,
    pub(crate) worker: usize,
    /// Whether the policy was told how it went.
    pub(crate) reported: bool,
}

impl Attempt {
    pub(crate) fn new(held: Arc<Held>, index: u32, worker: usize, started: Instant) -> Self {
        if let Some(server) = held.view.servers.get(index as usize) {
            server.load.begin(worker);
        }
        Self { held, index, started, worker, reported: false }
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.held.view.servers.get(self.index as usize)
    }

    /// The head of the answer came.
    pub(crate) fn answered(&mut self, status: u16, now: Instant) {
        let latency = now.saturating_duration_since(self.started);
        let micros = micros(latency);
        if let Some(server) = self.server() {
            server.load.observe_latency(self.worker, micros);
        }
        self.held.pool.counters.latency(self.worker, micros);
        let outcome = if status >= 500 { Outcome::ServerError } else { Outcome::Success };
        self.report(outcome, latency);
        self.reported = true;
    }

    fn report(&self, outcome: Outcome, latency: Duration) {
        if self.held.source.is_some() {
            Worker::with(|worker| worker.feed_back(&self.held, self.index, outcome, latency));
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(server) = self.server() {
            server.load.end(self.worker);
        }
    }
}

pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
