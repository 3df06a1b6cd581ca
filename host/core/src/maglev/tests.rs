//! Placements that a kernel made, and what must hold whatever the destinations are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::*;

/// Written by a kernel 6.1 (x86-64): changes of a service, and after each one where flows went, one letter per flow.
/// Sources come from [`Sources`] with the number of the service, from 1. The letter is the place in `names`; `-` was refused.
const KERNEL: &str = include_str!("kernel.txt");

/// The generator that the kernel's flows were made with.
struct Sources(u64);

impl Sources {
    fn number(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.number() % limit
    }

    fn flow(&mut self, family: Family) -> SocketAddr {
        let address: IpAddr = match family {
            Family::V4 => Ipv4Addr::from_bits(0x6440_0000 | self.number() & 0x3f_ffff).into(),
            Family::V6 => {
                let words = [self.number() & 0xffff, self.number(), self.number()].map(u128::from);
                let prefix = 0x2001_0db8_0064_u128 << 80;
                Ipv6Addr::from_bits(prefix | words[0] << 64 | words[1] << 32 | words[2]).into()
            }
        };
        SocketAddr::new(address, (1024 + self.number() % 64000) as u16)
    }
}

fn node(number: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + number * 0x101).into(), 80)
}

fn table(destinations: &Destinations) -> Table {
    Table::of(Scheme::of(Family::V4), destinations).unwrap()
}

#[test]
fn every_flow_goes_where_the_kernel_sent_it() {
    let mut service = 0;
    let mut flows = 0;
    let mut scheme = Scheme::of(Family::V4);
    let mut destinations = Destinations::new();
    let mut names: Vec<&str> = Vec::new();
    let mut sources = Sources(0);
    for (number, line) in (1..).zip(KERNEL.lines()) {
        let words: Vec<&str> = line.split(' ').collect();
        let endpoint = || SocketAddr::new(words[1].parse().unwrap(), 80);
        match words[0] {
            "service" => {
                service += 1;
                sources = Sources(service);
                destinations = Destinations::new();
                scheme = Scheme {
                    family: if words[1] == "v4" { Family::V4 } else { Family::V6 },
                    size: Size::DEFAULT,
                    port: words.contains(&"mh-port"),
                    fallback: words.contains(&"mh-fallback"),
                };
            }
            "names" => names = words[1..].to_vec(),
            "add" => destinations.add(endpoint(), words[2].parse().unwrap()).unwrap(),
            "weight" => destinations.set_weight(endpoint(), words[2].parse().unwrap()).unwrap(),
            "remove" => drop(destinations.remove(endpoint()).unwrap()),
            "flows" => {
                let table = Table::of(scheme, &destinations).unwrap();
                for letter in words[1].chars() {
                    let at = "abcdefghijklmnopqrstuvwxyz".find(letter);
                    let expected = at.map(|at| names[at].parse::<IpAddr>().unwrap());
                    let source = sources.flow(scheme.family);
                    let placed = table.place(source).destination.map(|one| one.ip());
                    assert_eq!(placed, expected, "line {number}, flow from {source}");
                    flows += 1;
                }
            }
            other => unreachable!("line {number} begins with {other}"),
        }
    }
    assert!(service >= 8 && flows >= 10_000, "only {service} services and {flows} flows were compared");
}

#[test]
fn equal_histories_are_not_needed_for_equal_tables_while_failures_are_weights() {
    let mut random = Sources(7);
    for _ in 0..200 {
        let members: Vec<_> = (0..2 + random.below(20)).map(|n| (node(n), 1 + random.below(50))).collect();
        let untouched = Destinations::added(members.iter().copied()).unwrap();
        let mut flapped = untouched.clone();
        for _ in 0..10 {
            let (endpoint, weight) = members[random.below(members.len() as u32) as usize];
            flapped.set_weight(endpoint, 0).unwrap();
            let owners =
                |of: &Destinations| table(of).owners().map(|one| one.unwrap().endpoint).collect::<Vec<_>>();
            assert_eq!(owners(&flapped), owners(&untouched));
            flapped.set_weight(endpoint, weight).unwrap();
        }
        assert_eq!(table(&flapped), table(&untouched));
        assert_eq!(table(&flapped).digest(), table(&untouched).digest());
    }
}

#[test]
fn a_node_that_was_deleted_and_added_again_has_other_rows() {
    let members = (0..13).map(|n| (node(n), 1));
    let untouched = Destinations::added(members).unwrap();
    let mut flapped = untouched.clone();
    flapped.remove(node(4)).unwrap();
    flapped.add(node(4), 1).unwrap();
    let effect = Effect::between(&table(&untouched), &table(&flapped));
    assert!(effect.moved > 0, "the order of destinations must matter, as it does in the kernel");
    assert!(effect.share() < 0.02, "{effect:?}");
    assert_ne!(table(&untouched).digest(), table(&flapped).digest());
}

#[test]
fn every_row_is_owned_in_proportion_to_the_weights_that_the_kernel_can_see() {
    let mut random = Sources(8);
    for index in 8..=14 {
        let size = Size::from_index(index).unwrap();
        for _ in 0..20 {
            let members: Vec<_> = (0..1 + random.below(8)).map(|n| (node(n), 1 + random.below(7))).collect();
            let scheme = Scheme { size, ..Scheme::of(Family::V4) };
            let table = Table::of(scheme, &Destinations::added(members.iter().copied()).unwrap()).unwrap();
            assert!(table.owners().all(|owner| owner.is_some()));
            let total: u32 = members.iter().map(|(_, weight)| weight).sum();
            for (endpoint, weight) in members {
                let ideal = f64::from(size.rows()) * f64::from(weight) / f64::from(total);
                let has = table.rows_of(endpoint) as f64;
                assert!((has - ideal).abs() <= 8.0, "{endpoint} has {has} of {ideal} rows");
            }
        }
    }
}

#[test]
fn a_flow_is_refused_only_where_nobody_is_available_or_there_is_no_fallback() {
    let mut some = Destinations::added((0..5).map(|n| (node(n), 10))).unwrap();
    for n in 0..4 {
        some.set_weight(node(n), 0).unwrap();
    }
    let mut sources = Sources(9);
    let without = Table::of(Scheme { fallback: false, ..Scheme::of(Family::V4) }, &some).unwrap();
    for _ in 0..1000 {
        let source = sources.flow(Family::V4);
        assert_eq!(table(&some).place(source).destination, Some(node(4)));
        let placed = without.place(source);
        assert_eq!(placed.destination, placed.owner.filter(|owner| *owner == node(4)));
    }
    some.set_weight(node(4), 0).unwrap();
    assert_eq!(table(&some).place(sources.flow(Family::V4)).destination, None);
    assert_eq!(table(&Destinations::new()).place(sources.flow(Family::V4)).owner, None);
}

#[test]
fn a_destination_added_with_weight_0_has_no_row_until_it_has_a_weight() {
    let mut all = Destinations::added([(node(1), 0)]).unwrap();
    assert_eq!(table(&all).rows_of(node(1)), 0);
    assert_eq!(table(&all).owner(0), None);
    all.add(node(2), 5).unwrap();
    assert_eq!(table(&all).rows_of(node(2)), 4093);
    all.set_weight(node(1), 5).unwrap();
    assert!(table(&all).rows_of(node(1)) > 2000);
}

#[test]
fn a_change_is_foretold_as_it_then_happens() {
    let mut random = Sources(10);
    let mut all = Destinations::added((0..6).map(|n| (node(n), 1 + n))).unwrap();
    for _ in 0..100 {
        let endpoint = node(random.below(12));
        let change = match random.below(4) {
            0 => Change::Add { endpoint, weight: random.below(9) },
            1 => Change::Remove(endpoint),
            2 => Change::Drain(endpoint),
            _ => Change::Weight { endpoint, weight: random.below(9) },
        };
        let before = table(&all);
        let Ok((after, effect)) = change.effect(before.scheme(), &all) else { continue };
        change.apply(&mut all).unwrap();
        assert_eq!(after, table(&all));
        let mut elsewhere = 0;
        for _ in 0..2000 {
            let source = random.flow(Family::V4);
            elsewhere += u32::from(before.place(source).destination != after.place(source).destination);
        }
        let measured = f64::from(elsewhere) / 2000.0;
        assert!((measured - effect.flows_moved).abs() < 0.06, "{change:?}: {measured} of {effect:?}");
        if let Change::Drain(_) = change {
            assert_eq!(effect.moved, 0);
        }
    }
}

#[test]
fn adding_a_node_shuffles_few_rows_among_the_others() {
    let all = Destinations::added((0..13).map(|n| (node(n), 1))).unwrap();
    let add = Change::Add { endpoint: node(13), weight: 1 };
    let (after, effect) = add.effect(Scheme::of(Family::V4), &all).unwrap();
    assert_eq!(effect.moved as usize, after.rows_of(node(13)) + effect.shuffled as usize);
    assert!((0.071..0.11).contains(&effect.share()), "{effect:?}");
    assert!(effect.flows_refused == 0.0 && (effect.flows_moved - effect.share()).abs() < 0.01);
}

#[test]
fn what_the_kernel_refuses_is_refused() {
    let mut all = Destinations::added([(node(1), 1)]).unwrap();
    assert_eq!(all.add(node(1), 2), Err(DestinationsError::Present(node(1))));
    assert_eq!(all.set_weight(node(2), 2), Err(DestinationsError::Absent(node(2))));
    assert_eq!(all.remove(node(2)), Err(DestinationsError::Absent(node(2))));
    assert_eq!(all.set_weight(node(1), 1 << 31), Err(DestinationsError::Weight(1 << 31)));
    let crowd = Destinations::added((0..252).map(|n| (node(n), 1))).unwrap();
    let small = Scheme { size: Size::from_rows(251).unwrap(), ..Scheme::of(Family::V4) };
    assert_eq!(Table::of(small, &crowd), Err(TooMany { destinations: 252, limit: 251 }));
    assert_eq!(Size::from_rows(4096), None);
    assert_eq!(Size::from_index(18), None);
}

#[test]
fn a_dump_reads_back_as_what_was_added() {
    let all = Destinations::added((0..9).map(|n| (node(n), n))).unwrap();
    assert_eq!(Destinations::dumped(all.iter().copied()), all);
}
