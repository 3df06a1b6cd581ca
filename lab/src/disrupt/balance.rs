//! When connections are spread over the L7 nodes as they should be.

use std::collections::BTreeMap;

/// Connections by node at a moment, in seconds from the beginning of a phase.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: f64,
    pub(super) open: BTreeMap<String, u64>,
}

/// Whether every node that should take connections has at least a third of an equal share.
///
/// A third, because connections live for minutes: a node that came back fills with new ones only, and it is to be seen whether
/// it takes its part, not whether the old ones have ended.
pub(super) fn is_balanced(open: &BTreeMap<String, u64>, should: &[String]) -> bool {
    let of = |name: &String| open.get(name).copied().unwrap_or(0);
    let total: u64 = should.iter().map(of).sum();
    let nodes = should.len() as u64;
    nodes > 0 && total > 0 && should.iter().all(|name| of(name) * 3 * nodes >= total)
}

/// From when on all samples are balanced; 0 where all are, `None` where the last is not.
pub(super) fn since(samples: &[Sample], should: &[String]) -> Option<f64> {
    let bad = samples.iter().rposition(|sample| !is_balanced(&sample.open, should));
    match bad {
        None if samples.is_empty() => None,
        None => Some(0.0),
        Some(last) => samples.get(last + 1).map(|sample| sample.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_node_below_a_third_of_its_share_is_out_of_balance_and_one_that_should_have_none_does_not_count() {
        let should = ["a".to_owned(), "b".to_owned()];
        assert!(is_balanced(&open(&[("a", 50), ("b", 11)]), &should));
        assert!(!is_balanced(&open(&[("a", 50), ("b", 9)]), &should));
        assert!(!is_balanced(&open(&[("a", 50)]), &should));
        assert!(is_balanced(&open(&[("a", 50), ("c", 500)]), &should[..1]));
        assert!(!is_balanced(&open(&[]), &should));
    }

    #[test]
    fn balance_counts_from_when_it_was_not_lost_again() {
        let should = ["a".to_owned(), "b".to_owned()];
        let sample = |at, b| Sample { at, open: open(&[("a", 50), ("b", b)]) };
        assert_eq!(since(&[sample(1.0, 50), sample(2.0, 40)], &should), Some(0.0));
        assert_eq!(since(&[sample(1.0, 50), sample(2.0, 0), sample(3.0, 30)], &should), Some(3.0));
        assert_eq!(since(&[sample(1.0, 50), sample(2.0, 0)], &should), None);
        assert_eq!(since(&[], &should), None);
    }
}
