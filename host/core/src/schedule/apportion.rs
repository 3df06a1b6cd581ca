//! The native weighted round robin, as one precomputed cycle.
//!
//! Turns are handed out by Sainte-Laguë's method: server *i* takes its *k*-th turn at (k - 1/2) / wᵢ, and turns go
//! in that order (ties to the server that comes first). The promise is exact: after any n requests of one worker
//! the counts are the Sainte-Laguë apportionment of n over the weights, and after a whole cycle they are the weights.
//! Turns are spread as by the smooth round robin of nginx, but a cycle costs O(total · log servers) once, not
//! O(servers) for every request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::Server;

/// The order in which usable servers take turns; empty where none is usable. At most 256 steps a server.
pub fn cycle_by_weight(servers: &[Server]) -> Vec<u32> {
    let weights: Vec<(u32, u64)> = servers
        .iter()
        .zip(0u32..)
        .filter(|(server, _)| server.is_usable())
        .map(|(server, index)| (index, u64::from(server.weight)))
        .collect();
    let Some(divisor) = weights.iter().map(|(_, w)| *w).reduce(gcd) else { return Vec::new() };

    let mut due: BinaryHeap<Reverse<Turn>> = weights
        .iter()
        .map(|(index, weight)| Reverse(Turn { half_turns: 1, weight: weight / divisor, index: *index }))
        .collect();
    let total: u64 = weights.iter().map(|(_, w)| w / divisor).sum();
    let mut cycle = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    while let Some(Reverse(turn)) = due.pop() {
        cycle.push(turn.index);
        let next = Turn { half_turns: turn.half_turns + 2, ..turn };
        // The k-th turn has half_turns = 2k - 1, and there are `weight` of them.
        if next.half_turns < 2 * next.weight {
            due.push(Reverse(next));
        }
    }
    cycle
}

/// Due at `half_turns / (2 · weight)`; compared by cross multiplication, so exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    half_turns: u64,
    weight: u64,
    index: u32,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.half_turns * other.weight)
            .cmp(&(other.half_turns * self.weight))
            .then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::servers;
    use super::*;
    use crate::model::State;

    fn counts(cycle: &[u32], n: usize, servers: usize) -> Vec<u32> {
        let mut counts = vec![0; servers];
        for step in cycle.iter().cycle().take(n) {
            counts[*step as usize] += 1;
        }
        counts
    }

    #[test]
    fn five_three_one_is_spread_and_exact() {
        let cycle = cycle_by_weight(&servers(&[5, 3, 1]));
        assert_eq!(cycle, [0, 1, 0, 0, 1, 2, 0, 1, 0]);
        assert_eq!(counts(&cycle, 10_000, 3), [5556, 3333, 1111]);
    }

    #[test]
    fn weights_are_reduced_by_their_common_divisor() {
        assert_eq!(cycle_by_weight(&servers(&[256, 256])), [0, 1]);
        assert_eq!(cycle_by_weight(&servers(&[200, 100])).len(), 3);
    }

    #[test]
    fn unusable_servers_take_no_turn() {
        let mut list = servers(&[1, 0, 1]).to_vec();
        list[2].state = State::Drain;
        assert_eq!(cycle_by_weight(&list), [0]);
        list[0].state = State::Down;
        assert!(cycle_by_weight(&list).is_empty());
    }

    /// Over many weight vectors: a whole cycle gives the (reduced) weights, and no prefix is off by more than one turn
    /// from what a server is owed, but for Sainte-Laguë's known exception of a dominant server (under 2).
    #[test]
    fn every_prefix_is_close_to_the_weights() {
        let mut seed = 7u64;
        for _ in 0..500 {
            let mut next = || {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 33) as u16
            };
            let weights: Vec<u16> = (0..1 + next() % 9).map(|_| next() % 257).collect();
            let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
            let cycle = cycle_by_weight(&servers(&weights));
            if total == 0 {
                assert!(cycle.is_empty());
                continue;
            }
            let whole = counts(&cycle, total as usize, weights.len());
            assert!(whole.iter().zip(&weights).all(|(c, w)| *c == u32::from(*w)), "{weights:?}");
            let mut seen = vec![0u64; weights.len()];
            for (n, step) in (1u64..).zip(&cycle) {
                seen[*step as usize] += 1;
                for (count, weight) in seen.iter().zip(&weights) {
                    let owed = n as f64 * f64::from(*weight) / total as f64;
                    assert!((*count as f64 - owed).abs() < 2.0, "{weights:?} after {n}");
                }
            }
        }
    }
}
