//! How long a client's connection may stay as it is.
//!
//! One timer for the whole connection. It is not set anew for each request: it goes off when a limit could be over, and looks
//! whether one is. It is looked at when there is nothing to read, which a served request does not wait for.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::settings::ClientTimeouts;

/// What the connection is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// No byte of the next request has come.
    Waiting,
    /// Some of a request has come, but nobody has been asked to serve it.
    Head,
    /// A request is served, and no limit of this timer is on it.
    Serving,
    /// The whole request was sent to a server, and no answer has come.
    Answer,
    /// An answer has begun.
    Parts,
    /// The server took longer than it may.
    Overdue,
    /// The client took nothing for longer than it may.
    Stuck,
    /// The request is over; what is left of it is being read.
    Settling,
}

/// Ten years, in microseconds: a moment that far away can still be computed.
const FOR_EVER: u64 = 315_360_000_000_000;

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(FOR_EVER).min(FOR_EVER)
}

/// The phase, and its limit. Moments and limits are in microseconds, moments from `opened`.
pub(super) struct Limit {
    timer: Pin<Box<Sleep>>,
    opened: Instant,
    phase: AtomicU8,
    /// Since when the phase lasts; for a head, since when there is no request.
    since: AtomicU64,
    /// When the first part of a head had come.
    heard: u64,
    /// Whether a part has come or gone that was not given its moment. A clock is asked when somebody waits, so not for what is
    /// there at once.
    stirred: bool,
    /// Whether the request that is served has come whole, so that what comes now is the next one's.
    whole: AtomicBool,
    rest: AtomicU64,
    head: AtomicU64,
    server: AtomicU64,
    write: AtomicU64,
}

impl Limit {
    pub(super) fn new(client: &ClientTimeouts) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(client.keep_alive)),
            opened: Instant::now(),
            phase: AtomicU8::new(Phase::Waiting as u8),
            since: AtomicU64::new(0),
            heard: 0,
            stirred: false,
            whole: AtomicBool::new(false),
            rest: AtomicU64::new(whole_micros(client.keep_alive)),
            head: AtomicU64::new(whole_micros(client.read)),
            server: AtomicU64::new(FOR_EVER),
            write: AtomicU64::new(whole_micros(client.write)),
        }
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn since(&self, now: Instant) {
        self.since.store(self.micros(now), Ordering::Relaxed);
    }

    fn micros(&self, now: Instant) -> u64 {
        whole_micros(now.saturating_duration_since(self.opened))
    }

    /// A head was read. The limits are for the next one.
    pub(super) fn begin(&self, client: &ClientTimeouts) {
        self.rest.store(whole_micros(client.keep_alive), Ordering::Relaxed);
        self.head.store(whole_micros(client.read), Ordering::Relaxed);
        self.write.store(whole_micros(client.write), Ordering::Relaxed);
        self.whole.store(false, Ordering::Relaxed);
        self.enter(Phase::Serving);
    }

    /// A server has the whole request.
    pub(super) fn sent(&self, now: Instant, response: Duration) {
        if self.is(Phase::Serving) || self.is(Phase::Answer) {
            self.since(now);
            self.server.store(whole_micros(response), Ordering::Relaxed);
            self.whole.store(true, Ordering::Relaxed);
            self.enter(Phase::Answer);
        }
    }

    /// An answer has begun.
    pub(super) fn answered(&self, now: Instant, read: Duration) {
        self.since(now);
        self.server.store(whole_micros(read), Ordering::Relaxed);
        self.enter(Phase::Parts);
    }

    /// What comes and goes now is not requests.
    pub(super) fn tunnel(&self) {
        self.whole.store(false, Ordering::Relaxed);
        self.enter(Phase::Serving);
    }

    /// Whether what the client sends now has to wait.
    pub(super) fn holds_back(&self) -> bool {
        self.whole.load(Ordering::Relaxed) && (self.is(Phase::Answer) || self.is(Phase::Parts))
    }

    /// How long the client may take nothing.
    pub(super) fn write(&self) -> Duration {
        Duration::from_micros(self.write.load(Ordering::Relaxed))
    }

    /// It took nothing for that long.
    pub(super) fn stuck(&self) {
        self.enter(Phase::Stuck);
    }

    /// The request is over.
    pub(super) fn end(&self, now: Instant) {
        self.since(now);
        self.enter(Phase::Settling);
    }

    /// Nothing more of that request will be read.
    pub(super) fn settled(&self) {
        self.enter(Phase::Waiting);
    }

    /// Bytes have come from the client or gone to it.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
        if self.is(Phase::Waiting) {
            self.enter(Phase::Head);
        }
    }

    /// Ready where a limit is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(end) = self.end_of_phase() {
            if end < self.timer.deadline().into() {
                self.timer.as_mut().reset(end.into());
            }
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= end {
                if self.is(Phase::Answer) || self.is(Phase::Parts) {
                    self.enter(Phase::Overdue);
                }
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end.into());
        }
        Poll::Pending
    }

    fn end_of_phase(&mut self) -> Option<Instant> {
        let load = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let micros = if self.is(Phase::Waiting) || self.is(Phase::Settling) {
            load(&self.since).saturating_add(load(&self.rest))
        } else if self.is(Phase::Head) {
            if std::mem::take(&mut self.stirred) && self.heard < load(&self.since).max(1) {
                self.heard = self.micros(Instant::now()).max(1);
            }
            let rest = load(&self.since).saturating_add(load(&self.rest));
            rest.min(self.heard.saturating_add(load(&self.head)))
        } else if self.is(Phase::Answer) {
            load(&self.since).saturating_add(load(&self.server))
        } else if self.is(Phase::Parts) {
            if std::mem::take(&mut self.stirred) {
                self.since(Instant::now());
            }
            load(&self.since).saturating_add(load(&self.server))
        } else {
            return None;
        };
        Some(self.opened + Duration::from_micros(micros.min(FOR_EVER)))
    }
}
