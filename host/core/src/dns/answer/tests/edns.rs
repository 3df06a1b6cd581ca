//! The content of options, and the room that they take.

use super::ask::{Answer, Query, ask, settings, zone, zones};
use crate::dns::answer::{Responder, Settings, Static, Transport};
use crate::dns::cookie::Proof;
use crate::dns::record::Type;
use crate::dns::zone::Zones;

const CLIENT: [u8; 12] = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];

fn a() -> Query {
    ask("ns1.example.org", Type::A)
}

#[test]
fn the_identifier_is_told_to_those_who_ask() {
    let answer = a().edns(1232, &[0, 3, 0, 0]).answer().unwrap();
    assert_eq!(answer.option(3), Some(&b"dns-1"[..]));
    let silent = Responder::new(Settings::default());
    let (_, answer) = a().edns(1232, &[0, 3, 0, 0]).reply_of(&silent, &zones(), &mut Static).unwrap();
    assert_eq!(answer.opt.unwrap().3, []);
}

#[test]
fn a_cookie_that_was_given_proves_the_address_it_was_given_to() {
    let (responder, zones) = (Responder::new(settings()), zones());
    let (reply, answer) = a().edns(1232, &CLIENT).reply_of(&responder, &zones, &mut Static).unwrap();
    assert_eq!(reply.proof, Proof::Asked);
    let cookie = answer.option(10).unwrap().to_vec();
    assert_eq!((cookie.len(), &cookie[..8]), (24, &CLIENT[4..]));
    let option = [&[0, 10, 0, 24][..], &cookie].concat();
    let again = a().edns(1232, &option);
    let (reply, answer) = again.reply_of(&responder, &zones, &mut Static).unwrap();
    assert_eq!((reply.proof, answer.option(10)), (Proof::Valid, Some(cookie.as_slice())));
    let elsewhere = Query { from: "203.0.113.6".parse().unwrap(), ..again };
    assert_eq!(elsewhere.reply_of(&responder, &zones, &mut Static).unwrap().0.proof, Proof::Wrong);
}

#[test]
fn without_secrets_cookies_are_ignored() {
    let (responder, zones) = (Responder::new(Settings::default()), zones());
    let (reply, answer) = a().edns(1232, &CLIENT).reply_of(&responder, &zones, &mut Static).unwrap();
    assert_eq!((reply.proof, answer.option(10), answer.rcode), (Proof::None, None, 0));
}

#[test]
fn a_static_answer_holds_for_every_subnet_and_repeats_it_to_the_bit() {
    let answer = a().edns(1232, &[0, 8, 0, 7, 0, 1, 20, 0, 192, 0, 0x20]).answer().unwrap();
    assert_eq!(answer.option(8), Some(&[0, 1, 20, 0, 192, 0, 0x20][..]));
    let answer = a().answer().unwrap();
    assert_eq!(answer.opt, None, "no subnet asked, none answered");
}

#[test]
fn keepalive_is_in_tenths_of_a_second() {
    let answer = a().edns(1232, &[0, 11, 0, 0]).tcp().answer().unwrap();
    assert_eq!(answer.option(11), Some(&300u16.to_be_bytes()[..]));
}

#[test]
fn every_option_and_the_longest_name_fit_in_the_smallest_answer() {
    let mut settings = settings();
    settings.nsid = vec![b'x'; 5000];
    let label = "a".repeat(61);
    let name = [label.as_str(); 4].join(".") + ".nl";
    let options = [
        &[0, 3, 0, 0][..],
        &CLIENT,
        &[0, 8, 0, 20, 0, 2, 128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        &[0, 11, 0, 0],
    ]
    .concat();
    let query = ask(&name, Type::TXT).edns(512, &options);
    let zones = Zones::new([zone("nl", "@ 1 SOA a b 1 2 3 4 5\n@ NS a\n* TXT \"x\"\n")]).unwrap();
    let (_, answer) = query.reply_of(&Responder::new(settings), &zones, &mut Static).unwrap();
    assert_eq!(answer.opt.unwrap().3.len(), 3);
    assert!(answer.length <= 512, "{}", answer.length);
}

#[test]
fn the_configured_size_is_the_limit_and_is_said() {
    let responder = Responder::new(Settings { udp_size: 600, ..Settings::default() });
    let query = ask("big.example.org", Type::TXT).edns(4096, &[]);
    let zones = zones();
    let (reply, answer) = query.reply_of(&responder, &zones, &mut Static).unwrap();
    assert!(reply.truncated);
    assert_eq!(answer.opt.unwrap().0, 600);
}

#[test]
fn a_client_that_has_had_enough_is_told_to_come_over_tcp() {
    let responder = Responder::new(settings());
    let mut out = Vec::new();
    assert!(responder.truncated(&a().edns(1232, &[0, 3, 0, 0]).request(), &mut out));
    let answer = Answer::read(&out).unwrap();
    assert_eq!((answer.has("tc"), answer.is_empty(), answer.rcode, answer.id), (true, true, 0, 0x1234));
    assert_eq!(answer.opt.unwrap().3, []);
    assert!(!responder.truncated(&Query::raw(vec![0; 11]).request(), &mut out) && out.is_empty());
}

#[test]
fn a_client_that_has_had_enough_learns_a_cookie_that_frees_it() {
    let (responder, zones) = (Responder::new(settings()), zones());
    // One that has none, and one whose cookie is another's, or from before.
    for option in [CLIENT.to_vec(), [&[0, 10, 0, 24][..], &CLIENT[4..], &[1; 16]].concat()] {
        let mut out = Vec::new();
        assert!(responder.truncated(&a().edns(1232, &option).request(), &mut out));
        let answer = Answer::read(&out).unwrap();
        assert!(answer.has("tc") && answer.is_empty());
        let cookie = [&[0, 10, 0, 24][..], answer.option(10).unwrap()].concat();
        let (reply, _) = a().edns(1232, &cookie).reply_of(&responder, &zones, &mut Static).unwrap();
        assert_eq!(reply.proof, Proof::Valid);
    }
    let mut out = Vec::new();
    let silent = Responder::new(Settings::default());
    assert!(silent.truncated(&a().edns(1232, &CLIENT).request(), &mut out));
    assert_eq!(Answer::read(&out).unwrap().option(10), None, "cookies are off");
    // The longest name and a cookie fit in the smallest answer.
    let name = ["a".repeat(61).as_str(); 4].join(".") + ".nl";
    assert!(responder.truncated(&ask(&name, Type::A).edns(512, &CLIENT).request(), &mut out));
    assert!(out.len() <= 512 && Answer::read(&out).unwrap().option(10).is_some());
}

#[test]
fn keepalive_is_told_where_a_connection_is_the_clients_to_keep() {
    for (transport, told) in Transport::ALL.into_iter().zip([false, true, true, false, false]) {
        let query = Query { transport, ..a().edns(1232, &[0, 11, 0, 0]) };
        assert_eq!(query.answer().unwrap().option(11).is_some(), told, "{transport:?}");
    }
}

#[test]
fn those_who_pad_over_an_encrypted_transport_get_whole_blocks() {
    const PADDED: [u8; 8] = [0, 12, 0, 4, 0, 0, 0, 0];
    for (transport, padded) in Transport::ALL.into_iter().zip([false, false, true, true, true]) {
        let of = |query: Query| Query { transport, ..query }.answer().unwrap();
        let answer = of(a().edns(1232, &PADDED));
        assert_eq!((answer.option(12).is_some(), answer.length == 468), (padded, padded), "{transport:?}");
        assert_eq!(of(a().edns(1232, &[])).option(12), None, "nobody asked");
        // With all other options, and where there is no such name.
        let options = [&[0, 3, 0, 0][..], &CLIENT, &PADDED].concat();
        let answer = of(ask("none.example.org", Type::A).edns(1232, &options));
        assert_eq!((answer.option(3).is_some(), answer.option(10).is_some()), (true, true));
        assert_eq!(answer.length.is_multiple_of(468), padded);
        if let Some(padding) = answer.option(12) {
            assert!(padding.iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn padding_ends_at_whole_blocks_and_at_the_longest_message() {
    // One TXT record that makes the answer, with an empty padding option, this long.
    let answer = |length: usize| {
        let mut rest = length - 12 - 10 - 12 - 11 - 4;
        let mut text = String::new();
        while rest > 0 {
            let part = rest.min(256) - 1;
            text.push_str(&format!(" \"{}\"", "x".repeat(part)));
            rest -= part + 1;
        }
        let zones =
            Zones::new([zone("a.nl", &format!("@ 1 SOA a b 1 2 3 4 5\n@ NS a\n@ TXT {text}\n"))]).unwrap();
        let query = Query { transport: Transport::Tls, ..ask("a.nl", Type::TXT).edns(1232, &[0, 12, 0, 0]) };
        let answer = query.answer_of(&zones, &mut Static).unwrap();
        (answer.option(12).unwrap().len(), answer.length)
    };
    assert_eq!(answer(467), (1, 468));
    assert_eq!(answer(468), (0, 468));
    assert_eq!(answer(469), (467, 936));
    assert_eq!(answer(65520), (0, 65520));
    assert_eq!(answer(65530), (5, 65535));
    assert_eq!(answer(65535), (0, 65535));
}
