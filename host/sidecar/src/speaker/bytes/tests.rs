//! Known bytes, and each fault with its answer.

use std::net::{IpAddr, Ipv4Addr};

use weir_core::bgp::{
    Attributes, Capability, Community, LargeCommunity, NextHop, Open, Origin, Prefix, Update,
};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// With the header before it.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (HEADER + body.len()) as u16;
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn attributes(next_hop: &str) -> Attributes {
    Attributes {
        origin: Origin::Igp,
        as_path: vec![65001],
        next_hop: NextHop { address: next_hop.parse().unwrap(), link_local: None },
        med: None,
        local_preference: None,
        communities: Vec::new(),
        large_communities: Vec::new(),
        extended_communities: Vec::new(),
    }
}

fn open() -> Open {
    Open {
        version: 4,
        as_field: 23456,
        hold_seconds: 9,
        id: Ipv4Addr::new(192, 0, 2, 1),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4),
            Capability::Multiprotocol(Family::Ipv6),
            Capability::RouteRefresh,
            Capability::FourOctetAs(4_200_000_001),
            Capability::GracefulRestart {
                restarted: true,
                notification: false,
                seconds: 120,
                families: vec![(Family::Ipv6, true), (Family::Ipv4, false)],
            },
        ],
    }
}

fn announcement(family: Family) -> Update {
    let (hop, net) = match family {
        Family::Ipv4 => ("192.0.2.1", "198.51.100.1/32"),
        Family::Ipv6 => ("2001:db8::1", "2001:db8::c633:6401/128"),
    };
    Update { family, withdrawn: Vec::new(), announced: Some((attributes(hop), vec![prefix(net)])) }
}

fn rich() -> Attributes {
    Attributes {
        as_path: vec![65001, 65001, 4_200_000_001],
        med: Some(50),
        local_preference: Some(200),
        communities: vec![Community(65000, 1), Community::GRACEFUL_SHUTDOWN, Community(0xffff, 0xff01)],
        large_communities: vec![LargeCommunity(65000, 1, 2)],
        extended_communities: vec![[0x40, 4, 0xfd, 0xe8, 0x4c, 0xee, 0x6b, 0x28]],
        ..attributes("192.0.2.1")
    }
}

fn bytes_of(message: &Message, wide: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, wide, &mut bytes).unwrap();
    assert_eq!(whole(&bytes), Ok(Some(bytes.len())));
    bytes
}

fn again(message: &Message, wide: bool) {
    assert_eq!(decode(&bytes_of(message, wide), wide), Ok(vec![message.clone()]));
}

#[test]
fn an_open_has_the_bytes_of_the_rfc_and_hides_a_large_as_number_from_the_two_byte_field() {
    let body = "04 5ba0 0009 c0000201 22 02 20
        01 04 0001 00 01  01 04 0002 00 01  02 00  41 04 fa56ea01  40 0a 8078 0002 01 80 0001 01 00";
    assert_eq!(bytes_of(&Message::Open(open()), false), message(OPEN, &hex(body)));
    again(&Message::Open(open()), false);
    let plain = Open { capabilities: Vec::new(), ..open() };
    assert_eq!(bytes_of(&Message::Open(plain), false), message(OPEN, &hex("04 5ba0 0009 c0000201 00")));
}

#[test]
fn an_ipv4_announcement_has_the_bytes_of_the_rfc() {
    let body = "0000 0014  40 01 01 00  40 02 06 02 01 0000fde9  40 03 04 c0000201  20 c6336401";
    let update = Message::Update(announcement(Family::Ipv4));
    assert_eq!(bytes_of(&update, true), message(UPDATE, &hex(body)));
    again(&update, true);
}

#[test]
fn an_ipv6_announcement_begins_with_its_prefixes() {
    let body = "0000 0036
        80 0e 26 0002 01 10 20010db8000000000000000000000001 00 80 20010db80000000000000000c6336401
        40 01 01 00  40 02 06 02 01 0000fde9";
    let update = Message::Update(announcement(Family::Ipv6));
    assert_eq!(bytes_of(&update, true), message(UPDATE, &hex(body)));
    again(&update, true);
}

#[test]
fn a_link_local_next_hop_stands_beside_the_global_one() {
    let mut update = announcement(Family::Ipv6);
    update.announced.as_mut().unwrap().0.next_hop.link_local = Some("fe80::1".parse().unwrap());
    let bytes = bytes_of(&Message::Update(update.clone()), true);
    assert_eq!(bytes[HEADER + 4 + 3 + 3], 32, "the length of the next hop");
    again(&Message::Update(update), true);
}

#[test]
fn withdrawals_and_ends_of_rib_have_the_bytes_of_the_rfc() {
    let gone = |family, net| Update { family, withdrawn: vec![prefix(net)], announced: None };
    for (update, body) in [
        (Update::end_of_rib(Family::Ipv4), "0000 0000"),
        (Update::end_of_rib(Family::Ipv6), "0000 0006 80 0f 03 0002 01"),
        (gone(Family::Ipv4, "198.51.100.0/23"), "0004 17 c63364 0000"),
        (gone(Family::Ipv6, "2001:db8::/32"), "0000 000b 80 0f 08 0002 01 20 20010db8"),
    ] {
        let update = Message::Update(update);
        assert_eq!(bytes_of(&update, true), message(UPDATE, &hex(body)));
        again(&update, true);
    }
}

#[test]
fn all_that_an_advert_can_have_survives_either_width_of_as_numbers() {
    let update = Update {
        family: Family::Ipv4,
        withdrawn: vec![prefix("203.0.113.0/24")],
        announced: Some((rich(), vec![prefix("198.51.100.1/32"), prefix("0.0.0.0/0")])),
    };
    for wide in [true, false] {
        again(&Message::Update(update.clone()), wide);
    }
}

#[test]
fn a_narrow_neighbor_gets_the_stand_in_and_the_real_path_beside_it() {
    let mut update = announcement(Family::Ipv4);
    update.announced.as_mut().unwrap().0.as_path = vec![65001, 4_200_000_001];
    let body = "0000 0021  40 01 01 00  40 02 06 02 02 fde9 5ba0  40 03 04 c0000201
        c0 11 0a 02 02 0000fde9 fa56ea01  20 c6336401";
    assert_eq!(bytes_of(&Message::Update(update), false), message(UPDATE, &hex(body)));
}

#[test]
fn a_path_within_an_as_has_no_segment() {
    let mut update = announcement(Family::Ipv4);
    update.announced.as_mut().unwrap().0.as_path.clear();
    let bytes = bytes_of(&Message::Update(update.clone()), true);
    assert_eq!(bytes[HEADER + 8..HEADER + 11], [0x40, 2, 0]);
    again(&Message::Update(update), true);
}

#[test]
fn a_hundred_communities_need_an_extended_length_and_get_it() {
    let mut update = announcement(Family::Ipv4);
    update.announced.as_mut().unwrap().0.communities = (0..100).map(|n| Community(65000, n)).collect();
    let bytes = bytes_of(&Message::Update(update.clone()), true);
    let at = bytes.windows(4).position(|four| four == [0xd0, 8, 1, 0x90]);
    assert!(at.is_some(), "flags with the extended bit, then two bytes of length");
    again(&Message::Update(update), true);
}

#[test]
fn what_is_longer_than_a_message_can_be_is_not_sent_at_all() {
    let mut update = announcement(Family::Ipv4);
    update.withdrawn =
        (0..900).map(|n| Prefix::host(IpAddr::from([10, 0, (n >> 8) as u8, n as u8]))).collect();
    let mut bytes = vec![1, 2, 3];
    let error = encode(&Message::Update(update), true, &mut bytes).unwrap_err();
    assert!(matches!(error, Unsayable::Length(4548)), "{error}");
    assert_eq!(bytes, [1, 2, 3]);
}

#[test]
fn the_smaller_messages_have_the_bytes_of_their_rfcs() {
    let text = Notification::cease_with(weir_core::bgp::Cease::Shutdown, "bye");
    for (said, bytes) in [
        (Message::Keepalive, message(KEEPALIVE, &[])),
        (Message::Notification(text), message(NOTIFICATION, &[6, 2, 3, b'b', b'y', b'e'])),
        (Message::RouteRefresh(Some(Family::Ipv6)), message(ROUTE_REFRESH, &[0, 2, 0, 1])),
        (Message::RouteRefresh(Some(Family::Ipv4)), message(ROUTE_REFRESH, &[0, 1, 0, 1])),
    ] {
        assert_eq!(bytes_of(&said, true), bytes);
        again(&said, true);
    }
    for other in [[0, 1, 1, 1], [0, 1, 0, 2], [0x40, 4, 0, 71]] {
        assert_eq!(decode(&message(ROUTE_REFRESH, &other), true), Ok(vec![Message::RouteRefresh(None)]));
    }
}

#[test]
fn headers_are_checked_as_soon_as_they_are_there() {
    let good = message(KEEPALIVE, &[]);
    for some in 0..HEADER {
        assert_eq!(whole(&good[..some]), Ok(None));
    }
    assert_eq!(whole(&[good.clone(), good.clone()].concat()), Ok(Some(HEADER)));
    let mut unsynchronized = good.clone();
    unsynchronized[3] = 0;
    assert_eq!(whole(&unsynchronized[..4]), Err(Notification::new(1, 1)));
    let with = |length: u16, kind: u8| {
        let mut bytes = good.clone();
        bytes[16..18].copy_from_slice(&length.to_be_bytes());
        bytes[18] = kind;
        whole(&bytes)
    };
    let length =
        |length: u16| Err(Notification { data: length.to_be_bytes().to_vec(), ..Notification::new(1, 2) });
    for (wrong, kind) in [
        (18, KEEPALIVE),
        (20, KEEPALIVE),
        (28, OPEN),
        (22, UPDATE),
        (20, NOTIFICATION),
        (22, ROUTE_REFRESH),
        (4097, UPDATE),
        (65535, 77),
        (0, 77),
    ] {
        assert_eq!(with(wrong, kind), length(wrong), "length {wrong}, type {kind}");
    }
    for (right, kind) in [(29, OPEN), (23, UPDATE), (21, NOTIFICATION), (23, ROUTE_REFRESH), (4096, UPDATE)] {
        assert_eq!(with(right, kind), Ok(None), "length {right}, type {kind}");
    }
    for kind in [0, 6, 255] {
        assert_eq!(with(30, kind), Err(Notification { data: vec![kind], ..Notification::new(1, 3) }));
    }
}

#[test]
fn an_open_whose_lengths_lie_is_answered_and_not_guessed_at() {
    let fixed = "04 fde8 0009 c0000202";
    let answer = |rest: &str| match decode(&message(OPEN, &hex(&format!("{fixed} {rest}"))), true) {
        Err(Fault::Answer(why)) => (why.code, why.subcode),
        other => unreachable!("{other:?}"),
    };
    // More and less than there is; a parameter that ends behind the end; a capability that does.
    for lie in ["01", "02 02", "00 02 00", "03 02 02 41", "04 02 02 41 04", "ff ff 0004 02 0004 41"] {
        assert_eq!(answer(lie), (2, 0), "{lie}");
    }
    // Authentication of the old days, and something new.
    assert_eq!(answer("03 01 01 00"), (2, 4));
    assert_eq!(answer("02 63 00"), (2, 4));
}

#[test]
fn an_open_of_another_version_or_with_unknown_capabilities_is_read() {
    let Ok(read) = decode(&message(OPEN, &hex("03 fde8 0009 c0000202 00")), true) else { unreachable!() };
    assert!(matches!(&read[..], [Message::Open(Open { version: 3, .. })]));
    // VPN routes, enhanced refresh, a name, an unknown one; IPv6 in the extended form of the parameters.
    let body = "04 fde8 0009 c0000202 ff ff 0018 02 0015
        01 04 0001 00 80  46 00  49 03 02 6c62  ea 00  01 04 0002 00 01";
    let body = hex(body);
    let Ok(read) = decode(&message(OPEN, &body), true) else { unreachable!() };
    let [Message::Open(open)] = &read[..] else { unreachable!() };
    let codes: Vec<_> = open
        .capabilities
        .iter()
        .map(|one| match one {
            Capability::Multiprotocol(family) => Err(*family),
            Capability::Other { code, .. } => Ok(*code),
            other => unreachable!("{other:?}"),
        })
        .collect();
    assert_eq!(codes, [Ok(1), Ok(0x46), Ok(0x49), Ok(0xea), Err(Family::Ipv6)]);
}

fn update(body: &str) -> Result<Vec<Message>, Fault> {
    decode(&message(UPDATE, &hex(body)), true)
}

#[test]
fn an_update_whose_frame_is_broken_ends_the_session() {
    for body in [
        "0005 0000",
        "0000 0001",
        "0001 00 0001",
        // Two MP_UNREACH_NLRI.
        "0000 000c 80 0f 03 0002 01 80 0f 03 0002 01",
    ] {
        assert_eq!(update(body), Err(Fault::Answer(Notification::new(3, 1))), "{body}");
    }
}

#[test]
fn an_update_with_a_broken_attribute_or_prefix_ends_nothing() {
    for body in [
        // ORIGIN longer than the attributes; of length 2; with the flags of another.
        "0000 0004 40 01 09 00",
        "0000 0015 40 01 02 0000 40 02 06 02 01 0000fde9 40 03 04 c0000201 20 c6336401",
        "0000 0014 c0 01 01 00 40 02 06 02 01 0000fde9 40 03 04 c0000201 20 c6336401",
        // No NEXT_HOP; no attributes at all.
        "0000 000d 40 01 01 00 40 02 06 02 01 0000fde9 20 c6336401",
        "0000 0000 20 c6336401",
        // A prefix of 33 bits; one that ends early.
        "0000 0014 40 01 01 00 40 02 06 02 01 0000fde9 40 03 04 c0000201 21 c633640100",
        "0002 20 c6 0000",
    ] {
        assert_eq!(update(body), Err(Fault::Unread), "{body}");
    }
}

#[test]
fn what_is_nothing_to_us_is_left_out_before_anybody_reads_it() {
    // AGGREGATOR of a wrong length, an unknown attribute, link state, VPN routes; the first of two MED counts.
    let body = "0000 0036
        40 01 01 00  40 02 06 02 01 0000fde9  40 03 04 c0000201
        80 04 04 00000001  80 04 04 00000002  c0 07 01 00  c0 63 00
        80 0e 07 4004 47 00 00 0000  80 0f 03 0001 80  20 c6336401";
    let body = hex(body);
    let mut fixed = body;
    let length = (fixed.len() - 4 - 5) as u16;
    fixed[2..4].copy_from_slice(&length.to_be_bytes());
    let Ok(read) = decode(&message(UPDATE, &fixed), true) else { unreachable!() };
    let mut wanted = announcement(Family::Ipv4);
    wanted.announced.as_mut().unwrap().0.med = Some(1);
    assert_eq!(read, [Message::Update(wanted)]);
}

#[test]
fn an_update_of_both_families_is_read_as_two() {
    let body = "0004 17 c63364 000b 80 0f 08 0002 01 20 20010db8";
    let Ok(read) = update(body) else { unreachable!() };
    let gone =
        |family, net| Message::Update(Update { family, withdrawn: vec![prefix(net)], announced: None });
    assert_eq!(read, [gone(Family::Ipv6, "2001:db8::/32"), gone(Family::Ipv4, "198.51.100.0/23")]);
}

#[test]
fn bits_behind_a_prefix_do_not_count() {
    let Ok(read) = update("0004 17 c63365 0000") else { unreachable!() };
    let gone = Update { family: Family::Ipv4, withdrawn: vec![prefix("198.51.100.0/23")], announced: None };
    assert_eq!(read, [Message::Update(gone)]);
}

#[test]
fn a_default_route_among_others_is_no_path_identifier() {
    let all = |nets: &[&str]| nets.iter().map(|net| prefix(net)).collect::<Vec<_>>();
    for (family, nets) in [
        (Family::Ipv6, all(&["::/0", "2001:db8::/32", "2001:db8:d::/48"])),
        (Family::Ipv4, all(&["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/8"])),
    ] {
        let mut update = announcement(family);
        update.announced.as_mut().unwrap().1 = nets.clone();
        again(&Message::Update(update), true);
        again(&Message::Update(Update { family, withdrawn: nets, announced: None }), true);
    }
}
