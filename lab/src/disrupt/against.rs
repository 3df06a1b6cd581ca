//! Two matrices beside each other: in which rows one stack broke more than the other, and whether that can be chance.
//!
//! A row's breaks, over all runs, are compared with how much there was to break. Where both stacks break connections equally often, the
//! share of all breaks that is one stack's follows a binomial distribution: what lies far out on it is no chance. Breaks that have one
//! cause come together, so the test calls a difference real sooner than it should, and never later.

use std::collections::BTreeMap;

use super::record::{Phase, Record};
use crate::say;

/// What may come by chance in one of so many comparisons is no finding: one in a hundred rows is expected to.
const CHANCE: f64 = 0.01;

/// What was counted in one row, over all runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    events: u64,
    /// How many there could have been.
    of: u64,
}

impl Count {
    fn add(&mut self, events: u64, of: u64) {
        self.events += events;
        self.of += of;
    }

    fn share(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.events as f64 / self.of as f64 }
    }
}

/// One row of a matrix, over all runs.
#[derive(Debug, Clone, Default)]
struct Row {
    what: String,
    /// Connections that broke, of those that the disturbed node had, or else of all.
    broken: Count,
    /// New connections that failed, of those that were tried.
    failed: Count,
}

/// By step and number of the phase.
fn rows(records: &[Record]) -> BTreeMap<(&str, usize), Row> {
    let mut rows = BTreeMap::<_, Row>::new();
    for done in records.iter().flat_map(|record| &record.steps) {
        for (number, Phase { what, had, damage, .. }) in done.phases.iter().enumerate() {
            let row = rows.entry((done.step.as_str(), number)).or_default();
            row.what.clone_from(what);
            // A node that had none breaks none of its own.
            let exposed = had.filter(|had| *had > 0).unwrap_or(damage.open);
            row.broken.add(damage.broke(), exposed);
            row.failed.add(damage.new_failed, damage.new_ok + damage.new_failed);
        }
    }
    rows
}

/// How often at least `ours.events` of all events of both would be ours, were they as frequent with both.
fn chance(ours: Count, theirs: Count) -> f64 {
    let all = ours.events + theirs.events;
    let part = ours.of as f64 / (ours.of + theirs.of) as f64;
    if all == 0 || !(part > 0.0 && part < 1.0) {
        return 1.0;
    }
    let odds = (part / (1.0 - part)).ln();
    // The logarithm of the probability that none is ours, then one, two and so on.
    let mut log = all as f64 * (1.0 - part).ln();
    let mut sum = 0.0;
    for number in 0..=all {
        if number >= ours.events {
            sum += log.exp();
        }
        log += ((all - number) as f64 / (number + 1) as f64).ln() + odds;
    }
    sum.min(1.0)
}

/// For a terminal: rows in which this stack had more than the other, and sums.
pub(super) fn text(ours: &[Record], theirs: &[Record]) -> String {
    let (ours, theirs) = (rows(ours), rows(theirs));
    let (mut lines, mut worse, mut sums) = (Vec::new(), 0, [Count::default(); 4]);
    for (key @ (step, _), our) in &ours {
        let Some(their) = theirs.get(key) else { continue };
        for (sum, one) in sums.iter_mut().zip([our.broken, their.broken, our.failed, their.failed]) {
            sum.add(one.events, one.of);
        }
        for (name, our_count, their_count) in
            [("broken", our.broken, their.broken), ("new failed", our.failed, their.failed)]
        {
            if our_count.share() <= their_count.share() {
                continue;
            }
            let chance = chance(our_count, their_count);
            worse += u64::from(chance < CHANCE);
            lines.push(vec![
                (*step).to_owned(),
                our.what.clone(),
                name.to_owned(),
                format!("{} of {}", our_count.events, our_count.of),
                format!("{} of {}", their_count.events, their_count.of),
                format!("{chance:.3}"),
                (if chance < CHANCE { "WORSE" } else { "chance" }).to_owned(),
            ]);
        }
    }
    let [our_broken, their_broken, our_failed, their_failed] = sums.map(|sum| sum.events);
    let rows = ours.keys().filter(|key| theirs.contains_key(*key)).count();
    let header = ["step", "phase", "what", "this stack", "the other", "by chance", ""];
    let table = if lines.is_empty() { String::new() } else { say::table(&header, &lines) };
    format!(
        "{rows} rows: {our_broken} broken against {their_broken}, {our_failed} new ones failed against {their_failed}; \
         more than the other had in {} comparisons of {}, beyond chance in {worse}\n{table}",
        lines.len(),
        rows * 2
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_counts_where_chance_does_not_make_it() {
        let count = |events, of| Count { events, of };
        assert_eq!(chance(count(0, 100), count(0, 100)), 1.0);
        // The one break is as likely ours as theirs.
        assert!((chance(count(1, 100), count(0, 100)) - 0.5).abs() < 1e-9);
        // Three heads of three.
        assert!((chance(count(3, 100), count(0, 100)) - 0.125).abs() < 1e-9);
        // Nine or ten of ten: 11 of 1024.
        assert!((chance(count(9, 50), count(1, 50)) - 11.0 / 1024.0).abs() < 1e-9);
        // Twice as much to break explains twice the breaks.
        assert!(chance(count(20, 200), count(10, 100)) > 0.5);
        assert!(chance(count(30, 100), count(10, 100)) < CHANCE);
        assert!(chance(count(3000, 10_000), count(3000, 10_000)) > 0.4, "large numbers are no trouble");
        assert_eq!(chance(count(3, 100), count(3, 0)), 1.0, "nothing to compare with");
    }
}
