//! Hostile queries, whole and as options only: there is always an answer or none, it can be read, and it keeps its limits.

use std::net::IpAddr;

use weir_hostile::{Shape, Target, attack};

use super::ask::{Answer, Query, ask, settings, zones};
use crate::dns::answer::{Asked, Decision, Policies, Reply, Request, Responder, Transport, UDP_SIZE};
use crate::dns::cookie::{Proof, Secrets};
use crate::dns::record::Type;
use crate::dns::wire::{COOKIE, KEEPALIVE, NSID, PADDING, SUBNET, lowest_ttl};
use crate::dns::zone::Zones;

/// Seconds of the UNIX epoch, when all of this happens.
const NOW: u32 = 1_000_000;

/// A policy that has no measure.
struct Two;

impl Policies for Two {
    fn decide(&mut self, _: &Asked<'_>) -> Option<Decision<'_>> {
        const TWO: [IpAddr; 2] =
            [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];
        Some(Decision { addresses: &TWO, ttl: 5, scope: 255 })
    }
}

/// A server, and one who asks it.
struct Server {
    responder: Responder,
    zones: Zones,
    client: IpAddr,
}

impl Server {
    fn new() -> Self {
        let client = ask(".", Type::A).from;
        Self { responder: Responder::new(settings()), zones: zones(), client }
    }

    fn respond(&self, message: &[u8], transport: Transport, turn: u32) -> (Option<Reply<'_>>, Vec<u8>) {
        let mut out = vec![0xee; 40];
        let request = Request { message, from: self.client, transport, now: NOW, turn };
        let reply = self.responder.respond(&request, &self.zones, &mut Two, &mut out);
        (reply, out)
    }

    /// What must be true of every answer, over any transport.
    fn judge(&self, message: &[u8]) -> Shape {
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let all = all.map(|transport| self.judge_over(message, transport));
        // What a client sends in place of an answer is nobody's to keep, and no reason to end.
        let _ = (lowest_ttl(message), crate::dns::quic::query(message));
        let mut out = Vec::new();
        let request = Request { message, from: self.client, transport: Transport::Udp, now: NOW, turn: 0 };
        if self.responder.truncated(&request, &mut out) {
            let cut = Answer::read(&out).expect("what sends to TCP can be read");
            assert!(cut.has("tc") && cut.is_empty() && out.len() <= 512);
        }
        Shape::of(&all)
    }

    fn judge_over(&self, message: &[u8], transport: Transport) -> Option<impl std::fmt::Debug + use<>> {
        let (reply, out) = self.respond(message, transport, 0);
        let again = self.respond(message, transport, 0).1;
        assert_eq!(out, again, "the same question has the same answer");
        let Some(reply) = reply else {
            assert!(out.is_empty(), "no answer leaves no bytes");
            let is_query = message.get(2).is_some_and(|bits| bits & 0x80 == 0);
            assert!(message.len() < 12 || !is_query, "a query gets an answer, whatever is wrong with it");
            return None;
        };
        // Reading is part of the test: it is exact to the last byte.
        let answer = Answer::read(&out).expect("the answer can be read");
        let has_records = answer.sections.iter().take(2).any(|section| !section.is_empty());
        assert_eq!(lowest_ttl(&out).is_some(), has_records);
        if answer.option(PADDING).is_some() {
            assert!(transport == Transport::Tls && (out.len().is_multiple_of(468) || out.len() == 65535));
        }
        assert!(answer.has("qr"), "an answer to an answer could go on for ever");
        assert_eq!(Some(&answer.id.to_be_bytes()[..]), message.get(..2));
        assert_eq!((answer.rcode, answer.has("tc")), (reply.rcode.0, reply.truncated));
        assert!(!answer.has("ra") && !answer.has("z") && !answer.has("ad") && !answer.has("cd"));
        if transport == Transport::Udp {
            let limit = if answer.opt.is_some() { usize::from(UDP_SIZE) } else { 512 };
            assert!(answer.length <= limit, "{} bytes", answer.length);
        }
        if answer.has("tc") {
            assert!(answer.is_empty() && transport.is_datagram());
        }
        if let Some(scope) = answer.option(SUBNET) {
            assert!(scope[3] <= scope[2], "no scope is longer than its prefix");
        }
        let options = answer.opt.map(|(_, _, _, options)| options.into_iter().map(|(code, _)| code));
        let options: Option<Vec<u16>> = options.map(Iterator::collect);
        let counts = answer.sections.map(|section| section.len());
        Some((format!("{:?} {:?} {:?}", reply.rcode.as_str(), reply.how, reply.proof), counts, options))
    }
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
}

/// Options as they are sent by resolvers, and those with which something is wrong.
fn options() -> Vec<Vec<u8>> {
    let client = ask(".", Type::A).from;
    let (_, cookie) = secrets().judge(b"8 bytes!", &[], client, NOW - 10);
    vec![
        option(NSID, &[]),
        option(COOKIE, b"8 bytes!"),
        option(COOKIE, &cookie),
        option(SUBNET, &[0, 1, 24, 0, 192, 0, 2]),
        option(SUBNET, &[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 2]),
        option(SUBNET, &[0, 1, 0, 0]),
        option(KEEPALIVE, &[]),
        option(PADDING, &[0; 20]),
        [option(NSID, &[]), option(COOKIE, &cookie), option(SUBNET, &[0, 1, 20, 0, 192, 0, 0x20])].concat(),
    ]
}

fn secrets() -> Secrets {
    settings().secrets.unwrap()
}

/// Whole messages.
struct Messages(Server);

impl Target for Messages {
    fn name(&self) -> &'static str {
        "dns-query"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let names = [
            "www.example.org",
            "alias2.example.org",
            "a.old.example.org",
            "x.sub.example.org",
            "big.example.org",
            "foo.wild.example.org",
            "y.w-self.example.org",
            "a.around.example.org",
            "example.org",
            ".",
        ];
        let kinds = [Type::A, Type::AAAA, Type::TXT, Type::ANY, Type::DS, Type::NS, Type::SOA, Type::AXFR];
        let plain = || names.into_iter().flat_map(|name| kinds.map(|kind| ask(name, kind)));
        let chaos = super::ask::ask_class("version.bind", Type::TXT, 3);
        let rich = plain().zip(options().into_iter().cycle()).map(|(query, data)| query.edns(1232, &data));
        let odd =
            [chaos, ask("example.org", Type::SOA).opcode(4), ask(".", Type::A).opt(512, [0, 1, 0, 0], &[])];
        plain().chain(rich).chain(odd).map(|Query { bytes, .. }| bytes).collect()
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        self.0.judge(bytes)
    }

    /// Most of what comes to a server is a standard query with one question.
    fn mend(&self, bytes: &mut Vec<u8>) {
        if let Some(head) = bytes.get_mut(2..6) {
            head[0] &= 7;
            head[2..].copy_from_slice(&[0, 1]);
        }
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"\x07example\x03org\0",
            b"\xc0\x0c",
            b"\x03www",
            b"\x01*",
            b"\0\0\x29",
            b"\0\x08\0\x07",
            b"\0\xff\0\x01",
        ]
    }
}

/// The data of an OPT record, in a query with which nothing else is wrong.
struct OptData(Server);

impl Target for OptData {
    fn name(&self) -> &'static str {
        "dns-options"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        options()
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let query = ask("www.example.org", Type::A).edns(1232, bytes);
        let shape = self.0.judge(&query.bytes);
        let (reply, out) = self.0.respond(&query.bytes, Transport::Udp, 0);
        let answer = Answer::read(&out).unwrap();
        // What is answered of a subnet is the query's to the bit; a cookie has the client's part before anything else.
        for (code, kept) in [(SUBNET, 3), (COOKIE, 8)] {
            let Some(told) = answer.option(code) else { continue };
            assert!(
                bytes
                    .windows(4 + kept)
                    .any(|window| window.starts_with(&code.to_be_bytes()) && window.ends_with(&told[..kept]))
            );
        }
        if reply.is_some_and(|reply| reply.proof == Proof::Valid) {
            let (_, ours) = secrets().judge(b"8 bytes!", &[], self.0.client, NOW - 10);
            assert!(bytes.windows(ours.len()).any(|window| window == ours), "a cookie that nobody made");
        }
        shape
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"\0\x03\0\0",
            b"\0\x08\0\x07\0\x01\x18\0",
            b"\0\x0a\0\x08",
            b"\0\x0a\0\x18",
            b"\0\x0b\0\0",
            b"\0\x0c\0\x02",
        ]
    }

    fn longest(&self) -> usize {
        1024
    }
}

#[test]
fn dns_query() {
    attack(&Messages(Server::new()));
}

#[test]
fn dns_options() {
    attack(&OptData(Server::new()));
}
