//! One connection with HTTP/2: a query each in as many streams as the client likes, up to a limit (RFC 8484).
//!
//! Of hickory there are the body, read with its limit, and the response. Its reading of requests answers none by GET, and ends with an
//! error and no status where something is wrong.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use hickory_server::net::NetError;
use hickory_server::net::http::{Version, fetch_body, response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use weir_core::dns::https::{self, Head, MAX_MESSAGE, Message, Refusal};
use weir_core::dns::wire::lowest_ttl;

use crate::thread::{Guard, MESSAGE, Thread, WAITING};

/// Streams at a time: what RFC 9113 §6.5.2 wants at least.
const STREAMS: u32 = 100;

/// The longest head of a request, bytes. A query in a URL is short, or it comes by POST.
const HEAD: u32 = 8 * 1024;

/// What may come of one body before it is taken, and of all of a connection, bytes. hickory makes no more room while it reads a body, so
/// one that is too long must fit to be seen.
const BODY: u32 = 65536;
const BODIES: u32 = 4 * BODY;

/// What waits in one stream until the client takes it, bytes: with [`WAITING`] and [`STREAMS`] a connection has no more than a megabyte.
const SENDING: usize = 4 * 1024;

/// Serves until the client closes, is idle for too long, or breaks the protocol.
pub(super) async fn serve(stream: TlsStream<TcpStream>, peer: SocketAddr, guard: &Guard, path: &Arc<str>) {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD)
        .initial_window_size(BODY)
        .initial_connection_window_size(BODIES)
        .max_send_buffer_size(SENDING);
    let greeting = timeout(guard.thread.limits.handshake, builder.handshake(stream)).await;
    let Ok(Ok(mut connection)) = greeting else {
        guard.thread.handshake_failed();
        return;
    };
    let exchange = Rc::new(Exchange {
        peer,
        number: guard.number,
        thread: Rc::clone(&guard.thread),
        path: Arc::clone(path),
        waiting: Semaphore::new(WAITING),
    });
    // They end with the connection.
    let mut requests = JoinSet::new();
    while let Ok(Some(accepted)) = timeout(guard.thread.limits.idle, connection.accept()).await {
        let Ok((request, respond)) = accepted else { return };
        while requests.try_join_next().is_some() {}
        requests.spawn_local(Rc::clone(&exchange).respond(request, respond));
    }
    end(&mut connection).await;
}

/// Tells the client that no request is taken any more, and waits for what is under way.
async fn end(connection: &mut Connection<TlsStream<TcpStream>, Bytes>) {
    connection.graceful_shutdown();
    let _ = timeout(MESSAGE, poll_fn(|context| connection.poll_closed(context))).await;
}

/// What the requests of a connection share.
struct Exchange {
    peer: SocketAddr,
    number: u64,
    thread: Rc<Thread>,
    path: Arc<str>,
    waiting: Semaphore,
}

impl Exchange {
    async fn respond(self: Rc<Self>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        // A stream that the client has reset no longer counts among those it may have, so nothing of it may be kept waiting here: who
        // asks and resets again and again would have any number.
        let Some((_permit, answer)) = until_reset(&mut respond, self.attend(request)).await else { return };
        let (response, body) = match answer {
            Ok(answer) => (answered(&answer), Bytes::from(answer)),
            Err(refusal) => (refused(refusal), Bytes::from_static(refusal.as_str().as_bytes())),
        };
        let Some(response) = response else { return };
        match timeout(MESSAGE, send(&mut respond, response, body)).await {
            Ok(_) => {}
            Err(_) => respond.send_reset(Reason::CANCEL),
        }
    }

    /// Reads the query and answers it when it is its turn; `None` where that never comes.
    async fn attend(
        &self,
        request: Request<RecvStream>,
    ) -> Option<(SemaphorePermit<'_>, Result<Vec<u8>, Refusal>)> {
        let message = self.message(request).await;
        // Who asks and takes nothing is answered no further.
        let permit = self.waiting.acquire().await.ok()?;
        Some((permit, message.and_then(|message| self.answer(&message))))
    }

    async fn message(&self, request: Request<RecvStream>) -> Result<Vec<u8>, Refusal> {
        let (parts, body) = request.into_parts();
        let head = Head {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            media_type: parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes),
        };
        match https::message(&head, &self.path)? {
            Message::Inline(message) => Ok(message),
            Message::Body => {
                let length =
                    parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
                if length.is_some_and(|length: u64| length > MAX_MESSAGE as u64) {
                    return Err(Refusal::TooLarge);
                }
                match timeout(MESSAGE, fetch_body(body, None)).await {
                    Ok(Ok(body)) => Ok(body.into()),
                    Ok(Err(NetError::RequestTooLarge)) => Err(Refusal::TooLarge),
                    // The stream has failed, and the refusal goes nowhere.
                    Ok(Err(_)) => Err(Refusal::NoMessage),
                    Err(_) => Err(Refusal::TooSlow),
                }
            }
        }
    }

    fn answer(&self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut answer = Vec::new();
        self.thread.answer(message, self.peer, &mut answer);
        self.thread.answered(self.number);
        if answer.is_empty() { Err(Refusal::NoMessage) } else { Ok(answer) }
    }
}

/// What comes of this; `None` where the client gives up the stream first.
async fn until_reset<T>(
    respond: &mut SendResponse<Bytes>,
    work: impl Future<Output = Option<T>>,
) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match respond.poll_reset(context) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(context),
    })
    .await
}

/// The head of a response with this answer. It may be kept for as long as its records (RFC 8484 §5.1), and not at all without any.
fn answered(answer: &[u8]) -> Option<Response<()>> {
    let mut response = response(Version::Http2, answer.len()).ok()?;
    let age = format!("max-age={}", lowest_ttl(answer).unwrap_or_default());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::try_from(age).ok()?);
    Some(response)
}

fn refused(refusal: Refusal) -> Option<Response<()>> {
    let response = Response::builder().status(refusal.status()).header(CONTENT_TYPE, "text/plain");
    let response = if refusal == Refusal::Method { response.header(ALLOW, "GET, POST") } else { response };
    response.body(()).ok()
}

/// Sends as the client takes it, so that no more than [`SENDING`] waits below.
async fn send(
    respond: &mut SendResponse<Bytes>,
    response: Response<()>,
    mut body: Bytes,
) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(response, body.is_empty())?;
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(capacity) = poll_fn(|context| stream.poll_capacity(context)).await else { return Ok(()) };
        let part = body.split_to(capacity?.min(body.len()));
        stream.send_data(part, body.is_empty())?;
    }
    Ok(())
}
