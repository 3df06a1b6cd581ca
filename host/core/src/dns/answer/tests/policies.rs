//! Names whose addresses a policy decides.

use std::net::IpAddr;

use super::ask::{Query, ask, settings, zone, zones};
use crate::dns::answer::{Asked, Decision, How, MAX_ADDRESSES, Policies, Responder, Settings, Static};
use crate::dns::name::Name;
use crate::dns::record::Type;
use crate::dns::zone::Zones;

/// Decides always the same, and notes what it was asked.
struct Fixed {
    addresses: Vec<IpAddr>,
    ttl: u32,
    scope: u8,
    asked: Vec<String>,
}

impl Policies for Fixed {
    fn decide(&mut self, asked: &Asked<'_>) -> Option<Decision<'_>> {
        let name = Name::from_wire(asked.name).unwrap();
        self.asked
            .push(format!("{} {name} {} {}/{}", asked.record.policy, asked.kind, asked.client, asked.prefix));
        Some(Decision { addresses: &self.addresses, ttl: self.ttl, scope: self.scope })
    }
}

fn fixed(addresses: &[&str]) -> Fixed {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    Fixed { addresses, ttl: 30, scope: 24, asked: Vec::new() }
}

fn records(query: &Query, policies: &mut dyn Policies) -> Vec<String> {
    query.answer_of(&zones(), policies).unwrap().sections.concat()
}

#[test]
fn a_policy_decides_addresses_in_its_order_and_the_other_family_is_left_out() {
    let mut policy = fixed(&["198.51.100.9", "2001:db8::9", "198.51.100.8"]);
    let found = records(&ask("WWW.example.org", Type::A), &mut policy);
    assert_eq!(found, ["WWW.example.org. 30 A 198.51.100.9", "WWW.example.org. 30 A 198.51.100.8"]);
    let found = records(&ask("www.example.org", Type::AAAA), &mut policy);
    assert_eq!(found, ["www.example.org. 30 AAAA 2001:db8::9"]);
    assert_eq!(
        policy.asked,
        ["web WWW.example.org. A 203.0.113.5/32", "web www.example.org. AAAA 203.0.113.5/32"]
    );
}

#[test]
fn a_policy_is_asked_for_addresses_only_and_behind_aliases_as_well() {
    let mut policy = fixed(&["198.51.100.9"]);
    assert_eq!(
        records(&ask("alias.example.org", Type::A), &mut policy)[1],
        "www.example.org. 30 A 198.51.100.9"
    );
    records(&ask("www.example.org", Type::TXT), &mut policy);
    records(&ask("www.example.org", Type::ANY), &mut policy);
    records(&ask("ns1.example.org", Type::A), &mut policy);
    assert_eq!(policy.asked.len(), 1);
}

#[test]
fn the_record_in_the_zone_is_the_upper_limit_of_the_ttl() {
    let mut policy = Fixed { ttl: 86_400, ..fixed(&["198.51.100.9"]) };
    assert_eq!(
        records(&ask("www.example.org", Type::A), &mut policy),
        ["www.example.org. 60 A 198.51.100.9"]
    );
}

#[test]
fn no_address_is_no_data_and_is_not_kept_longer_than_the_decision() {
    for addresses in [&[][..], &["2001:db8::9"]] {
        let found = records(&ask("www.example.org", Type::A), &mut fixed(addresses));
        assert_eq!(found, ["example.org. 30 SOA ns1.example.org. hostmaster.example.org."]);
    }
}

#[test]
fn where_no_policy_decides_the_static_addresses_are_the_answer_and_take_turns() {
    let query = ask("www.example.org", Type::A);
    let [one, two] = ["www.example.org. 60 A 198.51.100.1", "www.example.org. 60 A 198.51.100.2"];
    assert_eq!(records(&query, &mut Static), [one, two]);
    assert_eq!(records(&Query { turn: 1, ..query.clone() }, &mut Static), [two, one]);
    assert_eq!(records(&Query { turn: u32::MAX - 1, ..query }, &mut Static), [one, two]);
}

#[test]
fn a_client_subnet_is_told_to_the_policy_and_its_scope_to_the_resolver() {
    let subnet = |prefix: u8, bytes: &[u8]| {
        let length = u8::try_from(4 + bytes.len()).unwrap();
        let option = [&[0, 8, 0, length, 0, 1, prefix, 0][..], bytes].concat();
        ask("www.example.org", Type::A).edns(1232, &option)
    };
    let responder = Responder::new(settings());
    let zones = zones();
    for (query, asked, scope) in [
        (subnet(24, &[192, 0, 2]), "web www.example.org. A 192.0.2.0/24", 24),
        // Never more bits than the resolver told.
        (subnet(20, &[192, 0, 32]), "web www.example.org. A 192.0.32.0/20", 20),
        // The client wants to be nobody: the resolver counts, and the answer is for all of its clients.
        (subnet(0, &[]), "web www.example.org. A 203.0.113.5/32", 0),
    ] {
        let mut policy = fixed(&["198.51.100.9"]);
        let (reply, answer) = query.reply_of(&responder, &zones, &mut policy).unwrap();
        assert_eq!(policy.asked, [asked]);
        assert_eq!((reply.scope, answer.option(8).unwrap()[3]), (scope, scope), "{asked}");
        assert_eq!((reply.how, reply.policy.map(|p| &*p.policy)), (How::Policy, Some("web")));
    }
}

#[test]
fn where_policies_are_told_no_client_subnet_the_resolver_counts_and_none_is_answered() {
    let query = ask("www.example.org", Type::A).edns(1232, &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]);
    let responder = Responder::new(Settings { subnet: false, ..settings() });
    let (zones, mut policy) = (zones(), fixed(&["198.51.100.9"]));
    let (reply, answer) = query.reply_of(&responder, &zones, &mut policy).unwrap();
    assert_eq!(policy.asked, ["web www.example.org. A 203.0.113.5/32"]);
    assert_eq!((reply.scope, answer.option(8), reply.turns), (0, None, 0));
    // What no policy decides is the same for everybody, and may be given to these bytes again.
    let fixed = ask("ns1.example.org", Type::A).edns(1232, &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]);
    let (reply, answer) = fixed.reply_of(&responder, &zones, &mut policy).unwrap();
    assert_eq!((reply.turns, answer.option(8)), (1, None));
    // A malformed one is still that.
    let odd = ask("ns1.example.org", Type::A).edns(1232, &[0, 8, 0, 7, 0, 1, 24, 1, 192, 0, 2]);
    assert_eq!(odd.reply_of(&responder, &zones, &mut policy).unwrap().1.rcode, 1);
}

#[test]
fn more_addresses_than_an_answer_may_have_are_left_out() {
    let many: Vec<IpAddr> = (0..1000u32).map(|i| IpAddr::V4((0x0a00_0000 + i).into())).collect();
    let mut policy = Fixed { addresses: many, ..fixed(&[]) };
    assert_eq!(records(&ask("www.example.org", Type::A).tcp(), &mut policy).len(), MAX_ADDRESSES);
    let answer = ask("www.example.org", Type::A).answer_of(&zones(), &mut policy).unwrap();
    assert!(answer.has("tc") && answer.is_empty());
}

#[test]
fn a_policy_of_a_wildcard_is_asked_with_the_name_of_the_query() {
    let zone = zone(
        "example.org",
        "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\n_policy.* TXT \"web\"\nbare.x A 192.0.2.1\n_policy.x TXT web",
    );
    let zones = Zones::new([zone]).unwrap();
    let mut policy = fixed(&["198.51.100.9"]);
    for name in ["any.example.org", "x.example.org"] {
        let answer = ask(name, Type::A).answer_of(&zones, &mut policy).unwrap();
        assert_eq!(answer.sections[0], [format!("{name}. 30 A 198.51.100.9")]);
    }
    let answer = ask("x.example.org", Type::A).answer_of(&zones, &mut Static).unwrap();
    assert_eq!(
        (answer.rcode, answer.sections[0].len()),
        (0, 0),
        "no static address: the name exists without"
    );
}

#[test]
fn the_record_that_names_the_policy_is_published_like_any_other() {
    let found = records(&ask("_policy.www.example.org", Type::TXT), &mut Static);
    assert_eq!(found, ["_policy.www.example.org. 60 TXT web"]);
}
