//! Drawing by weight in constant time: Walker's alias method, built as by Vose, in whole numbers.

use crate::Random;

/// Weights to draw from. The default has none.
#[derive(Debug, Default)]
pub struct Alias {
    rows: Vec<Row>,
    total: u32,
}

/// A row is as likely as any other and stands for two positions: its own, and another's that has more than a row's share.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Below this the draw is the row's own position. Out of `total`.
    limit: u32,
    other: u32,
}

impl Alias {
    /// For weights whose sum is less than 2^32.
    pub fn new(weights: impl Iterator<Item = u32> + Clone) -> Self {
        let total: u32 = weights.clone().sum();
        let count = weights.clone().count() as u64;
        // Each weight times the number of rows: a row's fair share is then `total`.
        let mut shares: Vec<u64> = weights.map(|weight| u64::from(weight) * count).collect();
        let mut rows: Vec<Row> =
            (0..).take(shares.len()).map(|own| Row { limit: total, other: own }).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..)
            .take(shares.len())
            .partition(|own| shares.get(*own as usize).is_some_and(|share| *share < u64::from(total)));

        // A row that has less than its share is filled up from one that has more.
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            let Some(share) = shares.get(poor as usize).copied() else { break };
            if let Some(row) = rows.get_mut(poor as usize) {
                *row = Row { limit: share as u32, other: rich };
            }
            let Some(left) = shares.get_mut(rich as usize) else { break };
            *left -= u64::from(total) - share;
            if *left < u64::from(total) {
                large.pop();
                small.push(rich);
            }
        }
        Self { rows, total }
    }

    /// The position of a weight, each as likely as its part of the sum; 0 when there are none.
    pub fn draw(&self, random: &mut Random) -> usize {
        // One random number is enough for both: its halves are independent.
        let bits = random.bits();
        let scaled = |half: u64, limit: usize| ((half * limit as u64) >> 32) as usize;
        let at = scaled(bits >> 32, self.rows.len());
        match self.rows.get(at) {
            Some(row) if scaled(bits & 0xffff_ffff, self.total as usize) >= row.limit as usize => {
                row.other as usize
            }
            _ => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_as_frequent_as_the_weights_say() {
        for weights in [&[1u32][..], &[1, 1], &[256, 1, 1], &[5, 0, 3], &[7, 7, 1, 90, 2, 200]] {
            let alias = Alias::new(weights.iter().copied());
            let mut random = Random::from_seed(1);
            let mut counts = vec![0u32; weights.len()];
            (0..100_000).for_each(|_| counts[alias.draw(&mut random)] += 1);
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(weights) {
                let owed = 100_000.0 * f64::from(*weight) / f64::from(total);
                // Five standard deviations.
                assert!((f64::from(*count) - owed).abs() <= 5.0 * owed.sqrt(), "{weights:?}: {counts:?}");
            }
        }
    }
}
