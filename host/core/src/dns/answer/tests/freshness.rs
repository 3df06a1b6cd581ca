//! For how long an answer may be kept, by its own bytes.

use super::ask::{ask, settings, zone};
use crate::dns::answer::{Request, Responder, Static, Transport};
use crate::dns::record::Type;
use crate::dns::wire::lowest_ttl;
use crate::dns::zone::Zones;

#[test]
fn an_answer_is_kept_no_longer_than_its_shortest_record_and_a_denial_as_the_zone_says() {
    let text = "$TTL 3600\n@ SOA ns h 1 2 3 4 900\n@ NS ns\nns A 192.0.2.1\nalias 60 CNAME ns\nsub 120 NS ns.sub\n\
                ns.sub 30 A 192.0.2.2\n";
    let zones = Zones::new([zone("a.nl", text)]).unwrap();
    let responder = Responder::new(settings());
    let of = |name: &str, kind, options: Option<&[u8]>| {
        let query = ask(name, kind);
        let query = options.map_or_else(|| query.clone(), |options| query.clone().edns(1232, options));
        let request =
            Request { message: &query.bytes, from: query.from, transport: Transport::Https, now: 0, turn: 0 };
        let mut out = Vec::new();
        responder.respond(&request, &zones, &mut Static, &mut out).unwrap();
        lowest_ttl(&out)
    };
    assert_eq!(of("ns.a.nl", Type::A, None), Some(3600));
    assert_eq!(of("alias.a.nl", Type::A, None), Some(60));
    assert_eq!(of("none.a.nl", Type::A, None), Some(900));
    assert_eq!(of("ns.a.nl", Type::TXT, None), Some(900));
    assert_eq!(of("x.sub.a.nl", Type::A, None), Some(120), "glue stands in no section that counts");
    // The OPT record has no TTL, though flags stand where others have one.
    assert_eq!(of("ns.a.nl", Type::A, Some(&[0, 12, 0, 0])), Some(3600));
    assert_eq!(of("elsewhere.nl", Type::A, Some(&[])), None);
    assert_eq!(lowest_ttl(b"\0\0\x80\0\0\0\0\x01\0\0\0\0"), None, "cut short");
}
