//! When the next check is due. Times are spread so that no two servers, and no two nodes, check together for long:
//! the first round within a tenth of the interval (a node that starts wants to know), the second over a
//! whole interval, the rest a tenth early or late. All from a seed and a counter: a replay gives the same times.

use std::time::Duration;

use crate::time::Moment;

/// The clock of one kind of check of one server.
#[derive(Debug, Clone)]
pub(super) struct Cadence {
    seed: u64,
    /// Checks started so far.
    rounds: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Waiting(Moment),
    UnderWay(Moment),
    Paused,
}

impl Cadence {
    pub(super) fn new(seed: u64, interval: Duration, now: Moment) -> Self {
        let first = now.after(part(interval / 10, noise(seed, 0)));
        Self { seed, rounds: 0, phase: Phase::Waiting(first) }
    }

    /// When something is to be started; `None` while a check is under way or paused.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Waiting(at) => Some(at),
            Phase::UnderWay(_) | Phase::Paused => None,
        }
    }

    /// Whether a check is to be started now; if so it is under way from here on.
    pub(super) fn start(&mut self, now: Moment) -> bool {
        let due = matches!(self.phase, Phase::Waiting(at) if at <= now);
        if due {
            self.rounds += 1;
            self.phase = Phase::UnderWay(now);
        }
        due
    }

    /// The check that was under way has ended. False where none was: the result is of a check that no longer counts.
    pub(super) fn end(&mut self, interval: Duration, now: Moment) -> bool {
        let Phase::UnderWay(started) = self.phase else { return false };
        let random = noise(self.seed, self.rounds);
        let wait = match self.rounds {
            1 => interval / 2 + part(interval, random),
            _ => interval - interval / 10 + part(interval / 5, random),
        };
        self.phase = Phase::Waiting(started.after(wait).max(now));
        true
    }

    /// Whether a check is under way.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::UnderWay(_))
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self.phase, Phase::Paused)
    }

    /// No check until [`Cadence::resume`]; the result of one under way no longer counts.
    pub(super) fn pause(&mut self) {
        self.phase = Phase::Paused;
    }

    /// Ends a pause with a check at once.
    pub(super) fn resume(&mut self, now: Moment) {
        if matches!(self.phase, Phase::Paused) {
            self.phase = Phase::Waiting(now);
        }
    }

    /// Begins again with a first round; what was under way no longer counts. A pause goes on.
    pub(super) fn restart(&mut self, interval: Duration, now: Moment) {
        if !self.is_paused() {
            *self = Self::new(self.seed, interval, now);
        }
    }

    /// Another interval: what was planned further away than that comes sooner.
    pub(super) fn retime(&mut self, interval: Duration, now: Moment) {
        if let Phase::Waiting(at) = self.phase {
            self.phase = Phase::Waiting(at.min(now.after(part(interval, noise(self.seed, self.rounds)))));
        }
    }
}

/// splitmix64: a permutation of 64 bits in which every input bit reaches every output bit.
fn noise(seed: u64, round: u64) -> u64 {
    let mut z = seed.wrapping_add(round.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Between nothing and all of `whole`.
fn part(whole: Duration, random: u64) -> Duration {
    let micros = (whole.as_micros().min(u128::from(u64::MAX)) * u128::from(random)) >> 64;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);

    /// The times of the first rounds of a server whose checks take no time.
    fn times(seed: u64, rounds: usize) -> Vec<Moment> {
        let mut cadence = Cadence::new(seed, INTERVAL, Moment::ZERO);
        (0..rounds)
            .map(|_| {
                let now = cadence.deadline().unwrap();
                assert!(cadence.start(now) && cadence.end(INTERVAL, now));
                now
            })
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_times_and_another_gives_others() {
        assert_eq!(times(1, 50), times(1, 50));
        assert_ne!(times(1, 50), times(2, 50));
    }

    #[test]
    fn every_round_but_the_second_is_within_a_tenth_of_its_time() {
        for seed in 0..200 {
            let times = times(seed, 20);
            assert!(times[0] <= Moment::ZERO.after(INTERVAL / 10));
            let second = times[1].since(times[0]);
            assert!(second >= INTERVAL / 2 && second <= INTERVAL * 3 / 2);
            for pair in times[1..].windows(2) {
                let gap = pair[1].since(pair[0]);
                assert!(gap >= INTERVAL * 9 / 10 && gap <= INTERVAL * 11 / 10, "{gap:?}");
            }
        }
    }

    #[test]
    fn from_the_second_round_on_checks_are_spread_over_the_whole_interval() {
        // 1,000 servers, 20 slots of the second after the first round: with an even spread each slot has 50.
        let mut slots = [0u32; 20];
        for seed in 0..1000 {
            let second = times(seed, 2)[1].since(Moment::ZERO.after(INTERVAL / 2));
            let slot = second.as_millis() * 20 / 2200;
            slots[usize::try_from(slot).unwrap()] += 1;
        }
        assert!(slots.iter().all(|servers| *servers < 100), "{slots:?}");
    }

    #[test]
    fn a_check_that_takes_longer_than_its_interval_is_followed_at_once_and_never_overlapped() {
        let mut cadence = Cadence::new(1, INTERVAL, Moment::ZERO);
        let start = cadence.deadline().unwrap();
        assert!(cadence.start(start));
        assert_eq!(cadence.deadline(), None);
        assert!(!cadence.start(start.after(INTERVAL * 5)));
        let end = start.after(INTERVAL * 5);
        assert!(cadence.end(INTERVAL, end));
        assert_eq!(cadence.deadline(), Some(end));
        assert!(!cadence.end(INTERVAL, end), "it has ended already");
    }

    #[test]
    fn a_shorter_interval_applies_to_the_round_that_is_waited_for() {
        let mut cadence = Cadence::new(1, Duration::from_secs(3600), Moment::ZERO);
        let start = cadence.deadline().unwrap();
        assert!(cadence.start(start) && cadence.end(Duration::from_secs(3600), start));
        cadence.retime(INTERVAL, start);
        assert!(cadence.deadline().unwrap() <= start.after(INTERVAL));
    }
}
