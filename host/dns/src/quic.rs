//! The loop for QUIC (RFC 9250): a query each in as many streams as the client likes, up to a limit.
//!
//! hickory has such a server. It waits for one handshake before it takes the next connection, so that a client that is silent for five
//! seconds keeps all others out, and its limits cannot be set; so quinn, which is below it, is used directly. Of hickory there are
//! the error codes.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hickory_server::net::quic::DoqErrorCode;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ReadError, ReadToEndError, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;
use weir_core::dns::quic::{MAX_STREAM, Violation, query};

use crate::thread::{Guard, MESSAGE, Thread, WAITING};

/// Streams at a time, each with one query.
const STREAMS: u32 = 100;

/// What may come of all streams of a connection before it is taken, and what may be sent before the client says that it has it, bytes.
const WINDOW: u32 = 4 * 65535;

/// Connections that wait to be looked at, and what they may have sent by then, bytes. A first flight is some 1200 bytes.
const INCOMING: usize = 1024;
const FLIGHT: u64 = 16 * 1024;
const FLIGHTS: u64 = 4 << 20;

/// How long clients may take to hear that the server stops.
const FAREWELL: Duration = Duration::from_millis(200);

/// What connections are like. `None` where the handshake is one that QUIC cannot have.
pub(crate) fn config(tls: rustls::ServerConfig, idle: Duration) -> Option<ServerConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .stream_receive_window(u32::try_from(MAX_STREAM).ok()?.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into())
        .max_idle_timeout(Some(idle.try_into().ok()?));
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).ok()?));
    config.transport_config(Arc::new(transport));
    config.max_incoming(INCOMING).incoming_buffer_size(FLIGHT).incoming_buffer_size_total(FLIGHTS);
    Some(config)
}

/// Runs until it is told to stop.
pub(crate) async fn run(sockets: Vec<UdpSocket>, thread: Rc<Thread>, config: ServerConfig, stop: &Notify) {
    let local = LocalSet::new();
    let mut endpoints = Vec::new();
    for socket in sockets {
        let runtime = Arc::new(TokioRuntime);
        match Endpoint::new(EndpointConfig::default(), Some(config.clone()), socket, runtime) {
            Ok(endpoint) => {
                endpoints.push(endpoint.clone());
                drop(local.spawn_local(accept(endpoint, Rc::clone(&thread))));
            }
            Err(error) => tracing::error!(%error, "queries over QUIC are not answered"),
        }
    }
    local.run_until(thread.until(stop)).await;
    for endpoint in &endpoints {
        endpoint.close(DoqErrorCode::NoError.into(), b"");
    }
    drop(local);
    for endpoint in &endpoints {
        let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
    }
    thread.end();
}

async fn accept(endpoint: Endpoint, thread: Rc<Thread>) {
    let mut tasks = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while tasks.try_join_next().is_some() {}
        if thread.is_busy() && incoming.may_retry() {
            // Whoever writes another's address on a datagram must not push out those who ask (RFC 9000 §8.1.2).
            let _ = incoming.retry();
            continue;
        }
        let guard = thread.enter();
        let number = guard.number;
        let task = tasks.spawn_local(serve(incoming, guard));
        thread.began(number, task);
    }
}

/// Closes a connection with a reason, also where its task is ended from outside.
struct Open {
    connection: Connection,
    reason: DoqErrorCode,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connection.close(self.reason.into(), b"");
    }
}

/// Serves until the client closes, is idle for too long, or breaks the protocol.
async fn serve(incoming: Incoming, guard: Guard) {
    let limits = guard.thread.limits;
    let Ok(Ok(connection)) = timeout(limits.handshake, incoming).await else {
        guard.thread.handshake_failed();
        return;
    };
    // Until it ends otherwise, it makes room for another.
    let mut open = Open { connection, reason: DoqErrorCode::ExcessiveLoad };
    let waiting = Rc::new(Semaphore::new(WAITING));
    // They end with the connection.
    let mut streams: JoinSet<Result<(), Violation>> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = timeout(limits.idle, open.connection.accept_bi()) => {
                let Ok(Ok((send, receive))) = accepted else {
                    open.reason = DoqErrorCode::NoError;
                    return;
                };
                let exchange = Exchange {
                    peer: open.connection.remote_address(),
                    number: guard.number,
                    thread: Rc::clone(&guard.thread),
                    waiting: Rc::clone(&waiting),
                };
                streams.spawn_local(exchange.respond(send, receive));
            }
            Some(ended) = streams.join_next() => {
                if let Ok(Err(violation)) = ended {
                    tracing::debug!(peer = %open.connection.remote_address(), %violation, "DNS over QUIC");
                    open.reason = DoqErrorCode::ProtocolError;
                    return;
                }
            }
        }
    }
}

/// One stream.
struct Exchange {
    peer: SocketAddr,
    number: u64,
    thread: Rc<Thread>,
    waiting: Rc<Semaphore>,
}

impl Exchange {
    /// Answers what comes, once the client has ended its side.
    async fn respond(self, mut send: SendStream, mut receive: RecvStream) -> Result<(), Violation> {
        let stream = match timeout(MESSAGE, receive.read_to_end(MAX_STREAM)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(ReadToEndError::TooLong)) => return Err(Violation::Length),
            Ok(Err(ReadToEndError::Read(ReadError::Reset(_)))) => {
                let _ = send.reset(DoqErrorCode::RequestCancelled.into());
                return Ok(());
            }
            Ok(Err(ReadToEndError::Read(_))) => return Ok(()),
            // The end of the client's side is part of the protocol (§4.2), and a packet that is lost comes again sooner.
            Err(_) => return Err(Violation::Length),
        };
        let query = query(&stream)?;
        // Who asks and takes nothing is answered no further.
        let Ok(_permit) = self.waiting.acquire().await else { return Ok(()) };
        let mut answer = Vec::new();
        self.thread.answer(query, self.peer, &mut answer);
        self.thread.answered(self.number);
        let length = u16::try_from(answer.len()).map_err(|_| Violation::NoQuery)?;
        let mut parts = [Bytes::copy_from_slice(&length.to_be_bytes()), Bytes::from(answer)];
        match timeout(MESSAGE, send.write_all_chunks(&mut parts)).await {
            Ok(Ok(())) => drop(send.finish()),
            // The client is gone, or wants no answer any more.
            Ok(Err(_)) => {}
            Err(_) => drop(send.reset(DoqErrorCode::ExcessiveLoad.into())),
        }
        Ok(())
    }
}
