//! The loop for TCP and what is above it (RFC 7766, 7858, 8484): connections are kept and reused, queries may be sent without waiting
//! for answers, and nobody can hold what others need.
//!
//! hickory's server has such loops too. They have no limit of connections, try again at once when no descriptor is left, and give
//! answers to a codec of their own, so only pieces below them are used: see the decision on encrypted transports in the book.

mod https;
mod messages;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::thread::{Guard, Thread};
use crate::tls;

/// How long accepting pauses when the process or the machine has no descriptor left. Trying again at once would be a loop that
/// takes a whole core and gets nothing.
const WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(100);

/// What is encrypted and not yet taken by the kernel, bytes: a client must take as much within [`crate::thread::MESSAGE`].
const ENCRYPTED: usize = 16 * 1024;

/// What is spoken on a connection.
#[derive(Clone)]
pub(crate) enum Speech {
    /// Messages with their length before them.
    Messages,
    /// The same over TLS.
    Tls(TlsAcceptor),
    /// HTTP/2 over TLS, with this path.
    Https(TlsAcceptor, Arc<str>),
}

impl Speech {
    pub(crate) fn tls(config: ServerConfig) -> Self {
        Self::Tls(TlsAcceptor::from(Arc::new(config)))
    }

    pub(crate) fn https(config: ServerConfig, path: Arc<str>) -> Self {
        Self::Https(TlsAcceptor::from(Arc::new(config)), path)
    }
}

/// Runs until it is told to stop.
pub(crate) async fn run(listeners: Vec<StdListener>, thread: Rc<Thread>, speech: Speech, stop: &Notify) {
    let local = LocalSet::new();
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => drop(local.spawn_local(accept(listener, Rc::clone(&thread), speech.clone()))),
            Err(error) => {
                tracing::error!(%error, transport = thread.transport.as_str(), "queries are not answered");
            }
        }
    }
    local.run_until(thread.until(stop)).await;
    drop(local);
    thread.end();
}

async fn accept(listener: TcpListener, thread: Rc<Thread>, speech: Speech) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::debug!(%error, transport = thread.transport.as_str(), "accepting");
                // Somebody who asks nothing can be done without.
                thread.evict();
                tokio::time::sleep(WITHOUT_DESCRIPTORS).await;
                continue;
            }
        };
        let guard = thread.enter();
        let number = guard.number;
        let task = tasks.spawn_local(serve(stream, peer, guard, speech.clone()));
        thread.began(number, task);
    }
}

/// Serves until the client closes, is idle for too long, or sends what is not spoken here.
async fn serve(stream: TcpStream, peer: SocketAddr, guard: Guard, speech: Speech) {
    // An answer is written as a whole, so there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    match speech {
        Speech::Messages => messages::serve(stream, peer, &guard).await,
        Speech::Tls(acceptor) => {
            if let Some(stream) = encrypted(stream, &acceptor, &guard).await {
                messages::serve(stream, peer, &guard).await;
            }
        }
        Speech::Https(acceptor, path) => {
            let Some(stream) = encrypted(stream, &acceptor, &guard).await else { return };
            // HTTP/1.1 is not spoken, which is what a client without ALPN would expect.
            if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
                https::serve(stream, peer, &guard, &path).await;
            }
        }
    }
}

async fn encrypted(stream: TcpStream, acceptor: &TlsAcceptor, guard: &Guard) -> Option<TlsStream<TcpStream>> {
    let limit = guard.thread.limits.handshake;
    let accepted = timeout(limit, acceptor.accept(stream)).await;
    let Ok(Ok(mut stream)) = accepted else {
        guard.thread.handshake_failed();
        return None;
    };
    stream.get_mut().1.set_buffer_limit(Some(ENCRYPTED));
    Some(stream)
}

/// The client went away before it was accepted; the next one may be there already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
