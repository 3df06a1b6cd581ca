//! Counts what happens into a [`Timeline`] as it happens.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::timeline::{Attempts, Break, MOST_BREAKS, Mark, Second, TENTH, Timeline};
use super::{Outcome, Plan};

/// A time line that grows.
#[derive(Debug)]
pub(super) struct Tally {
    timeline: Timeline,
    current: Second,
    /// Attempts by tenth; results come in another order than attempts begin.
    attempts: BTreeMap<u64, Attempts>,
}

/// How things are at the end of a second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauges {
    /// As [`Second::open`].
    pub(super) open: u64,
    /// As [`Second::silent`].
    pub(super) silent: u64,
    /// As [`Second::broken_now`].
    pub(super) broken_now: u64,
}

impl Tally {
    /// Nothing happened yet.
    pub(super) fn new(plan: Plan) -> Self {
        let timeline = Timeline { plan, ..Timeline::default() };
        Self { timeline, current: Second::default(), attempts: BTreeMap::new() }
    }

    /// An attempt that began at `began_ms` became an established connection.
    pub(super) fn established(&mut self, began_ms: u64) {
        self.current.new_ok += 1;
        self.attempts.entry(began_ms / TENTH).or_default().ok += 1;
    }

    /// A server named itself.
    pub(super) fn served_by(&mut self, server: &str) {
        count(&mut self.timeline.by_server, server);
    }

    /// A status other than 200 came.
    pub(super) fn status(&mut self, status: u16) {
        *self.timeline.statuses.entry(status).or_default() += 1;
    }

    /// Bytes moved.
    pub(super) fn moved(&mut self, down: u64, up: u64) {
        self.current.bytes_down += down;
        self.current.bytes_up += up;
        self.timeline.bytes_down += down;
        self.timeline.bytes_up += up;
    }

    /// A connection to `destination` ended well.
    pub(super) fn ended_well(&mut self, destination: SocketAddr) {
        self.current.ended_ok += 1;
        self.ended(destination, Outcome::Ok);
    }

    /// An attempt that began at `began_ms` failed.
    pub(super) fn failed(&mut self, began_ms: u64, destination: SocketAddr, outcome: Outcome) {
        *self.current.new_failed.entry(outcome).or_default() += 1;
        self.attempts.entry(began_ms / TENTH).or_default().failed += 1;
        self.ended(destination, outcome);
    }

    /// An established connection broke.
    pub(super) fn broke(&mut self, how: Break) {
        *self.current.broken.entry(how.outcome).or_default() += 1;
        self.ended(how.destination, how.outcome);
        if self.timeline.breaks.len() < MOST_BREAKS {
            self.timeline.breaks.push(how);
        } else {
            self.timeline.breaks_not_kept += 1;
        }
    }

    fn ended(&mut self, destination: SocketAddr, outcome: Outcome) {
        let all = &mut self.timeline;
        *all.outcomes.entry(outcome).or_default() += 1;
        let family = Timeline::family(destination.ip());
        for (counts, key) in
            [(&mut all.by_destination, destination.to_string()), (&mut all.by_family, family.to_owned())]
        {
            *counts.entry(key).or_default().entry(outcome).or_default() += 1;
        }
    }

    /// Sets a mark.
    pub(super) fn mark(&mut self, at_ms: u64, label: String, open: u64) -> Mark {
        let mark = Mark { at_ms, label, open };
        self.timeline.marks.push(mark.clone());
        mark
    }

    /// Ends the current second and returns it.
    pub(super) fn second_over(&mut self, gauges: Gauges) -> Second {
        let next = Second { at: self.current.at + 1, ..Second::default() };
        let mut over = std::mem::replace(&mut self.current, next);
        over.open = gauges.open;
        over.silent = gauges.silent;
        over.broken_now = gauges.broken_now;
        self.timeline.seconds.push(over.clone());
        over
    }

    /// When the current second is over, milliseconds.
    pub(super) fn second_ends_ms(&self) -> u64 {
        (self.current.at + 1) * 1000
    }

    /// Connections that have ended.
    pub(super) fn ends(&self) -> u64 {
        self.timeline.outcomes.values().sum()
    }

    /// The run is over.
    pub(super) fn finished(mut self, at_ms: u64, unfinished: u64, gauges: Gauges) -> Timeline {
        self.second_over(gauges);
        self.timeline.lasted_ms = at_ms;
        self.timeline.unfinished = unfinished;
        self.timeline.attempts = self
            .attempts
            .into_iter()
            .map(|(tenth, counts)| Attempts { at_ms: tenth * TENTH, ..counts })
            .collect();
        self.timeline
    }
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counts_in_the_tenth_in_which_it_began_and_in_the_second_in_which_it_ended() {
        let mut tally = Tally::new(Plan::default());
        let destination = "192.0.2.1:80".parse().unwrap();
        tally.second_over(Gauges::default());
        tally.failed(950, destination, Outcome::ConnectTimeout);
        tally.established(1010);
        let timeline = tally.finished(1500, 0, Gauges::default());
        assert_eq!((timeline.seconds[0].failed(), timeline.seconds[1].failed()), (0, 1));
        let expected =
            [Attempts { at_ms: 900, ok: 0, failed: 1 }, Attempts { at_ms: 1000, ok: 1, failed: 0 }];
        assert_eq!(timeline.attempts, expected);
        assert_eq!(timeline.by_family["ipv4"][&Outcome::ConnectTimeout], 1);
        assert_eq!(timeline.by_destination["192.0.2.1:80"][&Outcome::ConnectTimeout], 1);
    }
}
