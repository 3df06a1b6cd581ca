//! More than one zone, referrals that are too large, and zones of many names.

use std::fmt::Write as _;

use super::ask::{ask, zone};
use crate::dns::answer::Static;
use crate::dns::record::Type;
use crate::dns::zone::{Zones, ZonesError};

const HEAD: &str = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\n";

#[test]
fn the_zone_with_the_longest_origin_answers_and_ds_belongs_to_the_one_above() {
    let above = format!("{HEAD}sub NS ns.example.net.\nsub DS 1 8 2 abcd\n");
    let below = HEAD.replace(" ns h ", " below h ");
    let zones = Zones::new([zone("example.org", &above), zone("SUB.example.org", &below)]).unwrap();
    let answer = |name: &str, kind| ask(name, kind).answer_of(&zones, &mut Static).unwrap().sections.concat();
    let soa = ["sub.example.org. 5 SOA below.sub.example.org. h.sub.example.org."];
    assert_eq!(answer("x.sub.example.org", Type::A), soa);
    assert_eq!(answer("sub.example.org", Type::DS), ["sub.example.org. 60 DS 00010802abcd"]);
    assert_eq!(answer("x.sub.example.org", Type::DS), soa);
}

#[test]
fn the_root_can_be_a_zone() {
    let zones = Zones::new([zone(".", HEAD)]).unwrap();
    assert_eq!(ask("a.b", Type::A).answer_of(&zones, &mut Static).unwrap().rcode, 3);
    assert_eq!(ask(".", Type::NS).answer_of(&zones, &mut Static).unwrap().sections[0].len(), 1);
}

#[test]
fn one_origin_has_one_file() {
    let twice = Zones::new([zone("example.org", HEAD), zone("Example.ORG", HEAD)]);
    assert!(matches!(twice, Err(ZonesError::Twice(_))));
}

#[test]
fn no_zone_at_all_refuses() {
    assert_eq!(ask("a.b", Type::A).answer_of(&Zones::default(), &mut Static).unwrap().rcode, 5);
}

#[test]
fn glue_that_must_be_there_truncates_and_other_glue_is_left_out() {
    let mut below = HEAD.to_owned();
    let mut beside = HEAD.to_owned();
    for i in 0..12 {
        write!(below, "sub NS ns{i}.sub\nns{i}.sub A 192.0.2.{i}\nns{i}.sub AAAA 2001:db8::{i}\n").unwrap();
        write!(beside, "sub NS ns{i}\nns{i} A 192.0.2.{i}\nns{i} AAAA 2001:db8::{i}\n").unwrap();
    }
    let answer = |text: &str| {
        let zones = Zones::new([zone("example.org", text)]).unwrap();
        ask("x.sub.example.org", Type::A).answer_of(&zones, &mut Static).unwrap()
    };
    let cut = answer(&below);
    assert!(cut.has("tc") && cut.is_empty());
    let whole = answer(&beside);
    assert!(!whole.has("tc") && whole.sections[1].len() == 12 && whole.sections[2].len() < 24);
}

#[test]
fn glue_that_does_not_fit_is_left_out_by_whole_sets() {
    let mut text = HEAD.to_owned();
    for i in 0..8 {
        write!(text, "sub NS ns{i}\n@ NS ns{i}\n").unwrap();
        for j in 0..5 {
            write!(text, "ns{i} A 192.0.2.{j}\nns{i} AAAA 2001:db8::{j}\n").unwrap();
        }
    }
    let zones = Zones::new([zone("example.org", &text)]).unwrap();
    // By way of a referral, and by way of an answer.
    for (name, kind) in [("x.sub.example.org", Type::A), ("example.org", Type::NS)] {
        for size in 512..1232 {
            let answer = ask(name, kind).edns(size, &[]).answer_of(&zones, &mut Static).unwrap();
            let mut sets = std::collections::BTreeMap::new();
            for record in &answer.sections[2] {
                let words: Vec<_> = record.split(' ').collect();
                *sets.entry((words[0], words[2])).or_insert(0) += 1;
            }
            assert!(!answer.has("tc") && sets.values().all(|count| *count == 5), "{size}: {sets:?}");
            assert!(answer.length <= size.into());
        }
    }
}

#[test]
fn a_dname_to_a_name_that_is_too_long_says_so() {
    let long = ["a".repeat(60).as_str(); 3].join(".");
    let text = format!("{HEAD}old DNAME {long}.net.\n");
    let zones = Zones::new([zone("example.org", &text)]).unwrap();
    let name = format!("{}.{}.old.example.org", "b".repeat(60), "c".repeat(20));
    let answer = ask(&name, Type::A).answer_of(&zones, &mut Static).unwrap();
    assert_eq!((answer.rcode, answer.sections[0].len()), (6, 1), "YXDOMAIN with the DNAME");
}

#[test]
fn a_dname_that_leads_below_itself_ends() {
    let text = format!("{HEAD}around DNAME x.around\n");
    let zones = Zones::new([zone("example.org", &text)]).unwrap();
    let answer = ask("a.around.example.org", Type::A).answer_of(&zones, &mut Static).unwrap();
    let aliases = answer.sections[0].iter().filter(|r| r.contains(" CNAME ")).count();
    assert_eq!(
        (answer.sections[0].len(), aliases),
        (answer.sections[0].len().min(17), answer.sections[0].len() - 1)
    );
}

#[test]
fn names_below_a_cut_or_a_dname_are_hidden_wildcards_too() {
    let text = format!(
        "{HEAD}sub NS ns.example.net.\n*.sub A 192.0.2.1\na.b.sub NS ns.example.net.\nx.a.b.sub A 192.0.2.1\nold DNAME x.net.\n*.old A 192.0.2.1\n"
    );
    let zones = Zones::new([zone("example.org", &text)]).unwrap();
    let answer = |name: &str| ask(name, Type::A).answer_of(&zones, &mut Static).unwrap();
    for name in ["x.sub.example.org", "*.sub.example.org", "c.a.b.sub.example.org", "x.a.b.sub.example.org"] {
        assert_eq!(answer(name).sections.concat(), ["sub.example.org. 60 NS ns.example.net."], "{name}");
    }
    assert_eq!(answer("*.old.example.org").sections[0][1], "*.old.example.org. 60 CNAME *.x.net.");
}

#[test]
fn an_answer_of_thousands_of_records_is_whole_over_a_stream_up_to_its_limit() {
    let mut text = HEAD.to_owned();
    for i in 0..4000u32 {
        writeln!(text, "many A {}", std::net::Ipv4Addr::from(i)).unwrap();
    }
    for i in 0..4100u32 {
        writeln!(text, "more A {}", std::net::Ipv4Addr::from(i)).unwrap();
    }
    let zones = Zones::new([zone("example.org", &text)]).unwrap();
    let answer = |name: &str| ask(name, Type::A).tcp().answer_of(&zones, &mut Static).unwrap();
    assert_eq!(answer("many.example.org").sections[0].len(), 4000);
    let more = answer("more.example.org");
    assert!(more.has("tc") && more.is_empty(), "65535 bytes are all there is");
}

#[test]
fn a_name_of_a_hundred_labels_is_answered_in_a_zone_of_many_names() {
    let mut text = HEAD.to_owned();
    for i in 0..20_000u32 {
        writeln!(text, "h{i} A 192.0.2.1").unwrap();
    }
    let zones = Zones::new([zone("example.org", &text)]).unwrap();
    assert_eq!(zones.iter().map(|z| z.names()).sum::<usize>(), 20_001);
    let deep = "a.".repeat(100) + "h7.example.org";
    assert_eq!(ask(&deep, Type::A).answer_of(&zones, &mut Static).unwrap().rcode, 3);
}

#[test]
fn a_dname_that_leads_to_itself_is_sent_once() {
    let zones = Zones::new([zone("example.org", &format!("{HEAD}b DNAME @\n"))]).unwrap();
    let answer = ask("b.b.example.org", Type::DNAME).answer_of(&zones, &mut Static).unwrap();
    assert_eq!(
        answer.sections.concat(),
        ["b.example.org. 60 DNAME example.org.", "b.b.example.org. 60 CNAME b.example.org."]
    );
}
