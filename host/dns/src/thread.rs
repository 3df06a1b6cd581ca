//! What the connections of one thread share: its answerer, their count, their limits.
//!
//! A thread has one event loop and one task for each connection. The number of connections is bounded; where one more comes, the
//! one that has been idle for longest makes room, so that whoever opens many and asks nothing loses them first.

mod connections;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use weir_core::dns::answer::Transport;

use crate::answerer::Answerer;
use connections::Connections;

/// How long a message may take from its first byte to its last, and an answer until the client has taken some of it.
pub(crate) const MESSAGE: Duration = Duration::from_secs(5);

/// Answers of one connection that wait at a time until the client takes them, where they need no order: each has at most 64 KiB.
pub(crate) const WAITING: usize = 4;

/// How often counters are shown and the query log is handed over while nothing happens.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// At a time.
    pub(crate) connections: usize,
    /// How long one without a query is kept.
    pub(crate) idle: Duration,
    /// How long one may take until it is encrypted.
    pub(crate) handshake: Duration,
}

/// What all connections of a thread share.
pub(crate) struct Thread {
    pub(crate) transport: Transport,
    pub(crate) limits: Limits,
    answerer: RefCell<Answerer>,
    connections: RefCell<Connections>,
}

impl Thread {
    pub(crate) fn new(transport: Transport, answerer: Answerer, limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            transport,
            limits,
            answerer: RefCell::new(answerer),
            connections: RefCell::new(Connections::new(limits.connections)),
        })
    }

    /// One more connection; another goes for it where there are too many. It is open until the guard is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> Guard {
        let (number, evicted) = self.connections.borrow_mut().enter();
        let stats = &mut self.answerer.borrow_mut().stats;
        stats.opened(self.transport, evicted);
        Guard { number, thread: Rc::clone(self) }
    }

    /// This task serves the connection.
    pub(crate) fn began(&self, number: u64, task: AbortHandle) {
        self.connections.borrow_mut().began(number, task);
    }

    /// Closes the connection that has been idle for longest.
    pub(crate) fn evict(&self) {
        self.connections.borrow_mut().evict();
    }

    /// Whether half of the connections that there may be are open.
    pub(crate) fn is_busy(&self) -> bool {
        self.connections.borrow().is_half_full()
    }

    /// Writes the answer to a message into `out`; empty where there is none: such a client is no resolver.
    pub(crate) fn answer(&self, message: &[u8], peer: SocketAddr, out: &mut Vec<u8>) {
        let mut answerer = self.answerer.borrow_mut();
        answerer.begin();
        answerer.answer(message, peer, self.transport, out);
    }

    /// What the connection has asked by now is answered.
    pub(crate) fn answered(&self, number: u64) {
        self.answerer.borrow_mut().end();
        self.connections.borrow_mut().touch(number);
    }

    /// A client that wanted an encrypted connection did not get one.
    pub(crate) fn handshake_failed(&self) {
        self.answerer.borrow_mut().stats.handshakes_failed += 1;
    }

    /// Shows counters until the thread is told to stop.
    pub(crate) async fn until(&self, stop: &Notify) {
        loop {
            tokio::select! {
                () = stop.notified() => break,
                () = tokio::time::sleep(LOOK_UP) => self.answerer.borrow_mut().idle(),
            }
        }
    }

    /// Shows what was counted last.
    pub(crate) fn end(&self) {
        self.answerer.borrow_mut().idle();
    }
}

/// Takes a connection out of the count however it ends.
pub(crate) struct Guard {
    pub(crate) number: u64,
    pub(crate) thread: Rc<Thread>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.thread.connections.borrow_mut().leave(self.number);
        self.thread.answerer.borrow_mut().stats.closed(self.thread.transport);
    }
}
