//! Random messages: there is always an answer or none, it can be read, and it keeps its limits.

use std::net::IpAddr;

use super::ask::{Query, ask, settings, zones};
use crate::dns::answer::{Asked, Decision, Policies, Responder, Transport};
use crate::dns::record::Type;

/// Numbers that look random and are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

struct Two;

impl Policies for Two {
    fn decide(&mut self, _: &Asked<'_>) -> Option<Decision<'_>> {
        const TWO: [IpAddr; 2] =
            [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];
        Some(Decision { addresses: &TWO, ttl: 5, scope: 255 })
    }
}

fn seeds() -> Vec<Query> {
    let options = [
        &[0, 3, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2][..],
        &[0, 11, 0, 0, 0, 12, 0, 2, 0, 0],
    ]
    .concat();
    let names = [
        "www.example.org",
        "alias2.example.org",
        "a.old.example.org",
        "x.sub.example.org",
        "big.example.org",
        "foo.wild.example.org",
        "y.w-self.example.org",
        "a.around.example.org",
        "version.bind",
        "example.org",
        ".",
    ];
    let kinds = [Type::A, Type::AAAA, Type::TXT, Type::ANY, Type::DS, Type::NS, Type::SOA];
    let mut seeds = Vec::new();
    for name in names {
        for kind in kinds {
            seeds.push(ask(name, kind));
            seeds.push(ask(name, kind).edns(1232, &options));
        }
    }
    seeds
}

#[test]
fn no_message_makes_it_panic_or_break_a_limit() {
    const ROUNDS: usize = 300_000;
    let (responder, zones, seeds) = (Responder::new(settings()), zones(), seeds());
    let mut random = Random(0x5eed);
    let mut answered = 0;
    for _ in 0..ROUNDS {
        let mut query = seeds[random.below(seeds.len())].clone();
        for _ in 0..random.below(6) {
            let at = random.below(query.bytes.len());
            match random.below(5) {
                0 => query.bytes[at] = random.byte(),
                1 => query.bytes[at] ^= 1 << random.below(8),
                2 => query.bytes.truncate(at.max(1)),
                3 => query.bytes.insert(at, random.byte()),
                _ => {
                    let end = at + random.below(query.bytes.len() - at + 1);
                    let copy = query.bytes[at..end].to_vec();
                    query.bytes.extend(copy);
                }
            }
        }
        if random.below(4) == 0 {
            query.transport = Transport::Stream;
        }
        // Reading the answer is part of the test: it is exact to the last byte.
        let Some((_, answer)) = query.reply_of(&responder, &zones, &mut Two) else { continue };
        answered += 1;
        if query.transport == Transport::Udp {
            let limit = if answer.opt.is_some() { 1232 } else { 512 };
            assert!(answer.length <= limit, "{} bytes: {:02x?}", answer.length, query.bytes);
        }
        assert!(!answer.has("ra") && !answer.has("z") && !answer.has("ad") && !answer.has("cd"));
        if answer.has("tc") {
            assert!(answer.is_empty());
        }
        if let Some(scope) = answer.option(8) {
            assert!(scope[3] <= scope[2], "no scope is longer than its prefix");
        }
    }
    assert!(answered > ROUNDS / 2, "{answered} of {ROUNDS}: most are still queries");
}

#[test]
fn no_noise_makes_it_panic() {
    let (responder, zones) = (Responder::new(settings()), zones());
    let mut random = Random(0xd15ea5e);
    for _ in 0..100_000 {
        let length = random.below(80);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        if let Some(bits) = bytes.get_mut(2) {
            *bits &= 7; // a query
        }
        Query::raw(bytes).reply_of(&responder, &zones, &mut Two);
    }
}
