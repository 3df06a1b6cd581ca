//! What must hold whatever happened before.

use super::*;

/// A small generator, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) % u64::from(limit)) as u32
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

/// A fleet: members in join order. Some leave, some join, some fail, weights change.
#[derive(Clone)]
struct Fleet {
    members: Vec<Destination>,
    joined: u32,
}

impl Fleet {
    fn step(&mut self, random: &mut Random) {
        let some = |random: &mut Random, all: usize| random.below(all as u32) as usize;
        match random.below(10) {
            0 | 1 if self.members.len() < 16 => {
                // A third of those who join were there before, and get a new place.
                let number = if random.chance(33) { random.below(self.joined) } else { self.joined };
                self.joined = self.joined.max(number + 1);
                if self.members.iter().all(|one| one.endpoint != node(number)) {
                    let weight = weight(1 + random.below(20));
                    self.members.push(Destination::tunneled(node(number), weight));
                }
            }
            2 if self.members.len() > 2 => drop(self.members.remove(some(random, self.members.len()))),
            3 => {
                let at = some(random, self.members.len());
                self.members[at].weight = weight(1 + random.below(20));
            }
            _ => {
                let at = some(random, self.members.len());
                self.members[at].taking = !self.members[at].taking;
            }
        }
    }

    fn wanted(&self) -> Wanted {
        wanted([
            service(1, self.members.clone()),
            service(2, self.members.iter().step_by(2).copied().collect::<Vec<_>>()),
        ])
    }
}

/// Somebody with `ipvsadm`.
fn meddle(memory: &mut Memory, random: &mut Random) {
    let mut kernel = memory.known().clone();
    let number = 1 + random.below(2) as u8;
    let some = node(random.below(10));
    let entry = Destination::tunneled(some, weight(1 + random.below(20))).entry(random.chance(70));
    let service = key(number);
    let change = match random.below(5) {
        0 => Change::RemoveDestination { service, endpoint: some },
        1 => Change::AddDestination { service, entry },
        2 => Change::RemoveService { key: service },
        _ => Change::SetDestination { service, entry },
    };
    // The kernel may refuse him.
    let _ = kernel.apply(&change);
    let mut seen = Memory::new();
    seen.see(kernel);
    let seen = seen_afresh(&seen).known().clone();
    if random.chance(50) {
        memory.see(seen);
    } else {
        see_in_pieces(memory, &seen);
    }
}

fn taking(memory: &Memory, number: u8) -> usize {
    let has = memory.known().services.get(&key(number));
    has.map_or(0, |has| has.destinations.iter().filter(|one| one.entry.weight > 0).count())
}

#[test]
fn nodes_with_different_histories_have_equal_tables_after_every_step() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut fleet = Fleet { members: (0..3).map(up).collect(), joined: 3 };
        let (mut calm, mut troubled) = (Memory::new(), Memory::new());
        for step in 0..100 {
            fleet.step(&mut random);
            let wanted = fleet.wanted();
            settle(&mut calm, &wanted);
            if random.chance(30) {
                // It misses what the others saw.
                continue;
            }
            if random.chance(20) {
                meddle(&mut troubled, &mut random);
            }
            if random.chance(20) {
                troubled = seen_afresh(&troubled);
            }
            settle(&mut troubled, &wanted);
            assert_eq!(calm.known(), programmed(&wanted).known(), "seed {seed}, step {step}");
            assert_eq!(troubled.known(), calm.known(), "seed {seed}, step {step}");
            assert!(troubled.plan(&wanted).is_empty(), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn what_is_wanted_next_comes_out_of_what_was_wanted_and_the_difference() {
    let mut sizes = 0;
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut fleet = Fleet { members: (0..3).map(up).collect(), joined: 3 };
        let (mut told, mut first) = (fleet.wanted(), fleet.wanted());
        for step in 0..100 {
            fleet.step(&mut random);
            let mut next = fleet.wanted();
            if random.chance(10) {
                next.table.remove(&key(1 + random.below(2) as u8));
                next.order = if random.chance(50) { Order::Report } else { Order::Restore };
            }
            let delta = Delta::between(&told, &next);
            let text = serde_json::to_string(&delta).unwrap();
            sizes += usize::from(delta.set.len() == 1);
            told = serde_json::from_str::<Delta>(&text).unwrap().apply(&told).unwrap();
            assert_eq!(told, next, "seed {seed}, step {step}: {text}");
            // However far apart they are.
            assert_eq!(Delta::between(&first, &next).apply(&first).unwrap(), next);
            if random.chance(5) {
                first = next;
            }
        }
    }
    assert!(sizes > 500, "only {sizes} differences were of members alone");
}

#[test]
fn every_prefix_of_a_plan_is_safe() {
    let mut restored = 0;
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut fleet = Fleet { members: (0..5).map(up).collect(), joined: 5 };
        let mut memory = programmed(&fleet.wanted());
        for _ in 0..random.below(6) {
            fleet.step(&mut random);
        }
        for _ in 0..random.below(8) {
            meddle(&mut memory, &mut random);
        }
        let wanted = fleet.wanted();
        let before = memory.clone();
        let plan = memory.plan(&wanted);
        restored += plan.disorder.len();
        for change in &plan.changes {
            memory.done(change).unwrap();
            for number in [1, 2] {
                let members = &wanted.table.get(&key(number)).unwrap().destinations;
                let there = |memory: &Memory, endpoint| {
                    let has = memory.known().services.get(&key(number));
                    has.is_some_and(|has| has.destinations.iter().any(|one| one.entry.endpoint == endpoint))
                };
                let missing = members.iter().map(|one| one.endpoint);
                let missing = missing.filter(|one| there(&before, *one) && !there(&memory, *one)).count();
                assert!(missing <= 1, "seed {seed}: {missing} are missing at once");
                let disordered = plan.disorder.iter().any(|one| one.service == key(number));
                let deleted = matches!(change, Change::RemoveDestination { service, endpoint }
                    if *service == key(number) && members.iter().any(|one| one.endpoint == *endpoint));
                assert!(disordered || !deleted, "seed {seed}: a member was deleted by {change}");
                let will = members.iter().filter(|one| one.taking).count();
                if !disordered && taking(&before, number) > 0 && will > 0 {
                    assert!(taking(&memory, number) > 0, "seed {seed}: nobody takes flows after {change}");
                }
            }
        }
    }
    assert!(restored > 20, "only {restored} services were out of order");
}
