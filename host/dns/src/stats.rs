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

/// All counters at one moment, of one thread or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Queries over UDP and over TCP, those too that get no answer.
    pub queries: [u64; 2],
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
    /// TCP connections accepted.
    pub connections: u64,
    /// TCP connections open now.
    pub open: u64,
    /// TCP connections that were closed because there were too many.
    pub evicted: u64,
    /// Lines of the query log that were lost because the disk was slow or failed.
    pub log_lost: u64,
}

const FIELDS: usize = 2 + 1 + 9 + 9 + 5 + 11;

impl Stats {
    fn fields(&mut self) -> [&mut u64; FIELDS] {
        let Self {
            queries: [q0, q1],
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
            connections,
            open,
            evicted,
            log_lost,
        } = self;
        [
            q0,
            q1,
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
            connections,
            open,
            evicted,
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
        let [udp, tcp] = &mut self.queries;
        *if transport == Transport::Udp { udp } else { tcp } += 1;
        self.over_v6 += u64::from(is_v6);
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
        for (cells, transport) in shown.iter().zip([Transport::Udp, Transport::Stream]) {
            let mut stats = Stats::default();
            stats.query(transport, true);
            stats.answer(Rcode::NXDOMAIN, How::NoName);
            stats.answer(Rcode::BADVERS, How::Protocol);
            stats.decision(By::FallbackSet, true);
            stats.log_lost = 3;
            cells.put(&mut stats);
        }
        let mut all = Stats::default();
        shown.iter().for_each(|cells| all.add(cells.get()));
        assert_eq!((all.queries, all.over_v6, all.repeated, all.log_lost), ([1, 1], 2, 2, 6));
        let of =
            |words: &[&str], counts: &[u64], word| counts[words.iter().position(|w| *w == word).unwrap()];
        assert_eq!((of(&RCODES, &all.rcodes, "NXDOMAIN"), of(&RCODES, &all.rcodes, "BADVERS")), (2, 2));
        assert_eq!((of(&HOWS, &all.hows, "no-name"), of(&HOWS, &all.hows, "protocol")), (2, 2));
        assert_eq!(of(&DECIDERS, &all.decided, "fallback-set"), 2);
    }
}
