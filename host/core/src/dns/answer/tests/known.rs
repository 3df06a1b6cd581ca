//! An answer that is given again is the one that would be given.

use super::ask::{Query, ask, settings, zone, zones};
use crate::dns::answer::known::{Known, Said};
use crate::dns::answer::{Asked, Decision, Policies, Request, Responder, Static};
use crate::dns::record::Type;
use crate::dns::zone::Zones;

/// Asks so often that whatever is kept is kept; the answers, and which of them were known.
fn rounds(
    known: &mut Known,
    query: &Query,
    zones: &Zones,
    policies: &mut dyn Policies,
) -> (usize, Vec<Vec<u8>>) {
    let responder = Responder::new(settings());
    let (mut repeated, mut answers) = (0, Vec::new());
    for turn in 0..24 {
        let mut message = query.bytes.clone();
        message[1] = u8::try_from(turn).unwrap();
        let request =
            Request { message: &message, from: query.from, transport: query.transport, now: turn, turn };
        let mut right = Vec::new();
        let reply = responder.respond(&request, zones, policies, &mut right).unwrap();
        let mut said = Vec::new();
        match known.say(&message, turn, &mut said) {
            Some(known) => {
                assert_eq!(said, right);
                assert_eq!(known, Said { rcode: reply.rcode, truncated: reply.truncated, how: reply.how });
                repeated += 1;
            }
            None => known.learn(&message, turn, &reply, &right),
        }
        answers.push(right);
    }
    (repeated, answers)
}

fn repeated(query: &Query) -> usize {
    rounds(&mut Known::new(1), query, &zones(), &mut Static).0
}

#[test]
fn what_depends_on_the_zones_alone_is_given_again_in_every_turn() {
    // Twice until it is kept, and the second has the first of its turns already.
    assert_eq!(repeated(&ask("mail.example.org", Type::A)), 22);
    assert_eq!(repeated(&ask("no.example.org", Type::A)), 22);
    assert_eq!(repeated(&ask("x.sub.example.org", Type::A)), 22);
    assert_eq!(repeated(&ask("big.example.org", Type::TXT)), 22, "truncated");
    assert_eq!(repeated(&ask("mail.example.org", Type::A).edns(1232, &[])), 22);
    let two = zone(
        "two.test",
        "$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a.test.\n@ A 192.0.2.1\n@ A 192.0.2.2\nw CNAME @\n",
    );
    let two = Zones::new([two]).unwrap();
    for name in ["two.test", "w.two.test"] {
        let (repeated, answers) = rounds(&mut Known::new(1), &ask(name, Type::A), &two, &mut Static);
        assert_eq!(repeated, 21, "one more for the second turn");
        let orders: std::collections::BTreeSet<_> =
            answers.iter().map(|answer| answer[2..].to_vec()).collect();
        assert_eq!(orders.len(), 2, "each address is the first in turn");
    }
}

#[test]
fn what_depends_on_more_is_not() {
    // A policy decides, whether there is one or not.
    assert_eq!(repeated(&ask("www.example.org", Type::A)), 0);
    assert_eq!(repeated(&ask("alias.example.org", Type::A)), 0);
    assert_eq!(
        repeated(&ask("mail.example.org", Type::A).edns(1232, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])),
        0
    );
    assert_eq!(repeated(&ask("elsewhere.test", Type::A)), 0);
    struct Nobody;
    impl Policies for Nobody {
        fn decide(&mut self, _: &Asked<'_>) -> Option<Decision<'_>> {
            Some(Decision { addresses: &[], ttl: 5, scope: 0 })
        }
    }
    let query = ask("www.example.org", Type::A);
    assert_eq!(rounds(&mut Known::new(1), &query, &zones(), &mut Nobody).0, 0);
}

#[test]
fn another_message_of_any_kind_is_not_the_same_and_other_zones_begin_anew() {
    let (mut known, query) = (Known::new(1), ask("mail.example.org", Type::A));
    rounds(&mut known, &query, &zones(), &mut Static);
    let mut out = Vec::new();
    assert!(known.say(&query.bytes, 0, &mut out).is_some());
    for at in 2..query.bytes.len() {
        let mut other = query.bytes.clone();
        other[at] ^= 0x20;
        assert_eq!(known.say(&other, 0, &mut Vec::new()), None, "byte {at}");
    }
    for short in 0..query.bytes.len() {
        assert_eq!(known.say(&query.bytes[..short], 0, &mut Vec::new()), None);
    }
    known.clear();
    assert_eq!(known.say(&query.bytes, 0, &mut Vec::new()), None);
}
