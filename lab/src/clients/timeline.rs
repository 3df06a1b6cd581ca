//! What happened to the clients, second by second: the record of a run. Times are milliseconds since it began.
//!
//! Two kinds of failure are kept apart. A connection that was *established* (connected, and for a download the head of
//! its answer read) can *break*; an attempt that never got there *failed*. The first is what users of long downloads
//! notice, the second is what everybody notices.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Outcome, Plan};

/// Breaks that are kept one by one; more are only counted.
pub(super) const MOST_BREAKS: usize = 20_000;
/// Attempts are summed over this long, milliseconds.
pub(super) const TENTH: u64 = 100;

/// Counts by outcome.
pub(crate) type Counts = BTreeMap<Outcome, u64>;

/// The record of a run of clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// What was to be done.
    pub(crate) plan: Plan,
    /// How long it took.
    pub(crate) lasted_ms: u64,
    /// Every second that began, in order.
    pub(crate) seconds: Vec<Second>,
    /// Labels that came on standard input.
    pub(crate) marks: Vec<Mark>,
    /// Established connections that broke, in order.
    pub(crate) breaks: Vec<Break>,
    /// Breaks beyond those that are kept.
    pub(crate) breaks_not_kept: u64,
    /// Attempts at new connections, by the tenth of a second in which they *began*; probes among them.
    pub(crate) attempts: Vec<Attempts>,
    /// How connections and probes ended, all together.
    pub(crate) outcomes: Counts,
    /// The same by destination.
    pub(crate) by_destination: BTreeMap<String, Counts>,
    /// The same by `ipv4` and `ipv6`.
    pub(crate) by_family: BTreeMap<String, Counts>,
    /// Established downloads by the server that names itself in the answer.
    pub(crate) by_server: BTreeMap<String, u64>,
    /// Statuses other than 200, of whatever sent them.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Connections that were still going well at the end.
    pub(crate) unfinished: u64,
    /// Bytes that came and were right.
    pub(crate) bytes_down: u64,
    /// Bytes that were sent.
    pub(crate) bytes_up: u64,
}

/// One second of a run. Gauges are as at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Second {
    /// Its number, from 0.
    pub(crate) at: u64,
    /// Established connections, without probes.
    pub(crate) open: u64,
    /// Of these, such on which the client has waited for more than two seconds.
    pub(crate) silent: u64,
    /// Places whose last connection failed and whose next is not established yet.
    pub(crate) broken_now: u64,
    /// Connections established, probes among them.
    pub(crate) new_ok: u64,
    /// Connections that failed before they were established, probes among them.
    #[serde(skip_serializing_if = "Counts::is_empty", default)]
    pub(crate) new_failed: Counts,
    /// Established connections that broke.
    #[serde(skip_serializing_if = "Counts::is_empty", default)]
    pub(crate) broken: Counts,
    /// Connections that ended well.
    pub(crate) ended_ok: u64,
    /// Bytes that came.
    pub(crate) bytes_down: u64,
    /// Bytes that went.
    pub(crate) bytes_up: u64,
}

impl Second {
    /// Attempts that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.new_failed.values().sum()
    }

    /// Connections that broke.
    pub(crate) fn broke(&self) -> u64 {
        self.broken.values().sum()
    }
}

/// A label at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// When it came.
    pub(crate) at_ms: u64,
    /// What it says.
    pub(crate) label: String,
    /// Established connections at that moment, without probes.
    pub(crate) open: u64,
}

/// An established connection that broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Break {
    /// When it was seen.
    pub(crate) at_ms: u64,
    /// When a byte last moved: for a stall, about when the way broke.
    pub(crate) last_ms: u64,
    /// When the attempt began.
    pub(crate) began_ms: u64,
    /// How.
    pub(crate) outcome: Outcome,
    /// From where; the port is in the packets of a capture.
    pub(crate) source: SocketAddr,
    /// To where.
    pub(crate) destination: SocketAddr,
    /// Bytes of the body that had moved.
    pub(crate) bytes: u64,
    /// Whether it uploaded.
    pub(crate) upload: bool,
}

/// Attempts that began in one tenth of a second and whose result is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// Where the tenth begins.
    pub(crate) at_ms: u64,
    /// Became established.
    pub(crate) ok: u64,
    /// Did not.
    pub(crate) failed: u64,
}

/// What a step did to the clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Damage {
    /// Established connections when the step began.
    pub(crate) open: u64,
    /// Connections that had begun before the step and broke after it, by kind.
    pub(crate) broken: Counts,
    /// Connections that began after the step and broke all the same, by kind.
    pub(crate) broken_later: Counts,
    /// New connections that failed.
    pub(crate) new_failed: u64,
    /// New connections that were established.
    pub(crate) new_ok: u64,
    /// Seconds from the step until new connections failed no more, to a tenth; 0 where none failed; `None` where they
    /// had not stopped failing at the end.
    pub(crate) seconds_to_new: Option<f64>,
}

impl Damage {
    /// Connections that broke, whenever they began.
    pub(crate) fn broke(&self) -> u64 {
        self.broken.values().chain(self.broken_later.values()).sum()
    }
}

impl Timeline {
    /// The first mark with this label.
    pub(crate) fn mark(&self, label: &str) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.label == label)
    }

    /// What happened from one mark to the other, or to the end of the run. `None` where there is no such mark.
    ///
    /// A stall shows only `stall_ms` after its cause: leave that long, and a little, between the marks.
    pub(crate) fn damage(&self, from: &str, until: Option<&str>) -> Option<Damage> {
        let from = self.mark(from)?;
        let until = match until {
            Some(label) => self.mark(label)?.at_ms,
            None => self.lasted_ms,
        };
        Some(self.damage_between(from.at_ms, until, from.open))
    }

    fn damage_between(&self, from: u64, until: u64, open: u64) -> Damage {
        let mut damage = Damage { open, ..Damage::default() };
        for each in self.breaks.iter().filter(|each| (from..=until).contains(&each.at_ms)) {
            let counts = if each.began_ms <= from { &mut damage.broken } else { &mut damage.broken_later };
            *counts.entry(each.outcome).or_default() += 1;
        }
        // An attempt that hung when the step began has failed because of it, so the tenth of the step counts.
        let first = from / TENTH * TENTH;
        let attempts = || self.attempts.iter().filter(move |each| (first..=until).contains(&each.at_ms));
        damage.new_ok = attempts().map(|each| each.ok).sum();
        damage.new_failed = attempts().map(|each| each.failed).sum();
        let last_failed = attempts().filter(|each| each.failed > 0).map(|each| each.at_ms).max();
        let last_ok = attempts().filter(|each| each.ok > 0).map(|each| each.at_ms).max();
        damage.seconds_to_new = match (last_failed, last_ok) {
            (None, _) => Some(0.0),
            (Some(failed), Some(ok)) if ok > failed => {
                Some((failed + TENTH).saturating_sub(from) as f64 / 1000.0)
            }
            (Some(_), _) => None,
        };
        damage
    }

    /// The family's key in [`Timeline::by_family`].
    pub(super) fn family(address: IpAddr) -> &'static str {
        if address.is_ipv4() { "ipv4" } else { "ipv6" }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn broke(at_ms: u64, began_ms: u64, outcome: Outcome) -> Break {
        let address = "192.0.2.1:80".parse().unwrap();
        Break {
            at_ms,
            last_ms: at_ms,
            began_ms,
            outcome,
            source: address,
            destination: address,
            bytes: 0,
            upload: false,
        }
    }

    /// Ten seconds with a step at 2.05 s, which breaks three connections and lets new ones fail until 3.4 s.
    pub(in super::super) fn example() -> Timeline {
        let seconds =
            (0..10).map(|at| Second { at, open: 20 - at / 3, new_ok: 10, ..Second::default() }).collect();
        Timeline {
            lasted_ms: 10_000,
            seconds,
            marks: vec![
                Mark { at_ms: 2050, label: "l4-1 <killed> & gone".into(), open: 20 },
                Mark { at_ms: 8000, label: "back".into(), open: 18 },
            ],
            breaks: vec![
                broke(1000, 0, Outcome::Reset),
                broke(2100, 100, Outcome::Reset),
                broke(2200, 2060, Outcome::Reset),
                broke(7000, 100, Outcome::Stalled),
                broke(8001, 100, Outcome::Stalled),
            ],
            attempts: (0..100)
                .map(|tenth| Attempts {
                    at_ms: tenth * TENTH,
                    ok: u64::from(tenth % 3 == 0),
                    failed: u64::from((20..34).contains(&tenth) && tenth % 3 != 0),
                })
                .collect(),
            ..Timeline::default()
        }
    }

    #[test]
    fn damage_is_what_broke_between_two_marks() {
        let damage = example().damage("l4-1 <killed> & gone", Some("back")).unwrap();
        assert_eq!(damage.open, 20);
        assert_eq!(damage.broken, Counts::from([(Outcome::Reset, 1), (Outcome::Stalled, 1)]));
        assert_eq!(damage.broken_later, Counts::from([(Outcome::Reset, 1)]));
        assert_eq!(damage.broke(), 3);
    }

    #[test]
    fn new_connections_fail_until_the_end_of_the_last_tenth_in_which_one_that_failed_began() {
        // The last failure began in the tenth 3.2 s.
        let damage = example().damage("l4-1 <killed> & gone", Some("back")).unwrap();
        assert_eq!(damage.new_failed, 9);
        assert_eq!(damage.seconds_to_new, Some(1.25));
        assert_eq!(example().damage("back", None).unwrap().seconds_to_new, Some(0.0));
    }

    #[test]
    fn without_a_success_after_the_last_failure_there_is_no_such_time() {
        let mut timeline = example();
        timeline.attempts.push(Attempts { at_ms: 10_000, ok: 0, failed: 1 });
        assert_eq!(timeline.damage("back", None).unwrap().seconds_to_new, None);
        // A success in the same tenth proves nothing: it may have come first.
        timeline.attempts.push(Attempts { at_ms: 10_000, ok: 1, failed: 0 });
        assert_eq!(timeline.damage("back", None).unwrap().seconds_to_new, None);
    }

    #[test]
    fn a_mark_that_never_came_has_no_damage() {
        assert_eq!(example().damage("never", None), None);
        assert_eq!(example().damage("back", Some("never")), None);
    }

    #[test]
    fn a_time_line_is_the_same_after_a_way_through_json() {
        let text = serde_json::to_string(&example()).unwrap();
        assert_eq!(serde_json::from_str::<Timeline>(&text).unwrap(), example());
    }
}
