//! From a listener to connections, and a connection's requests one after the other.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use pingora_core::apps::{HttpPersistentSettings, HttpServerApp};
use pingora_core::protocols::http::ServerSession;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::rest::Rest;
use super::{App, Phase, Vitals};
use crate::stream::Downstream;
use crate::worker::Worker;

/// Pause after the process ran out of descriptors or the kernel of memory: both end when connections do.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(20);

/// One listener of one shard.
pub(super) struct Accept {
    pub(super) listener: TcpListener,
    pub(super) app: Arc<App>,
    pub(super) vitals: Arc<Vitals>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) closing: watch::Receiver<bool>,
}

impl Accept {
    /// Accepts until the phase says no more; then takes what is queued already, and closes.
    pub(super) async fn run(self) {
        let mut phase = self.phase.clone();
        self.vitals.node.accepting.fetch_add(1, Ordering::Relaxed);
        loop {
            tokio::select! {
                biased;
                accepted = self.listener.accept() => self.accepted(accepted).await,
                () = async { drop(phase.wait_for(|p| *p >= Phase::Closed).await) } => break,
            }
        }
        // What the kernel has queued would be reset with the listener.
        while let Poll::Ready(accepted) = poll_fn(|cx| Poll::Ready(self.listener.poll_accept(cx))).await {
            self.accepted(accepted).await;
        }
        self.vitals.node.accepting.fetch_sub(1, Ordering::Relaxed);
    }

    async fn accepted(&self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        self.vitals.counters.accepted();
        match accepted {
            Ok((tcp, client)) => self.open(tcp, client),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted; is the limit of open files too low?");
                tokio::time::sleep(OUT_OF_RESOURCES).await;
            }
        }
    }

    fn open(&self, tcp: TcpStream, client: SocketAddr) {
        // Either fails where the client has gone already.
        let (Ok(local), Ok(())) = (tcp.local_addr(), tcp.set_nodelay(true)) else { return };
        // Not ours: the listener is on every address, the service is not.
        let Some(route) = Worker::with(|w| w.route(local)).flatten() else {
            self.vitals.counters.misdirected();
            return;
        };
        let stream = Downstream::new(tcp, client, local, &route.service.client, self.vitals.clone());
        tokio::spawn(serve(self.app.clone(), stream, self.closing.clone()));
    }
}

/// Errors that say something of the connection that was to be accepted, and nothing of the listener.
fn is_about_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves a connection: Pingora hands it back after each request for as long as it can be used again.
async fn serve(app: Arc<App>, stream: Downstream, closing: watch::Receiver<bool>) {
    let (mut stream, mut settings) = (Box::new(stream), None::<HttpPersistentSettings>);
    let mut rest = Rest::default();
    loop {
        if !stream.may_be_ahead() && !poll_fn(|cx| rest.poll(&mut stream, cx)).await {
            return;
        }
        let mut session = ServerSession::new_http1(stream);
        match settings {
            Some(settings) => settings.apply_to_session(&mut session),
            None => {
                // For ever, as far as Pingora is concerned, which would set a timer for each request: the stream has one for all.
                session.set_keepalive(Some(0));
                // Or a client that sends its next request early would have its first one aborted.
                session.set_pipelining_enabled(true);
            }
        }
        let Some(reused) = app.process_new_http(session, &closing).await else { return };
        let (reused, its_settings) = reused.consume();
        // It is what was given.
        let Ok(downstream) = reused.into_any().downcast() else { return };
        (stream, settings) = (downstream, its_settings);
        stream.settled();
    }
}
