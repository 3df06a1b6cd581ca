//! One thread's way from a query to an answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use weir_core::dns::answer::known::Known;
use weir_core::dns::answer::{How, Reply, Request, Responder, Transport};
use weir_core::dns::cookie::Proof;
use weir_core::dns::name::Name;
use weir_core::dns::policy::{Deciders, Origin};
use weir_core::dns::ratelimit::{Limiter, Verdict};
use weir_core::dns::wire::{self, Received};
use weir_core::time::Moment;

use crate::query_log::{Line, Lines, unix_millis};
use crate::server::{Serving, Shared};
use crate::stats::{Shown, Stats, how_word};

/// Answers the queries of one thread.
pub(crate) struct Answerer {
    shared: Arc<Shared>,
    serving: Arc<Serving>,
    deciders: Deciders,
    limiter: Arc<Limiter>,
    known: Known,
    turn: u32,
    now: Moment,
    wall: SystemTime,
    /// Of `wall`, for cookies.
    seconds: u32,
    pub(crate) stats: Stats,
    shown: Arc<Shown>,
    lines: Option<Lines>,
}

impl Answerer {
    /// For the thread with this number. `seed` is random and secret.
    pub(crate) fn new(shared: &Arc<Shared>, worker: usize, shown: Arc<Shown>, seed: u64) -> Self {
        Self {
            deciders: Deciders::new(worker, shared.table.load_full(), seed),
            limiter: shared.limiter.load_full(),
            known: Known::new(seed),
            turn: u32::try_from(seed & 0xffff_ffff).unwrap_or_default(),
            now: Moment::ZERO,
            wall: SystemTime::now(),
            seconds: 0,
            stats: Stats::default(),
            shown,
            lines: shared.log.as_ref().map(Lines::of),
            serving: shared.serving.load_full(),
            shared: Arc::clone(shared),
        }
    }

    /// A batch of queries begins: looks at the clock, and takes what is served now.
    pub(crate) fn begin(&mut self) {
        let since = Instant::now().saturating_duration_since(self.shared.origin);
        self.now = Moment::ZERO.after(since);
        self.wall = SystemTime::now();
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.seconds = u32::try_from(since & 0xffff_ffff).unwrap_or_default();
        let (serving, table) = self.shared.together(&self.serving, || {});
        if !Arc::ptr_eq(&serving, &self.serving) {
            self.limiter = self.shared.limiter.load_full();
            self.serving = Arc::clone(&serving);
            self.known.clear();
        }
        self.deciders.at(self.now, &table);
    }

    /// The batch has ended: shows what was counted.
    pub(crate) fn end(&mut self) {
        if let Some(lines) = self.lines.as_mut().filter(|lines| lines.is_long()) {
            self.stats.log_lost += lines.hand_over();
        }
        self.shown.put(&mut self.stats);
    }

    /// Nothing has come for a while.
    pub(crate) fn idle(&mut self) {
        if let Some(lines) = &mut self.lines {
            self.stats.log_lost += lines.hand_over();
        }
        // What was replaced must not be held until the next query.
        self.begin();
        self.shown.put(&mut self.stats);
    }

    /// Writes the answer into `out`; empty where there is to be none.
    pub(crate) fn answer(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) {
        let client = from.ip().to_canonical();
        self.stats.query(transport, client.is_ipv6());
        self.turn = self.turn.wrapping_add(1);
        let Serving { zones, responder, .. } = &*self.serving;
        let limit = Limit { limiter: &self.limiter, client, now: self.now };
        let request = Request { message, from: client, transport, now: self.seconds, turn: self.turn };
        // A line of the log says more of an answer than is kept of it.
        let remembers = transport.is_datagram() && self.lines.is_none();
        if remembers && let Some(said) = self.known.say(message, self.turn, out) {
            self.stats.truncated += u64::from(said.truncated);
            limit.apply(said.how, responder, &request, out, &mut self.stats);
            self.stats.answer(said.rcode, said.how);
            return;
        }
        self.deciders.take_origin();
        let Some(reply) = responder.respond(&request, zones, &mut self.deciders, out) else {
            self.stats.unanswerable += 1;
            return;
        };
        if remembers {
            self.known.learn(message, self.turn, &reply, out);
        }
        let mut cut = None;
        if reply.truncated {
            self.stats.truncated += 1;
            cut = Some("truncated");
        }
        if reply.proof == Proof::Valid {
            self.stats.cookies += 1;
        } else if transport.is_datagram() {
            cut = limit.apply(reply.how, responder, &request, out, &mut self.stats).or(cut);
        }
        self.stats.answer(reply.rcode, reply.how);
        let origin = self.deciders.take_origin();
        if let Some(Origin { by, repeated }) = origin {
            self.stats.decision(by, repeated);
        }
        if let Some(lines) = &mut self.lines {
            lines.add(&line(message, client, transport, &reply, origin, cut, out.len(), self.wall));
        }
    }
}

/// Whether a client has had enough.
struct Limit<'l> {
    limiter: &'l Limiter,
    client: IpAddr,
    now: Moment,
}

impl Limit<'_> {
    /// Cuts an answer in a datagram where this is so, and says how.
    fn apply(
        &self,
        how: How,
        responder: &Responder,
        request: &Request<'_>,
        out: &mut Vec<u8>,
        stats: &mut Stats,
    ) -> Option<&'static str> {
        match self.limiter.judge(self.client, how, self.now) {
            Verdict::Send => None,
            Verdict::Truncate => {
                responder.truncated(request, out);
                stats.slipped += 1;
                Some("slipped")
            }
            Verdict::Drop => {
                out.clear();
                stats.limited += 1;
                Some("limited")
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "a line has that many things in it")]
fn line<'r>(
    message: &[u8],
    client: IpAddr,
    transport: Transport,
    reply: &Reply<'r>,
    origin: Option<Origin>,
    cut: Option<&'static str>,
    bytes: usize,
    wall: SystemTime,
) -> Line<'r> {
    let question = match wire::read(message) {
        Received::Message(read) | Received::Malformed(read) => read.question,
        Received::Unanswerable => None,
    };
    Line {
        time_ms: unix_millis(wall),
        client,
        transport: transport.as_str(),
        name: question.and_then(|q| Name::from_wire(q.name).ok()).map(|name| name.to_string()),
        kind: question.map(|q| q.kind.to_string()),
        rcode: reply.rcode.as_str(),
        how: how_word(reply.how),
        zone: reply.zone.map(ToString::to_string),
        policy: reply.policy.map(|record| &*record.policy),
        by: origin.map(|origin| origin.by.as_str()),
        scope: reply.scope,
        bytes,
        cut,
    }
}
