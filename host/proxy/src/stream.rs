//! A client's connection, as Pingora wants to see it.
//!
//! Pingora's own stream keeps 64 KiB for each connection to read into and asks the kernel for both addresses when
//! they are wanted. This one reads straight into the buffer of the parser, knows its addresses from the accept, and
//! holds back small writes so that head and body of a small answer leave in one system call.

mod limit;

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
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

use crate::answer;
use crate::proxy_line::ProxyLine;
use crate::service::normal;
use crate::settings::ClientTimeouts;
use crate::shard::Vitals;
use limit::{Limit, Phase};

/// Writes are held back while they are together no longer than this.
const HOLD: usize = 8 * 1024;
/// A buffer up to this size stays with a connection that is not writing.
const KEEP: usize = 2 * 1024;
/// Reads of a head that is refused, at most.
const LEFT_UNREAD: usize = 64;
/// No request is that long.
const UNKNOWN: usize = usize::MAX;

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
    limit: Limit,
    /// What came of the next request while this one is served. It is held back until then: whoever reads it would not read again,
    /// and it is by reads that the limits of a served request are kept.
    early: Vec<u8>,
    /// Bytes that Pingora was given of this request, and perhaps of what follows it.
    given: usize,
    /// How many of them were the request, where that is known.
    wanted: AtomicUsize,
    /// Whether Pingora may have more than the last request was.
    ahead: bool,
    /// Whether a request is over.
    has_served: bool,
    /// Set while the client takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
    vitals: Arc<Vitals>,
}

impl Downstream {
    /// A connection that was accepted, and how long it is waited for. Counted as open until it is dropped.
    pub(crate) fn new(
        tcp: TcpStream,
        client: SocketAddr,
        local: SocketAddr,
        timeouts: &ClientTimeouts,
        vitals: Arc<Vitals>,
    ) -> Self {
        let (client, local) = (normal(client), normal(local));
        // Digits, dots, colons: always a header value.
        let client_ip = HeaderValue::try_from(client.ip().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        vitals.counters.opened();
        let limit = Limit::new(timeouts);
        Self {
            tcp,
            held: Vec::new(),
            sent: 0,
            client,
            local,
            client_ip,
            line: OnceLock::new(),
            limit,
            early: Vec::new(),
            given: 0,
            wanted: AtomicUsize::new(UNKNOWN),
            ahead: false,
            has_served: false,
            stuck: None,
            vitals,
        }
    }

    /// A request's head of this many bytes was read. `timeouts` are for the next one.
    pub(crate) fn begin(&self, head: usize, timeouts: &ClientTimeouts) {
        self.wanted.store(head, Ordering::Relaxed);
        self.limit.begin(timeouts);
    }

    /// Whether the client took nothing of an answer for longer than it may.
    pub(crate) fn is_stuck(&self) -> bool {
        self.limit.is(Phase::Stuck)
    }

    /// A server has the whole request, and may take this long until its answer begins.
    pub(crate) fn sent(&self, now: Instant, response: Duration) {
        self.limit.sent(now, response);
    }

    /// The head of an answer came. Its parts may be this far from each other.
    pub(crate) fn answered(&self, now: Instant, read: Duration) {
        self.limit.answered(now, read);
    }

    /// The connection is no longer one of requests. What limits there are on it are Pingora's.
    pub(crate) fn tunnel(&self) {
        self.limit.tunnel();
    }

    /// Whether what looks like an error of the client is a server that took too long.
    pub(crate) fn is_overdue(&self) -> bool {
        self.limit.is(Phase::Overdue)
    }

    /// The request is over.
    pub(crate) fn end(&self, now: Instant) {
        self.limit.end(now);
    }

    /// What comes from now on is another request.
    pub(crate) fn settled(&mut self) {
        // A body is not counted, so after a request with one this is not known.
        self.ahead = std::mem::take(&mut self.given) != std::mem::replace(self.wanted.get_mut(), UNKNOWN);
        self.has_served = true;
        self.limit.settled();
    }

    /// Whether this request is not the connection's first.
    pub(crate) fn has_served(&self) -> bool {
        self.has_served
    }

    /// Whether some of the next request may have been read already, so that it must not be waited for.
    pub(crate) fn may_be_ahead(&self) -> bool {
        self.ahead
    }

    /// Ready where there is something to read, or where nothing came for as long as may be.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let ready = self.tcp.poll_read_ready(cx);
        if ready.is_pending() { self.poll_idle(cx) } else { ready }
    }

    /// What is to be done while there is nothing to read; an error ends the connection.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            // Nobody has more to do for this connection now, so a slow answer must not wait in our buffer for its
            // next part. What the socket does not take goes with the next write.
            if let Poll::Ready(Err(e)) = self.poll_send(cx, &[]) {
                return Poll::Ready(Err(e));
            }
        }
        self.limit.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
            self.stuck = None;
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

    /// [`Self::poll_send`], and an error once the client has taken nothing for as long as it may.
    fn poll_send_in_time(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(sent) = self.poll_send(cx, more) {
            self.stuck = None;
            return Poll::Ready(sent);
        }
        let write = self.limit.write();
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(write)));
        ready!(stuck.as_mut().poll(cx));
        self.limit.stuck();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads while a request is served that has come whole. The connection's end is passed on, what comes before it is kept; not
    /// more than one read of it, so that a client cannot make us keep what it likes.
    fn poll_early(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        if came.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.early.extend_from_slice(came);
        buf.set_filled(before);
        Poll::Pending
    }

    /// Gives the reader what was held back.
    fn give_early(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.early.len().min(buf.remaining());
        buf.put_slice(self.early.get(..n).unwrap_or_default());
        if n == self.early.len() {
            self.early = Vec::new();
        } else {
            self.early.drain(..n);
        }
    }

    /// Answers a head that is too large before it has ended: Pingora would read a megabyte of it, and parse all of that anew at each
    /// read. An error, which makes Pingora close the connection; what is held is sent then.
    fn refuse_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> io::Error {
        let before = buf.filled().len();
        // What is left unread when the connection is closed resets it, and the answer may never be seen.
        for _ in 0..LEFT_UNREAD {
            let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
            let came = buf.filled().len() - before;
            buf.set_filled(before);
            if !matches!(read, Poll::Ready(Ok(()))) || came == 0 {
                break;
            }
        }
        self.held.extend_from_slice(answer::HEAD_TOO_LARGE.as_bytes());
        io::Error::new(io::ErrorKind::InvalidData, "the head of a request is too large")
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
        if self.limit.is(Phase::Head) {
            // Pingora has refused it, or it never came to its end.
            self.vitals.counters.malformed();
        }
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
        // All of it is this head: if that had ended, nobody would read on.
        if this.limit.is(Phase::Head) && this.given > this.vitals.node.max_head {
            return Poll::Ready(Err(this.refuse_head(cx, buf)));
        }
        let before = buf.filled().len();
        let read = if this.limit.holds_back() {
            this.poll_early(cx, buf)
        } else if !this.early.is_empty() {
            this.give_early(buf);
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut this.tcp).poll_read(cx, buf)
        };
        let came = buf.filled().len() - before;
        this.given += came;
        if came > 0 && this.limit.is(Phase::Waiting) {
            this.limit.stir();
        }
        if read.is_pending() { this.poll_idle(cx) } else { read }
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.limit.stir();
        if this.held.len() + buf.len() <= HOLD {
            this.held.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        this.poll_send_in_time(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_in_time(cx, &[]))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_in_time(cx, &[]))?;
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
