//! The steps of a request, as Pingora calls them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use weir_core::schedule::By;

use crate::access_log::{Entry, Term};
use crate::answer;
use crate::exchange::{Attempt, Exchange};
use crate::forwarded;
use crate::shard::Vitals;
use crate::stats::Trouble;
use crate::stream::Downstream;
use crate::upstream::Way;
use crate::worker::{Ask, Decision, Worker};

/// How much later Pingora's own limit is over than ours, where it is there for what ours cannot see.
const SPARE: Duration = Duration::from_secs(1);

/// How soon it is known that a connection which was used before had been closed meanwhile: a way to the server and back, and its
/// kernel answers.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The requests of one shard.
pub(crate) struct Gateway {
    worker: usize,
    vitals: Arc<Vitals>,
}

impl Gateway {
    pub(crate) fn new(worker: usize, vitals: Arc<Vitals>) -> Self {
        Self { worker, vitals }
    }

    /// Why this request, whose head has this many bytes, is not served at all, as the status to answer; and whether it asks for an upgrade.
    fn refusal(&self, session: &Session, length: usize, upgrade: &mut bool) -> Option<u16> {
        if length > self.vitals.node.max_head {
            return Some(431);
        }
        let head = session.req_header();
        let raw = || session.downstream_session.as_http1().map(|h1| h1.get_headers_raw_bytes());
        // One pass for all: most requests have few headers, and most of what is looked for is not there.
        let (mut lengths, mut encodings, mut has_host, mut faulty, mut unknown) = (0, 0, false, false, false);
        for (name, value) in &head.headers {
            if *name == HOST {
                has_host = true;
            } else if *name == CONTENT_LENGTH {
                lengths += 1;
                faulty |= !value.as_bytes().iter().all(u8::is_ascii_digit);
            } else if *name == TRANSFER_ENCODING {
                encodings += 1;
                unknown |= !value.as_bytes().eq_ignore_ascii_case(b"chunked");
            } else if *name == UPGRADE {
                *upgrade = true;
            }
        }
        // Whoever reads a list of lengths, or an encoding that we do not know, otherwise than we do finds two requests in one.
        if lengths > 1 || faulty {
            return Some(400);
        }
        if encodings > 0 {
            // Pingora lets Transfer-Encoding win and removes Content-Length. Somebody before us may have thought otherwise.
            if raw().is_some_and(|raw| names_content_length(&raw)) {
                return Some(400);
            }
            if encodings > 1 || unknown {
                return Some(501);
            }
        }
        (head.version == Version::HTTP_11 && !has_host).then_some(400)
    }

    fn choose(&self, session: &Session, ctx: &Exchange, now: Instant) -> Option<Decision> {
        let head = session.req_header();
        let route = ctx.route.as_ref()?;
        let ask = Ask {
            headers: &head.headers,
            path: head.raw_path(),
            client: Downstream::of(session.downstream_session.stream())?.client().ip(),
            tried: &ctx.tried,
            attempt: ctx.attempts,
            now,
        };
        Worker::with(|worker| worker.choose(route, &ask))
    }

    fn record(&self, session: &Session, ctx: &Exchange, status: u16, now: Instant) {
        let Some(downstream) = Downstream::of(session.downstream_session.stream()) else { return };
        let head = session.req_header();
        let attempt = ctx.attempt.as_ref();
        let server = match attempt.and_then(Attempt::server) {
            Some(server) => &*server.name,
            None => ctx.tried_names.last().map_or("", |name| name),
        };
        let service = ctx.route.as_ref().map(|r| &r.service);
        let total = ctx.micros(now);
        Worker::with(|worker| {
            let at = worker.wall(ctx.started);
            let Some(lines) = &mut worker.lines else { return };
            lines.record(&Entry {
                at,
                request_id: ctx.request_id.as_ref().map_or(b"", HeaderValue::as_bytes),
                service: service.map_or("", |s| &s.name),
                client: downstream.client_ip().as_bytes(),
                client_port: downstream.client().port(),
                method: head.method.as_str(),
                host: head.headers.get(HOST).map_or(b"", HeaderValue::as_bytes),
                path: head.raw_path(),
                status,
                bytes: session.body_bytes_sent() as u64,
                pool: service.map_or("", |s| s.pool.name()),
                server,
                tried: &ctx.tried_names,
                retries: ctx.attempts.saturating_sub(1),
                by: ctx.by.map_or("", By::as_str),
                connect: ctx.connect,
                response: ctx.response,
                total,
                reused: ctx.reused,
                term: ctx.term,
            });
        });
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.vitals.clone())
    }

    /// None: the default one looks at every request for a compression that is off.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Exchange) -> Result<bool> {
        let local = Downstream::of(session.downstream_session.stream()).map(Downstream::local);
        let head = session.req_header();
        ctx.route = local.and_then(|local| Worker::with(|worker| worker.asked(local, head)).flatten());
        let Some(route) = &ctx.route else {
            ctx.term = Term::NoService;
            return Error::err(ErrorType::HTTPStatus(421));
        };
        let client = &route.service.client;
        session.set_read_timeout(Some(client.read));
        let head = session.downstream_session.as_http1().map(|h1| h1.get_headers_raw_bytes().len());
        let head = head.unwrap_or_default();
        if let Some(downstream) = Downstream::of(session.downstream_session.stream()) {
            downstream.begin(head, client);
        }
        if let Some(status) = self.refusal(session, head, &mut ctx.upgrade) {
            ctx.term = Term::BadRequest;
            return Error::err(ErrorType::HTTPStatus(status));
        }
        let service = &route.service;
        if service.healthcheck.as_ref().is_some_and(|path| session.req_header().raw_path() == path.as_bytes())
        {
            ctx.quiet = true;
            let ready = self.vitals.node.is_welcoming() && service.pool.view().usable() > 0;
            let answer = if ready { &answer::READY } else { &answer::NOT_READY };
            answer.send(session.as_downstream_mut(), true).await?;
            return Ok(true);
        }
        if let Some(client) =
            Downstream::of(session.downstream_session.stream()).map(Downstream::client_ip).cloned()
        {
            let head = session.downstream_session.req_header_mut();
            ctx.request_id = Worker::with(|worker| worker.tell(head, client));
        }
        Ok(false)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Exchange) -> Result<Box<HttpPeer>> {
        let now = if ctx.attempts == 0 { ctx.started } else { Instant::now() };
        let mut fresh = false;
        let mut decision = self.choose(session, ctx, now).unwrap_or_default();
        if decision.by == Some(By::Exhausted) && ctx.stale {
            // The last failure was a connection that the server had closed while it was idle. Where there is no
            // other server, this one is asked again, over a new connection.
            ctx.tried.pop();
            fresh = true;
            decision = self.choose(session, ctx, now).unwrap_or_default();
        }
        ctx.stale = false;
        ctx.by = decision.by.or(ctx.by);
        let (Some(index), Some(held)) = (decision.server, decision.held) else {
            if ctx.attempts == 0 {
                ctx.term = if decision.by == Some(By::Refused) { Term::Refused } else { Term::NoServer };
            }
            // A server that had the request and broke off is what this is about, not that there is no other.
            let status = if ctx.term == Term::ServerError { 502 } else { 503 };
            return Error::err(ErrorType::HTTPStatus(status));
        };
        ctx.attempts += 1;
        let attempt = Attempt::new(held, index, self.worker, now);
        // A choice is one of the view's servers, see `Chooser`.
        let Some(server) = attempt.server() else { return Error::err(ErrorType::HTTPStatus(503)) };
        let (address, settings) = (server.address, &attempt.held.settings);
        let line = Downstream::of(session.downstream_session.stream())
            .filter(|_| settings.send_proxy)
            .map(|downstream| downstream.proxy_line().clone());
        let mut way = Way::new(address, line, settings);
        // A connection that was used before may be closed by its server just now. What may be sent twice is then sent again; what may
        // not goes over one only where its client did as much, and used a connection again itself (HAProxy's `http-reuse safe`).
        let may_share = session.req_header().method.is_idempotent()
            || Downstream::of(session.downstream_session.stream()).is_some_and(Downstream::has_served);
        // Where the last failure was a connection that had been closed, another of the same age is no better.
        ctx.reused = !fresh && may_share && way.take_kept(now);
        let mut peer = Box::new(attempt.held.peer.clone());
        peer._address = pingora_core::protocols::l4::socket::SocketAddr::Inet(address);
        let longest = settings.timeouts.response.max(settings.timeouts.read);
        if !session.as_mut().is_body_empty() {
            // Where a server takes no more of a body, Pingora waits for an answer and reads nothing more of the client, and it is
            // by reads that our own limits are kept. As long as they are kept, one of them is over before this one.
            let client = ctx.route.as_ref().map_or(longest, |route| route.service.client.read);
            peer.options.read_timeout = Some(longest.max(client) + SPARE);
        } else if ctx.upgrade {
            // What may become a tunnel is not answered in parts, which is what our own limits are for.
            peer.options.read_timeout = Some(longest);
        }
        ctx.progress = Some(way.progress().clone());
        peer.options.custom_l4 = Some(Arc::new(way));
        ctx.attempt = Some(attempt);
        Ok(peer)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Exchange,
    ) -> Result<()> {
        // Pingora speaks HTTP/1.1 with servers, where a request without Host is none.
        if session.req_header().version == Version::HTTP_10
            && !request.headers.contains_key(HOST)
            && let Some(server) = ctx.attempt.as_ref().and_then(Attempt::server)
        {
            request.insert_header(HOST, server.address.to_string())?;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        ctx: &mut Exchange,
    ) -> Result<()> {
        ctx.has_body |= body.is_some();
        if is_last
            && let Some(attempt) = &ctx.attempt
            && let Some(downstream) = Downstream::of(session.downstream_session.stream())
        {
            // Nothing took time where there was no connection to set up and no body to pass on.
            let at_once = ctx.reused && !ctx.has_body;
            let now = if at_once { attempt.started } else { Instant::now() };
            downstream.sent(now, attempt.held.settings.timeouts.response);
        }
        Ok(())
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        _: Option<&Digest>,
        ctx: &mut Exchange,
    ) -> Result<()> {
        if !ctx.reused {
            ctx.connect = ctx.micros(Instant::now());
            if let Some(attempt) = &ctx.attempt
                && let Some(counters) = attempt.held.counters.get(attempt.index as usize)
            {
                counters.connected(self.worker);
            }
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Exchange,
        mut e: Box<Error>,
    ) -> Box<Error> {
        let timed_out = *e.etype() == ErrorType::ConnectTimedout;
        let trouble = if timed_out { Trouble::ConnectTimeout } else { Trouble::Connect };
        ctx.term = Term::ConnectFailed;
        // Nothing of the request was sent, so any request may be tried elsewhere.
        let retry = ctx.fail_attempt(trouble, true);
        e.set_retry(retry);
        e
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut e: Box<Error>,
        ctx: &mut Exchange,
        _: bool,
    ) -> Box<Error> {
        // Pingora would send a request again only where its connection was used before. One that may be sent twice may be so
        // whatever its connection was.
        e.retry.decide_reuse(true);
        let overdue = Downstream::of(session.downstream_session.stream()).is_some_and(Downstream::is_overdue);
        if overdue {
            // The timer is the client connection's, the fault the server's.
            e.as_up();
        }
        if *e.esource() != ErrorSource::Upstream {
            e.set_retry(false);
            return e;
        }
        let timed_out = overdue || matches!(e.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
        let trouble = if timed_out { Trouble::Timeout } else { Trouble::Broken };
        ctx.term = if timed_out { Term::ServerTimeout } else { Term::ServerError };
        // Pingora says so of a connection that turned out closed when it was read, not when it was written.
        let has_closed = e.retry() || *e.etype() == ErrorType::WriteError;
        let may_retry = has_closed
            && !timed_out
            && session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated()
            && session.response_written().is_none();
        // What a server closed because nothing had come is found closed at once. Later, it had the request.
        let at_once = ctx.attempt.as_ref().is_some_and(|attempt| attempt.started.elapsed() < AT_ONCE);
        let retry = if may_retry && ctx.reused && at_once {
            ctx.stale = ctx.retry_idle();
            ctx.stale
        } else {
            ctx.fail_attempt(trouble, may_retry)
        };
        e.set_retry(retry);
        e
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Exchange,
    ) -> Result<()> {
        if head.status.is_informational() && head.status.as_u16() != 101 {
            return Ok(());
        }
        if head.status.as_u16() != 101 {
            forwarded::keep_to_ourselves(head);
        }
        // The drain may have begun after Pingora looked, which it does when the request comes.
        if self.vitals.node.draining.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
        if let Some(progress) = &ctx.progress {
            progress.answered();
        }
        let now = Instant::now();
        ctx.response = ctx.micros(now);
        if let Some(attempt) = &mut ctx.attempt {
            attempt.answered(head.status.as_u16(), now);
        }
        if let Some(attempt) = &ctx.attempt
            && let Some(downstream) = Downstream::of(session.downstream_session.stream())
        {
            match head.status.as_u16() {
                101 => downstream.tunnel(),
                _ => downstream.answered(now, attempt.held.settings.timeouts.read),
            }
        }
        ctx.term = Term::Ok;
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        _: &mut Exchange,
    ) -> Result<()> {
        // Chunks came with HTTP/1.1 (RFC 9112, 6.1). For an older client the end of the connection is the end of the body.
        if session.req_header().version < Version::HTTP_11
            && !head.status.is_informational()
            && head.remove_header(&TRANSFER_ENCODING).is_some()
        {
            // Of what was in chunks, a length says nothing.
            head.remove_header(&CONTENT_LENGTH);
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, ctx: &mut Exchange) -> FailToProxy {
        let stuck = Downstream::of(session.downstream_session.stream()).is_some_and(Downstream::is_stuck);
        let (status, term) = if stuck { (0, Term::ClientTimeout) } else { answer::verdict(e, ctx.term) };
        ctx.term = term;
        // What is written after a 101 is the tunnel's: a client would take it for bytes of the server.
        let may_answer = session.response_written().is_none_or(|r| r.status.is_informational());
        if status > 0 && may_answer && !session.was_upgraded() {
            // Pingora ends the connection after any failure, so the answer says so. A client that has gone meanwhile
            // needs no answer.
            let _ = answer::error(status).send(session.as_downstream_mut(), false).await;
            self.vitals.counters.answered();
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, e: Option<&Error>, ctx: &mut Exchange) {
        let now = Instant::now();
        if let Some(downstream) = Downstream::of(session.downstream_session.stream()) {
            downstream.end(now);
        }
        if ctx.quiet {
            self.vitals.counters.answered();
            return;
        }
        let status = session.response_written().map_or(0, |r| r.status.as_u16());
        if let Some(attempt) = &ctx.attempt
            && attempt.reported
            && let Some(counters) = attempt.held.counters.get(attempt.index as usize)
        {
            counters.answer(self.worker, status, session.body_bytes_sent() as u64);
        }
        if e.is_some()
            && matches!(ctx.term, Term::ClientAbort)
            && let Some(route) = &ctx.route
        {
            route.service.pool.counters.client_aborted(self.worker);
        }
        self.record(session, ctx, status, now);
    }

    /// The access log says it, in a form that machines read.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Exchange, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}

/// Whether a raw head has a line `Content-Length`.
fn names_content_length(raw: &[u8]) -> bool {
    raw.split(|b| *b == b'\n')
        .skip(1)
        .filter_map(|line| line.split(|b| *b == b':').next())
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"content-length"))
}
