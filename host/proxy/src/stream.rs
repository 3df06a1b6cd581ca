//! A client's connection, as Pingora wants to see it.
//!
//! Pingora's own stream keeps 64 KiB for each connection to read into and asks the kernel for both addresses when
//! they are wanted. This one reads straight into the buffer of the parser, knows its addresses from the accept, and
//! holds back small writes so that head and body of a small answer leave in one system call.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::proxy_line::ProxyLine;
use crate::service::normal;
use crate::shard::Vitals;

/// Writes are held back while they are together no longer than this.
const HOLD: usize = 8 * 1024;
/// A buffer up to this size stays with a connection that is not writing.
const KEEP: usize = 2 * 1024;

/// A client's connection.
pub(crate) struct Downstream {
    tcp: TcpStream,
    /// What is held back; sent up to `sent`.
    held: Vec<u8>,
    sent: usize,
    client: SocketAddr,
    local: SocketAddr,
    /// The client's address as a header value.
    client_ip: HeaderValue,
    /// Made when a pool first wants it.
    line: OnceLock<Arc<ProxyLine>>,
    rest: Rest,
    vitals: Arc<Vitals>,
}

/// The time between two requests, and its limit. One timer for all of them: it is not set anew for each request,
/// it goes off when the limit could be over and looks whether it is.
struct Rest {
    timer: Pin<Box<Sleep>>,
    /// Microseconds.
    limit: AtomicU64,
    opened: Instant,
    /// Whether no request is being served.
    now: AtomicBool,
    /// Since when, in microseconds from `opened`.
    since: AtomicU64,
}

/// Ten years, in microseconds: a moment that far away can still be computed.
const FOR_EVER: u64 = 315_360_000_000_000;

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(FOR_EVER).min(FOR_EVER)
}

impl Rest {
    fn new(limit: Duration) -> Self {
        let opened = Instant::now();
        let timer = Box::pin(tokio::time::sleep(limit));
        Self {
            timer,
            limit: AtomicU64::new(whole_micros(limit)),
            opened,
            now: AtomicBool::new(true),
            since: AtomicU64::new(0),
        }
    }

    /// Ready where the limit is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.now.load(Ordering::Relaxed) {
            ready!(self.timer.as_mut().poll(cx));
            let micros =
                self.since.load(Ordering::Relaxed).saturating_add(self.limit.load(Ordering::Relaxed));
            let end = self.opened + Duration::from_micros(micros.min(FOR_EVER));
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end.into());
        }
        Poll::Pending
    }
}

impl Downstream {
    /// A connection that was accepted, and how long it may be without a request. Counted as open until it is dropped.
    pub(crate) fn new(
        tcp: TcpStream,
        client: SocketAddr,
        local: SocketAddr,
        rest: Duration,
        vitals: Arc<Vitals>,
    ) -> Self {
        let (client, local) = (normal(client), normal(local));
        // Digits, dots, colons: always a header value.
        let client_ip = HeaderValue::try_from(client.ip().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        vitals.counters.opened();
        let rest = Rest::new(rest);
        Self { tcp, held: Vec::new(), sent: 0, client, local, client_ip, line: OnceLock::new(), rest, vitals }
    }

    /// A request's head was read. `limit` is for the rest that comes after it.
    pub(crate) fn begin(&self, limit: Duration) {
        self.rest.limit.store(whole_micros(limit), Ordering::Relaxed);
        self.rest.now.store(false, Ordering::Relaxed);
    }

    /// The request is over.
    pub(crate) fn end(&self, now: Instant) {
        let since = whole_micros(now.saturating_duration_since(self.rest.opened));
        self.rest.since.store(since, Ordering::Relaxed);
        self.rest.now.store(true, Ordering::Relaxed);
    }

    /// The connection below a Pingora session.
    pub(crate) fn of(stream: Option<&Stream>) -> Option<&Self> {
        let io: &dyn IO = &**stream?;
        let any: &dyn Any = io.as_any();
        any.downcast_ref()
    }

    /// The client's address, IPv4 as such.
    pub(crate) fn client(&self) -> SocketAddr {
        self.client
    }

    /// The address that the client connected to, IPv4 as such.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The client's address without port, for `X-Forwarded-For`.
    pub(crate) fn client_ip(&self) -> &HeaderValue {
        &self.client_ip
    }

    /// What a server is told of this connection.
    pub(crate) fn proxy_line(&self) -> &Arc<ProxyLine> {
        self.line.get_or_init(|| Arc::new(ProxyLine::new(self.client, self.local)))
    }

    /// Sends what is held back, and `more` with it. Ready with how much of `more` was taken, once nothing is held.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let held = self.held.get(self.sent..).unwrap_or_default();
            let waiting = held.len();
            if waiting == 0 {
                break;
            }
            let n = if more.is_empty() {
                ready!(Pin::new(&mut self.tcp).poll_write(cx, held))?
            } else {
                let parts = [IoSlice::new(held), IoSlice::new(more)];
                ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, &parts))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if n >= waiting {
                self.forget();
                if n > waiting || more.is_empty() {
                    return Poll::Ready(Ok(n - waiting));
                }
            } else {
                self.sent += n;
            }
        }
        if more.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(&mut self.tcp).poll_write(cx, more) }
    }

    fn forget(&mut self) {
        self.sent = 0;
        self.held.clear();
        if self.held.capacity() > KEEP {
            self.held = Vec::new();
        }
    }
}

impl Drop for Downstream {
    fn drop(&mut self) {
        self.vitals.counters.closed();
    }
}

impl fmt::Debug for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.client, self.local)
    }
}

impl AsyncRead for Downstream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.tcp).poll_read(cx, buf);
        if read.is_pending() && !this.held.is_empty() {
            // Nobody has more to do for this connection now, so a slow answer must not wait in our buffer for its
            // next part. What the socket does not take goes with the next write.
            if let Poll::Ready(Err(e)) = this.poll_send(cx, &[]) {
                return Poll::Ready(Err(e));
            }
        }
        if read.is_pending() && this.rest.poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.len() + buf.len() <= HOLD {
            this.held.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        this.poll_send(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx, &[]))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx, &[]))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Downstream {
    async fn shutdown(&mut self) {
        // The client may be gone; there is nobody left to tell.
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Downstream {
    fn id(&self) -> UniqueIDType {
        self.tcp.as_raw_fd()
    }
}

impl Ssl for Downstream {}

impl GetTimingDigest for Downstream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Downstream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Downstream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[async_trait]
impl Peek for Downstream {}
