//! Connections to servers.
//!
//! Pingora would keep them too: with a task, a timer and five allocations for each connection that waits, all of it undone when the
//! connection is taken again a moment later. A shard is one thread, so here a connection that waits is an entry in a list.

mod idle;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_error::{Error, ErrorType, OrErr};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy_line::ProxyLine;
use crate::settings::PoolSettings;
use idle::{Idle, Key};

/// How long a connection is kept that only one client connection can use.
const OF_ONE_CLIENT: Duration = Duration::from_secs(1);

thread_local! {
    /// The connections of the current thread's shard that wait for a request.
    static WAITING: RefCell<Option<Idle<Resting>>> = const { RefCell::new(None) };
}

/// A connection on which nothing is under way: its server has answered all that it was asked.
///
/// Closed by us, it is closed with a reset. Whoever closes first in an orderly way keeps the port for a minute (TIME_WAIT), and where
/// each client has connections of its own, a node soon has no ports left for a server. Nobody misses the order: all that was said on
/// it was heard. HAProxy does the same. A connection that its server has closed costs no port, and ends as usual.
struct Resting(Option<TcpStream>);

impl Resting {
    fn is_silent(&self) -> bool {
        self.0.as_ref().is_some_and(is_silent)
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        if let Some(tcp) = self.0.take()
            && is_silent(&tcp)
        {
            // Without it the end is an orderly one.
            let _ = tcp.set_zero_linger();
        }
    }
}

/// Lets the current thread keep this many connections.
pub(crate) fn install(limit: usize) {
    WAITING.set(Some(Idle::new(limit)));
}

/// Closes what waits, and keeps no more.
pub(crate) fn remove() {
    WAITING.set(None);
}

/// Closes what has waited for too long, and what servers have closed.
pub(crate) fn sweep(now: Instant) {
    WAITING.with_borrow_mut(|waiting| {
        if let Some(idle) = waiting {
            idle.sweep(now, Resting::is_silent);
        }
    });
}

/// Whether a server has neither closed the connection nor said something that nobody asked for. No system call where nothing came.
fn is_silent(tcp: &TcpStream) -> bool {
    matches!(tcp.try_read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}

/// The way to a server, for one attempt: a connection that was used before, or how a new one is made.
#[derive(Debug)]
pub(crate) struct Way {
    key: Key,
    /// The first bytes of a new connection.
    line: Option<Arc<ProxyLine>>,
    connect: Duration,
    idle: Duration,
    kept: Mutex<Option<TcpStream>>,
    progress: Arc<Progress>,
}

/// How far the exchange on a connection is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    answered: AtomicBool,
}

impl Progress {
    /// The head of the answer was read.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

impl Way {
    /// To this server. A connection that begins with a line is for the client that it names only.
    pub(crate) fn new(server: SocketAddr, line: Option<Arc<ProxyLine>>, settings: &PoolSettings) -> Self {
        let (connect, idle) = (settings.timeouts.connect, settings.timeouts.idle);
        let idle = if line.is_some() { idle.min(OF_ONE_CLIENT) } else { idle };
        let key = Key { server, client: line.as_ref().map_or(0, |line| line.group()) };
        Self { key, line, connect, idle, kept: Mutex::new(None), progress: Arc::default() }
    }

    /// Takes a connection that was used before; returns whether there is one.
    pub(crate) fn take_kept(&mut self, now: Instant) -> bool {
        let taken =
            WAITING.with_borrow_mut(|waiting| waiting.as_mut()?.take(&self.key, now, Resting::is_silent));
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        *kept = taken.and_then(|mut resting| resting.0.take());
        kept.is_some()
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    async fn dial(&self) -> pingora_error::Result<TcpStream> {
        let set_up = async {
            let mut tcp = l4::ext::connect(&self.key.server, None).await?;
            tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "while setting TCP_NODELAY")?;
            if let Some(line) = &self.line {
                tcp.write_all(line.as_bytes())
                    .await
                    .or_err(ErrorType::ConnectError, "while writing the PROXY line")?;
            }
            Ok(tcp)
        };
        match tokio::time::timeout(self.connect, set_up).await {
            Ok(tcp) => tcp,
            Err(_) => Error::e_explain(ErrorType::ConnectTimedout, "while connecting to a server"),
        }
    }
}

#[async_trait]
impl Connect for Way {
    async fn connect(&self, _: &l4::socket::SocketAddr) -> pingora_error::Result<l4::stream::Stream> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tcp = match kept {
            Some(tcp) => tcp,
            // In a box, since it is rare and large.
            None => Box::pin(self.dial()).await?,
        };
        let upstream = Upstream {
            tcp: Some(tcp),
            key: self.key,
            idle: self.idle,
            progress: self.progress.clone(),
            keep: false,
        };
        Ok(VirtualSocketStream::new(Box::new(upstream)).into())
    }
}

/// A connection to a server, as Pingora wants to see it. Where it may be used again, it waits when this is dropped.
struct Upstream {
    /// There until this is dropped.
    tcp: Option<TcpStream>,
    key: Key,
    idle: Duration,
    progress: Arc<Progress>,
    keep: bool,
}

impl Upstream {
    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.tcp.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let Some(tcp) = self.tcp.take().filter(|_| self.keep) else { return };
        let now = Instant::now();
        // The thread may be past its end.
        let _ = WAITING.try_with(|waiting| {
            if let Some(idle) = &mut *waiting.borrow_mut() {
                idle.put(self.key, Resting(Some(tcp)), now, self.idle);
            }
        });
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-> {}", self.key.server)
    }
}

impl AsyncRead for Upstream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // What an answer consists of is read into kilobytes. A single byte is how Pingora asks, at the end of an exchange that went as it
        // should (`test_reusable_stream` in `release_stream`), whether the connection can be kept. It is told that it was closed, and
        // lets go of it; what came before an answer's head is not that question, whatever the buffer.
        if buf.remaining() == 1 && this.progress.answered.load(Ordering::Relaxed) {
            this.keep = this.tcp.as_ref().is_some_and(is_silent);
            return Poll::Ready(Ok(()));
        }
        this.tcp()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Upstream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().tcp()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().tcp()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.tcp()?.poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

impl VirtualSocket for Upstream {
    /// What Pingora sets on every connection was set when it was made.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}
