//! The order of turns: who is due when, and sorting by that in time and memory that the largest pool can afford.
//!
//! Of `weight` turns, a server takes the k-th at (k - 1/2) / weight of the way round, and turns go in the order in which
//! they are due (Sainte-Laguë's method). A million turns would be slow to sort and too large to write down, so they are
//! dealt into one bucket for each step of the cycle, and only the few that share a bucket are compared.

use std::cmp::Ordering;

/// A server that takes turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Takes {
    pub(crate) server: u32,
    /// At least 1.
    pub(crate) weight: u64,
}

/// The servers in the order of their turns, each as often as its weight, after reduction of the weights.
pub(crate) fn cycle(mut servers: Vec<Takes>) -> Vec<u32> {
    let divisor = servers.iter().map(|takes| takes.weight).fold(0, gcd);
    servers.iter_mut().for_each(|takes| takes.weight /= divisor.max(1));
    let total: u64 = servers.iter().map(|takes| takes.weight).sum();

    // How many turns are in each bucket, and from that where each bucket ends.
    let mut ends = vec![0u32; total as usize];
    for bucket in servers.iter().flat_map(|takes| takes.buckets(total)) {
        if let Some(count) = ends.get_mut(bucket) {
            *count += 1;
        }
    }
    ends.iter_mut().fold(0, |before, end| {
        *end += before;
        *end
    });

    // Filled from the end, so that afterwards `ends` says where each bucket begins. A position in `servers` stands for a turn:
    // which turn it is follows from the bucket, since a server has at most one in each.
    let mut turns = vec![0u32; total as usize];
    for (position, takes) in (0..servers.len() as u32).zip(&servers).rev() {
        for bucket in takes.buckets(total) {
            let Some(end) = ends.get_mut(bucket) else { continue };
            *end -= 1;
            if let Some(turn) = turns.get_mut(*end as usize) {
                *turn = position;
            }
        }
    }

    let takes = |position: &u32| servers.get(*position as usize);
    let mut rest = turns.as_mut_slice();
    for bucket in 0..total {
        let begin = ends.get(bucket as usize).copied().unwrap_or_default();
        let next = ends.get(bucket as usize + 1).copied().unwrap_or(total as u32);
        let Some((shared, after)) = rest.split_at_mut_checked((next - begin) as usize) else { break };
        shared.sort_by(|a, b| match (takes(a), takes(b)) {
            (Some(one), Some(other)) => one.compare(*other, bucket, total).then(a.cmp(b)),
            _ => Ordering::Equal,
        });
        rest = after;
    }
    turns.iter_mut().for_each(|turn| *turn = takes(turn).map_or(0, |takes| takes.server));
    turns
}

impl Takes {
    /// The bucket of each turn: `total * (2k - 1) / (2 * weight)`, by adding up instead of dividing.
    fn buckets(self, total: u64) -> impl Iterator<Item = usize> {
        let unit = 2 * self.weight;
        let (mut bucket, mut part) = (total / unit, total % unit);
        let (buckets_on, part_on) = (2 * total / unit, 2 * total % unit);
        (0..self.weight).map(move |_| {
            let this = bucket;
            bucket += buckets_on;
            part += part_on;
            if part >= unit {
                part -= unit;
                bucket += 1;
            }
            this as usize
        })
    }

    /// Whose turn in this bucket is due first.
    fn compare(self, other: Self, bucket: u64, total: u64) -> Ordering {
        if self.weight == other.weight {
            return Ordering::Equal;
        }
        (self.part(bucket, total) * other.weight).cmp(&(other.part(bucket, total) * self.weight))
    }

    /// How far into the bucket its turn is due, in parts of 1 / (2 * weight).
    fn part(self, bucket: u64, total: u64) -> u64 {
        let begin = bucket * 2 * self.weight;
        let turns_before = begin.saturating_sub(total).div_ceil(2 * total);
        (2 * turns_before + 1) * total - begin
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::Random;

    fn takes(weights: &[u64]) -> Vec<Takes> {
        (0..).zip(weights).map(|(server, weight)| Takes { server, weight: *weight }).collect()
    }

    /// The same order as the definition says it: all turns, sorted by exact fractions.
    fn by_definition(weights: &[u64]) -> Vec<u32> {
        let mut turns: Vec<(u64, u64, u32)> = takes(weights)
            .iter()
            .flat_map(|takes| (1..=takes.weight).map(|k| (2 * k - 1, takes.weight, takes.server)))
            .collect();
        turns.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
        turns.iter().map(|turn| turn.2).collect()
    }

    #[test]
    fn dealing_into_buckets_gives_the_order_of_the_definition() {
        let mut random = Random::from_seed(7);
        for _ in 0..500 {
            let count = 1 + random.below(12) as usize;
            let mut weights: Vec<u64> = (0..count).map(|_| 1 + u64::from(random.below(256))).collect();
            // No common divisor, so that the definition needs no reduction.
            weights.push(1);
            assert_eq!(cycle(takes(&weights)), by_definition(&weights), "{weights:?}");
        }
    }

    #[test]
    fn the_largest_pool_has_a_million_turns_and_every_one_is_given() {
        let weights: Vec<u64> = (0..4096).map(|n| if n % 2 == 0 { 256 } else { 255 }).collect();
        let turns = cycle(takes(&weights));
        let mut counts = vec![0; 4096];
        turns.iter().for_each(|server| counts[*server as usize] += 1);
        assert_eq!(counts, weights);
    }
}
