//! The TCP loop (RFC 7766): connections are kept and reused, queries may be sent without waiting for answers, and
//! nobody can hold what others need.
//!
//! One thread, one event loop, one task for each connection. The number of connections is bounded; where one more comes, the
//! one that has been idle for longest makes room, so that whoever opens many and asks nothing loses them first.

mod connection;
mod connections;

use std::cell::RefCell;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

use crate::answerer::Answerer;
use connections::Connections;

/// How long accepting pauses when the process or the machine has no descriptor left. Trying again at once would be a loop that
/// takes a whole core and gets nothing.
const WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(100);

/// How often counters are shown and the query log is handed over while nothing happens.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// At a time.
    pub(crate) connections: usize,
    /// How long one without a query is kept.
    pub(crate) idle: Duration,
}

/// What all connections of the thread share.
pub(crate) struct Thread {
    pub(crate) answerer: RefCell<Answerer>,
    pub(crate) connections: RefCell<Connections>,
    pub(crate) idle: Duration,
}

/// Runs until it is told to stop.
pub(crate) async fn run(listeners: Vec<StdListener>, answerer: Answerer, options: Options, stop: &Notify) {
    let thread = Rc::new(Thread {
        answerer: RefCell::new(answerer),
        connections: RefCell::new(Connections::new(options.connections)),
        idle: options.idle,
    });
    let local = LocalSet::new();
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => drop(local.spawn_local(accept(listener, Rc::clone(&thread)))),
            Err(error) => tracing::error!(%error, "queries over TCP are not answered"),
        }
    }
    local
        .run_until(async {
            loop {
                tokio::select! {
                    () = stop.notified() => break,
                    () = tokio::time::sleep(LOOK_UP) => thread.answerer.borrow_mut().idle(),
                }
            }
        })
        .await;
    thread.answerer.borrow_mut().idle();
}

async fn accept(listener: TcpListener, thread: Rc<Thread>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::debug!(%error, "accepting queries over TCP");
                // Somebody who asks nothing can be done without.
                thread.connections.borrow_mut().evict();
                tokio::time::sleep(WITHOUT_DESCRIPTORS).await;
                continue;
            }
        };
        let (number, evicted) = thread.connections.borrow_mut().enter();
        {
            let stats = &mut thread.answerer.borrow_mut().stats;
            stats.connections += 1;
            stats.open += 1;
            stats.evicted += u64::from(evicted);
        }
        let of = Rc::clone(&thread);
        let task = tasks.spawn_local(async move {
            let guard = Guard { number, thread: of };
            connection::serve(stream, peer, number, &guard.thread).await;
        });
        thread.connections.borrow_mut().began(number, task);
    }
}

/// Takes a connection out of the count however it ends.
struct Guard {
    number: u64,
    thread: Rc<Thread>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.thread.connections.borrow_mut().leave(self.number);
        let stats = &mut self.thread.answerer.borrow_mut().stats;
        stats.open = stats.open.saturating_sub(1);
    }
}

/// The client went away before it was accepted; the next one may be there already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
