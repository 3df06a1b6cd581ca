//! Random lives of l4 nodes: what must hold whatever happens, in whatever order.

use std::collections::BTreeSet;

use super::*;

/// A linear congruence: it need not be good, it has to be the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn node(&mut self) -> &'static str {
        ["a", "b", "c"][self.below(3) as usize]
    }
}

/// One thing that happens to an l7 node, as every l4 node sees it.
fn step(dice: &mut Dice, bench: &mut Bench) {
    let node = dice.node();
    match dice.below(8) {
        0..4 => bench.checks(node, 1, false),
        4..6 => bench.checks(node, 1, true),
        6 => bench.word(node, [Admin::Ready, Admin::Drain, Admin::Maint][dice.below(3) as usize]),
        _ => {
            let there = dice.below(2) == 0;
            bench.tell(Event::Disabled(there));
        }
    }
}

/// Brings a node into a state that is given by `state` alone: for each l7 node what an operator says, and whether checks pass.
fn settle(bench: &mut Bench, state: &[(&str, Admin, bool)]) {
    bench.now = bench.now.after(Duration::from_secs(1));
    bench.tell(Event::Disabled(false));
    for (node, admin, passed) in state {
        bench.word(node, *admin);
        bench.checks(node, 4, *passed);
    }
}

#[test]
fn two_nodes_with_the_same_present_want_the_same_whatever_their_past_was() {
    let fleet = with(&[]);
    let mut dice = Dice(7);
    let mut seen = BTreeSet::new();
    for life in 0..200 {
        let mut lives = [Bench::up(&fleet), Bench::new(&fleet)];
        for bench in &mut lives {
            for _ in 0..dice.below(40) {
                step(&mut dice, bench);
            }
        }
        let state = ["a", "b", "c"].map(|node| {
            let admin = [Admin::Ready, Admin::Ready, Admin::Drain, Admin::Maint][dice.below(4) as usize];
            (node, admin, dice.below(3) > 0)
        });
        for bench in &mut lives {
            settle(bench, &state);
        }
        assert_eq!(lives[0].last(), lives[1].last(), "life {life}: {state:?}");
        assert_eq!(lives[0].machine.status().table, lives[1].machine.status().table);
        seen.insert(short(&lives[0].destinations("198.51.100.1:80")));
    }
    assert!(seen.len() >= 8, "all eight tables were met: {seen:?}");
}

#[test]
fn no_life_deletes_a_destination_moves_one_or_changes_its_weight() {
    let fleet = with(&[]);
    for seed in 0..100 {
        let (mut dice, mut bench) = (Dice(seed), Bench::new(&fleet));
        for _ in 0..60 {
            step(&mut dice, &mut bench);
        }
        for desired in &bench.wanted {
            for service in desired.ipvs.table.iter() {
                let members: Vec<_> =
                    service.destinations.iter().map(|one| (one.endpoint.ip(), one.weight.get())).collect();
                let expected = if service.key.family() == crate::maglev::Family::V4 {
                    ["192.0.2.12", "192.0.2.11", "192.0.2.13"]
                } else {
                    ["2001:db8:2::12", "2001:db8:2::11", "2001:db8:2::13"]
                };
                let expected: Vec<_> = expected
                    .iter()
                    .zip([50, 100, 100])
                    .map(|(ip, weight)| (ip.parse().unwrap(), weight))
                    .collect();
                assert_eq!(members, expected);
            }
        }
    }
}

#[test]
fn no_life_announces_an_address_that_nobody_serves_or_before_every_node_was_looked_at() {
    let fleet = with(&[]);
    for seed in 0..200 {
        let (mut dice, mut bench) = (Dice(seed), Bench::new(&fleet));
        let mut looked_at = BTreeSet::new();
        for _ in 0..40 {
            // Nobody is silent for a round: what is late is another test.
            bench.now = at(1);
            let before = bench.wanted.len();
            let node = dice.node();
            let passed = dice.below(2) == 0;
            bench.on(node, |health, _| {
                let mut now = at(60_000);
                health.handle(HealthEvent::Timer, now);
                now = now.after(Duration::from_millis(1));
                health.handle(
                    if passed { HealthEvent::CheckPassed } else { HealthEvent::CheckFailed("no".into()) },
                    now,
                );
            });
            looked_at.insert(node);
            assert!(bench.wanted.len() == before || looked_at.len() == 3, "{looked_at:?}");
        }
        for desired in &bench.wanted {
            let taken: BTreeSet<_> = desired
                .ipvs
                .table
                .iter()
                .filter(|service| service.destinations.iter().any(|one| one.taking))
                .map(|service| service.key.to_string())
                .collect();
            for route in &desired.speaker.as_ref().unwrap().routes {
                let address = route.prefix.to_string();
                let address = address.split('/').next().unwrap();
                assert!(taken.iter().any(|key| key.contains(address)), "{address} of {taken:?}");
            }
        }
    }
}

#[test]
fn what_follows_from_one_change_is_what_would_follow_from_all_anew() {
    let keep = with(&[("version = 1\n", "version = 1\nl4.all-down = \"keep\"\n")]);
    for (fleet, seed) in [with(&[]), keep].iter().cycle().zip(0..40) {
        let (mut dice, mut bench) = (Dice(seed), Bench::new(fleet));
        for _ in 0..60 {
            step(&mut dice, &mut bench);
            let Some(wanted) = bench.machine.wanted().cloned() else { continue };
            // The same fleet again: nothing is kept of tables that were made before.
            bench.tell(Event::Fleet(Arc::clone(fleet), Keys::new()));
            assert_eq!(bench.machine.wanted(), Some(&wanted), "seed {seed}");
        }
    }
}
