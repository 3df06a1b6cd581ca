//! Maglev's table (Eisenbud and others, NSDI 2016, section 3.4), with weights as Envoy has them.

/// A row that nobody has taken yet.
const FREE: u32 = u32::MAX;

/// A server that takes rows, in an order of its own.
struct Taker<'a> {
    server: u32,
    name: &'a str,
    weight: u64,
    /// The row that it wants next, and the step to the one after.
    next: u32,
    step: u32,
    /// What it is owed, in rows times the largest weight.
    owed: u64,
}

/// The server of each row, given (index, name, weight) of each; at least one, none of weight 0. `size` is a prime.
pub(crate) fn table(servers: Vec<(u32, &str, u32)>, size: u32) -> Vec<u32> {
    let mut takers: Vec<Taker<'_>> = servers
        .into_iter()
        .map(|(server, name, weight)| {
            let hash = hash(name.as_bytes());
            Taker {
                server,
                name,
                weight: u64::from(weight),
                next: (mix(hash) % u64::from(size)) as u32,
                step: (mix(!hash) % u64::from(size - 1)) as u32 + 1,
                owed: 0,
            }
        })
        .collect();
    // Who comes first takes first: the order must not be that of the fleet file.
    takers.sort_by_key(|taker| taker.name);
    let heaviest = takers.iter().map(|taker| taker.weight).max().unwrap_or(1);

    let mut rows = vec![FREE; size as usize];
    let mut free = size;
    while free > 0 {
        for taker in &mut takers {
            // The heaviest takes a row in each round, another as often as its weight is a part of that.
            taker.owed += taker.weight;
            if taker.owed < heaviest {
                continue;
            }
            taker.owed -= heaviest;
            taker.take(&mut rows, size);
            free -= 1;
            if free == 0 {
                break;
            }
        }
    }
    rows
}

impl Taker<'_> {
    /// Takes the next row that it wants and that is free. There must be one: steps of less than a prime visit every row.
    fn take(&mut self, rows: &mut [u32], size: u32) {
        loop {
            let row = rows.get_mut(self.next as usize);
            self.next = if self.next >= size - self.step {
                self.next - (size - self.step)
            } else {
                self.next + self.step
            };
            if let Some(row) = row.filter(|row| **row == FREE) {
                *row = self.server;
                return;
            }
        }
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads every bit over all others, which FNV does not: the finish of SplitMix64.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_taken_and_equal_weights_have_equal_shares() {
        let names: Vec<String> = (0..100).map(|n| format!("server-{n}")).collect();
        let servers = (0..).zip(&names).map(|(index, name)| (index, name.as_str(), 7)).collect();
        let rows = table(servers, 65_537);
        let mut counts = [0; 100];
        rows.iter().for_each(|server| counts[*server as usize] += 1);
        assert!(counts.iter().all(|count| [655, 656].contains(count)), "{counts:?}");
    }

    /// The mapping is a promise: caches behind an updated node must stay warm.
    #[test]
    fn the_table_is_what_it_always_was() {
        let rows = table(vec![(0, "one", 1), (1, "two", 2), (2, "three", 1)], 31);
        let expected =
            [2, 2, 1, 2, 0, 1, 1, 0, 1, 0, 2, 1, 2, 2, 1, 1, 1, 1, 1, 0, 0, 2, 2, 1, 1, 0, 1, 1, 1, 0, 0];
        assert_eq!(rows, expected);
        let rows: Vec<u8> = table(vec![(0, "one", 1), (1, "two", 2), (2, "three", 1)], 65_537)
            .iter()
            .map(|r| *r as u8)
            .collect();
        assert_eq!(hash(&rows), 12_353_876_590_383_406_540);
    }
}
