//! What is told, how little of it, and how it is taken back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::time::Moment;

fn resolved(adverts: &Adverts, settings: &Settings) -> BTreeMap<Prefix, Attributes> {
    let hops = NextHops { v4: Some(id(1)), ..settings.next_hop };
    adverts.resolve(settings, &settings.families, hops)
}

fn ours(adverts: impl IntoIterator<Item = Advert>) -> BTreeMap<Prefix, Attributes> {
    resolved(&Adverts::new(adverts).unwrap(), &settings(1))
}

#[test]
fn prefixes_with_equal_attributes_share_an_update_and_nothing_is_said_twice() {
    let mut outbox = Outbox::default();
    let all =
        || ours([advert("198.51.100.1/32"), advert("198.51.100.2/32"), advert("2001:db8::1/128").med(7)]);
    let updates = outbox.set(all());
    assert_eq!(updates.len(), 2);
    assert_eq!(updates[0].announced.as_ref().unwrap().1.len(), 2);
    assert_eq!(outbox.set(all()), []);

    let changed = ours([advert("198.51.100.1/32"), advert("198.51.100.2/32").med(1)]);
    let updates = outbox.set(changed);
    assert_eq!(updates[0].withdrawn, [prefix("2001:db8::1/128")]);
    assert_eq!(updates[1].announced.as_ref().unwrap().1, [prefix("198.51.100.2/32")]);
    assert_eq!(updates.len(), 2, "the other prefix is as it was");
    assert_eq!(outbox.repeat(Family::Ipv4).len(), 2);
    assert_eq!(outbox.repeat(Family::Ipv6), []);
}

#[test]
fn what_a_neighbor_is_told_depends_on_whose_as_it_is_in() {
    let advert = advert("198.51.100.1/32").local_preference(200).prepend(2).bandwidth(1_250_000_000);
    let adverts = Adverts::new([advert]).unwrap();
    let inside = resolved(&adverts, &settings(1));
    let inside = inside.values().next().unwrap();
    assert_eq!((inside.as_path.len(), inside.local_preference), (0, Some(200)));
    let outside = resolved(&adverts, &Settings { peer_as: 65001, ..settings(1) });
    let outside = outside.values().next().unwrap();
    assert_eq!((&outside.as_path[..], outside.local_preference), (&[65000; 3][..], None));
    assert_eq!(outside.extended_communities, [[0x40, 4, 0xfd, 0xe8, 0x4e, 0x95, 0x02, 0xf9]]);
}

#[test]
fn no_update_is_larger_than_a_message() {
    let heavy = |n: u32| {
        let communities = (0..100).map(|c| Community(65000, c));
        Advert::of(Prefix::host(std::net::Ipv6Addr::from_bits(u128::from(n) << 8).into()))
            .communities(communities)
    };
    let mut outbox = Outbox::default();
    let updates = outbox.set(ours((0..5000).map(heavy)));
    let mut told = 0;
    for update in &updates {
        let (attributes, prefixes) = update.announced.as_ref().unwrap();
        // Header and lengths, MP_REACH_NLRI, ORIGIN, AS_PATH, LOCAL_PREF, COMMUNITIES with two bytes of length.
        let size =
            23 + (4 + 5 + 16) + 4 + 4 + 7 + (4 + 4 * attributes.communities.len()) + 17 * prefixes.len();
        assert!(size <= 4096, "{size} bytes");
        told += prefixes.len();
    }
    assert_eq!(told, 5000);
    assert!(updates.len() <= 26);
    let gone = outbox.set(BTreeMap::new());
    assert!(gone.iter().all(|update| 30 + 17 * update.withdrawn.len() <= 4096));
    assert_eq!(gone.iter().map(|update| update.withdrawn.len()).sum::<usize>(), 5000);
}

#[test]
fn any_sequence_of_sets_leaves_the_neighbor_with_the_last_one() {
    let mut random = Random(11);
    let mut outbox = Outbox::default();
    let mut theirs: BTreeMap<Prefix, Attributes> = BTreeMap::new();
    for _ in 0..500 {
        let count = random.below(12);
        let wanted: BTreeMap<_, _> = (0..count)
            .map(|_| advert(&format!("198.51.100.{}/32", random.below(16))).med(random.below(3) as u32))
            .map(|advert| (advert.prefix(), advert))
            .collect();
        let wanted = ours(wanted.into_values());
        for update in outbox.set(wanted.clone()) {
            assert!(!update.is_end_of_rib());
            for prefix in update.withdrawn {
                assert!(theirs.remove(&prefix).is_some(), "{prefix} was not announced");
            }
            if let Some((attributes, prefixes)) = update.announced {
                for prefix in prefixes {
                    assert_ne!(
                        theirs.insert(prefix, attributes.clone()),
                        Some(attributes.clone()),
                        "said twice"
                    );
                }
            }
        }
        assert_eq!(theirs, wanted);
    }
}

#[test]
fn a_graceful_leave_asks_then_withdraws_then_ends() {
    let at = Moment::from_micros;
    let pauses = Pauses { fade: Duration::from_micros(10), drain: Duration::from_micros(5) };
    let adverts = Adverts::new([advert("198.51.100.1/32").local_preference(300)]).unwrap();
    let mut leave = Maintenance::new(pauses);
    assert!(leave.adverts(&adverts).is_empty(), "nothing before the first checks");
    assert_eq!(leave.wish(Wish::Announce, at(0)), Stage::Announced);
    assert_eq!(leave.adverts(&adverts), adverts);

    assert_eq!(leave.wish(Wish::Leave, at(1)), Stage::Fading);
    let faded = resolved(&leave.adverts(&adverts), &settings(1));
    let faded = faded.values().next().unwrap();
    assert_eq!(
        (&faded.communities[..], faded.local_preference),
        (&[Community::GRACEFUL_SHUTDOWN][..], Some(0))
    );
    assert_eq!(leave.deadline(), Some(at(11)));
    assert_eq!(leave.wish(Wish::Leave, at(5)), Stage::Fading);
    assert_eq!(leave.tick(at(10)), Stage::Fading);
    assert_eq!(leave.tick(at(11)), Stage::Withdrawn);
    assert!(leave.adverts(&adverts).is_empty());
    assert_eq!(leave.deadline(), None, "the session stays");

    assert_eq!(leave.wish(Wish::Stop, at(20)), Stage::Withdrawn);
    assert_eq!(leave.tick(at(25)), Stage::Done);
    assert_eq!(leave.wish(Wish::Announce, at(26)), Stage::Announced);
    assert_eq!(leave.wish(Wish::Withdraw, at(27)), Stage::Withdrawn);
    assert_eq!(leave.wish(Wish::Announce, at(28)), Stage::Announced);
    assert_eq!(leave.wish(Wish::Stop, at(30)), Stage::Fading);
    assert_eq!(leave.tick(at(100)), Stage::Withdrawn, "late, and still not both at once");
    assert_eq!(leave.tick(at(105)), Stage::Done);
}

#[test]
fn a_shutdown_text_survives_its_way_and_a_hostile_one_is_made_harmless() {
    let long = "é".repeat(200);
    let said = Notification::cease_with(Cease::Shutdown, &long);
    assert_eq!(said.data.len(), 255);
    assert_eq!(said.text().unwrap().chars().count(), 127);
    let hostile =
        Notification { data: b"\x05a\n\xff\x1b[rest".to_vec(), ..Notification::cease(Cease::Reset) };
    assert_eq!(hostile.text().unwrap(), "a \u{fffd} [");
    assert_eq!(
        Notification { data: vec![200, b'x'], ..Notification::cease(Cease::Reset) }.text().unwrap(),
        "x"
    );
    assert_eq!(Notification::cease(Cease::Shutdown).text(), None);
    assert_eq!(Notification { data: b"\x01x".to_vec(), ..Notification::new(2, 2) }.text(), None);
    assert_eq!(
        Notification::cease_with(Cease::Shutdown, "kernel update").to_string(),
        "administrative shutdown (6/2): \"kernel update\""
    );
}

#[test]
fn a_set_that_cannot_be_is_refused() {
    let one = || advert("198.51.100.1/32");
    assert_eq!(Adverts::new([one(), one().med(1)]), Err(AdvertError::Twice(one().prefix())));
    let many = one().communities((0..101).map(|n| Community(1, n)));
    assert_eq!(Adverts::new([many]), Err(AdvertError::Communities(one().prefix(), 101)));
    assert!(Prefix::new("198.51.100.1".parse().unwrap(), 24).is_err());
    assert!(Prefix::new("2001:db8::".parse().unwrap(), 129).is_err());
    assert!(Prefix::new("::".parse().unwrap(), 0).is_ok());
}
