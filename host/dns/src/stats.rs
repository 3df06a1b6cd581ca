//! Counters of the front. Each thread has a set of its own that nobody else writes; a reader adds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_core::dns::answer::choose::By;
use weir_core::dns::answer::{How, Transport};
use weir_core::dns::wire::Rcode;

/// The response codes that are counted by name; all others are the last.
pub const RCODES: [&str; 9] =
    ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "BADVERS", "OTHER"];

/// How answers come about.
pub const HOWS: [&str; 9] =
    ["protocol", "chaos", "not-served", "data", "wildcard", "policy", "no-data", "no-name", "referral"];

/// Who decided what a policy was asked for, and in the second half the same for decisions that were repeated.
pub const DECIDERS: [&str; 5] = ["policy", "healthy", "all", "fallback-set", "no-data"];

/// Transports that have connections.
pub const CONNECTED: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];

/// All counters at one moment, of one thread or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Queries by [`Transport`], those too that get no answer.
    pub queries: [u64; 5],
    /// Of them, those over IPv6.
    pub over_v6: u64,
    /// Answers by response code: [`RCODES`].
    pub rcodes: [u64; 9],
    /// Answers by how they came about: [`HOWS`].
    pub hows: [u64; 9],
    /// Decisions of policies by who made them: [`DECIDERS`].
    pub decided: [u64; 5],
    /// Of them, those that were made earlier.
    pub repeated: u64,
    /// Answers that did not fit and send the client to TCP.
    pub truncated: u64,
    /// What is no query at all, and gets no answer.
    pub unanswerable: u64,
    /// Answers over UDP that the rate limit turned into "come back over TCP".
    pub slipped: u64,
    /// Answers over UDP that the rate limit held back.
    pub limited: u64,
    /// Queries with a valid cookie.
    pub cookies: u64,
    /// Datagrams that could not be sent.
    pub send_failed: u64,
    /// Connections accepted, by [`CONNECTED`].
    pub connections: [u64; 4],
    /// Connections open now, by [`CONNECTED`].
    pub open: [u64; 4],
    /// Connections that were closed because there were too many, by [`CONNECTED`].
    pub evicted: [u64; 4],
    /// Connections that were to be encrypted and came to nothing.
    pub handshakes_failed: u64,
    /// Lines of the query log that were lost because the disk was slow or failed.
    pub log_lost: u64,
}

const FIELDS: usize = 5 + 1 + 9 + 9 + 5 + 8 + 3 * 4 + 1;

impl Stats {
    fn fields(&mut self) -> [&mut u64; FIELDS] {
        let Self {
            queries: [q0, q1, q2, q3, q4],
            over_v6,
            rcodes: [r0, r1, r2, r3, r4, r5, r6, r7, r8],
            hows: [h0, h1, h2, h3, h4, h5, h6, h7, h8],
            decided: [d0, d1, d2, d3, d4],
            repeated,
            truncated,
            unanswerable,
            slipped,
            limited,
            cookies,
            send_failed,
            connections: [c0, c1, c2, c3],
            open: [o0, o1, o2, o3],
            evicted: [e0, e1, e2, e3],
            handshakes_failed,
            log_lost,
        } = self;
        [
            q0,
            q1,
            q2,
            q3,
            q4,
            over_v6,
            r0,
            r1,
            r2,
            r3,
            r4,
            r5,
            r6,
            r7,
            r8,
            h0,
            h1,
            h2,
            h3,
            h4,
            h5,
            h6,
            h7,
            h8,
            d0,
            d1,
            d2,
            d3,
            d4,
            repeated,
            truncated,
            unanswerable,
            slipped,
            limited,
            cookies,
            send_failed,
            c0,
            c1,
            c2,
            c3,
            o0,
            o1,
            o2,
            o3,
            e0,
            e1,
            e2,
            e3,
            handshakes_failed,
            log_lost,
        ]
    }

    /// Adds another thread's.
    pub fn add(&mut self, mut other: Self) {
        for (to, from) in self.fields().into_iter().zip(other.fields()) {
            *to = to.saturating_add(*from);
        }
    }

    pub(crate) fn query(&mut self, transport: Transport, is_v6: bool) {
        count(&mut self.queries, transport.index());
        self.over_v6 += u64::from(is_v6);
    }

    /// A connection was accepted, and another had to go for it or had not.
    pub(crate) fn opened(&mut self, transport: Transport, evicted: bool) {
        let Some(at) = connected(transport) else { return };
        count(&mut self.connections, at);
        count(&mut self.open, at);
        if evicted {
            count(&mut self.evicted, at);
        }
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, transport: Transport) {
        if let Some(open) = connected(transport).and_then(|at| self.open.get_mut(at)) {
            *open = open.saturating_sub(1);
        }
    }

    pub(crate) fn answer(&mut self, rcode: Rcode, how: How) {
        let at = match rcode.0 {
            0..=6 => usize::from(rcode.0),
            16 => 7,
            _ => 8,
        };
        count(&mut self.rcodes, at);
        count(&mut self.hows, how_index(how));
    }

    pub(crate) fn decision(&mut self, by: By, repeated: bool) {
        let at = DECIDERS.iter().position(|word| *word == by.as_str()).unwrap_or_default();
        count(&mut self.decided, at);
        self.repeated += u64::from(repeated);
    }
}

fn connected(transport: Transport) -> Option<usize> {
    CONNECTED.iter().position(|with| *with == transport)
}

fn count(counters: &mut [u64], at: usize) {
    if let Some(counter) = counters.get_mut(at) {
        *counter += 1;
    }
}

const fn how_index(how: How) -> usize {
    match how {
        How::Protocol => 0,
        How::Chaos => 1,
        How::NotServed => 2,
        How::Data => 3,
        How::Wildcard => 4,
        How::Policy => 5,
        How::NoData => 6,
        How::NoName => 7,
        How::Referral => 8,
    }
}

/// The word of [`HOWS`].
pub(crate) fn how_word(how: How) -> &'static str {
    HOWS.get(how_index(how)).copied().unwrap_or_default()
}

/// Where a thread shows its counters: it counts in a value of its own and puts it here after each batch of queries.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shown([AtomicU64; FIELDS]);

impl Shown {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self([const { AtomicU64::new(0) }; FIELDS]))
    }

    /// Only ever called by the thread that owns the counters.
    pub(crate) fn put(&self, stats: &mut Stats) {
        for (cell, value) in self.0.iter().zip(stats.fields()) {
            cell.store(*value, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Stats {
        let mut stats = Stats::default();
        for (value, cell) in stats.fields().into_iter().zip(&self.0) {
            *value = cell.load(Ordering::Relaxed);
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_counted_is_added_up() {
        let shown = [Shown::new(), Shown::new()];
        for (cells, transport) in shown.iter().zip([Transport::Udp, Transport::Quic]) {
            let mut stats = Stats::default();
            stats.opened(transport, true);
            stats.opened(transport, false);
            stats.closed(transport);
            stats.query(transport, true);
            stats.answer(Rcode::NXDOMAIN, How::NoName);
            stats.answer(Rcode::BADVERS, How::Protocol);
            stats.decision(By::FallbackSet, true);
            stats.log_lost = 3;
            cells.put(&mut stats);
        }
        let mut all = Stats::default();
        shown.iter().for_each(|cells| all.add(cells.get()));
        assert_eq!((all.queries, all.over_v6, all.repeated, all.log_lost), ([1, 0, 0, 0, 1], 2, 2, 6));
        assert_eq!((all.connections, all.open, all.evicted), ([0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 1]));
        let of =
            |words: &[&str], counts: &[u64], word| counts[words.iter().position(|w| *w == word).unwrap()];
        assert_eq!((of(&RCODES, &all.rcodes, "NXDOMAIN"), of(&RCODES, &all.rcodes, "BADVERS")), (2, 2));
        assert_eq!((of(&HOWS, &all.hows, "no-name"), of(&HOWS, &all.hows, "protocol")), (2, 2));
        assert_eq!(of(&DECIDERS, &all.decided, "fallback-set"), 2);
    }
}
