//! A client for tests: makes queries byte by byte, and reads answers strictly.

use std::net::IpAddr;

use crate::dns::answer::{Policies, Reply, Request, Responder, Settings, Static, Transport};
use crate::dns::cookie::Secrets;
use crate::dns::name::Name;
use crate::dns::record::Type;
use crate::dns::zone::{Zone, Zones};
use crate::dns::zonefile;

pub(super) const ZONE: &str = r#"
$TTL 3600
@       SOA ns1 hostmaster 7 7200 1800 259200 900
@       NS  ns1
@       NS  ns2.example.net.
ns1     A   192.0.2.1
ns1     AAAA 2001:db8::1
@       MX  10 mail
@       CAA 0 issue "ca.example.net"
mail    A   192.0.2.25
www     60 A 198.51.100.1
www     60 A 198.51.100.2
www     60 AAAA 2001:db8::1
_policy.www 60 TXT "web"
text    TXT "v=spf1 -all" "more"
alias   CNAME www
alias2  CNAME alias
out     CNAME www.example.net.
dangle  CNAME nothing
loop-a  CNAME loop-b
loop-b  CNAME loop-a
deep.er.ent A 192.0.2.9
*.wild  A   192.0.2.77
*.wild  TXT "wild"
there.wild A 192.0.2.78
below.there.wild A 192.0.2.79
*.w-alias CNAME www
*.w-self CNAME x.w-self
sub     NS  ns.sub
sub     NS  ns1
sub     DS  1 8 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
ns.sub  A   192.0.2.53
host.sub A  192.0.2.54
c-sub   CNAME host.sub
old     DNAME new
old     TXT "own"
a.new   A   192.0.2.90
there   DNAME example.net.
around  DNAME x.around
_sip._tcp SRV 10 20 5060 mail
big     TXT "0123456789012345678901234567890123456789012345678901234567890123456789"
big     TXT "1123456789012345678901234567890123456789012345678901234567890123456789"
big     TXT "2123456789012345678901234567890123456789012345678901234567890123456789"
big     TXT "3123456789012345678901234567890123456789012345678901234567890123456789"
big     TXT "4123456789012345678901234567890123456789012345678901234567890123456789"
big     TXT "5123456789012345678901234567890123456789012345678901234567890123456789"
big     TXT "6123456789012345678901234567890123456789012345678901234567890123456789"
odd     TYPE65400 \# 3 abcdef
"#;

pub(super) fn zone(origin: &str, text: &str) -> Zone {
    let mut include = |path: &str, _: &str| Err(format!("no {path} here"));
    zonefile::read(&Name::parse(origin).unwrap(), "zone", text.as_bytes(), &mut include)
        .unwrap_or_else(|e| panic!("{e}"))
}

pub(super) fn zones() -> Zones {
    Zones::new([zone("example.org", ZONE)]).unwrap()
}

pub(super) fn settings() -> Settings {
    Settings {
        nsid: b"dns-1".to_vec(),
        identity: Some("dns-1".into()),
        version: Some("weir".into()),
        secrets: Some(Secrets { current: [5; 16], previous: None }),
        keepalive: Some(300),
        ..Settings::default()
    }
}

/// A query that is being made.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) bytes: Vec<u8>,
    pub(super) transport: Transport,
    pub(super) from: IpAddr,
    pub(super) turn: u32,
}

/// A standard query with RD and the number 0x1234.
pub(super) fn ask(name: &str, kind: Type) -> Query {
    ask_class(name, kind, 1)
}

pub(super) fn ask_class(name: &str, kind: Type, class: u16) -> Query {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(Name::parse(name).unwrap().as_wire());
    bytes.extend_from_slice(&kind.0.to_be_bytes());
    bytes.extend_from_slice(&class.to_be_bytes());
    Query::raw(bytes)
}

impl Query {
    pub(super) fn raw(bytes: Vec<u8>) -> Self {
        Self { bytes, transport: Transport::Udp, from: "203.0.113.5".parse().unwrap(), turn: 0 }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.bytes);
        self
    }

    pub(super) fn tcp(mut self) -> Self {
        self.transport = Transport::Tcp;
        self
    }

    pub(super) fn opcode(self, opcode: u8) -> Self {
        self.with(|b| b[2] = b[2] & 0x87 | opcode << 3)
    }

    pub(super) fn edns(self, size: u16, options: &[u8]) -> Self {
        self.opt(size, [0, 0, 0, 0], options)
    }

    /// An OPT record at the end: extended code, version and two bytes of flags in `ttl`.
    pub(super) fn opt(self, size: u16, ttl: [u8; 4], options: &[u8]) -> Self {
        self.with(|b| {
            b[11] += 1;
            b.extend_from_slice(&[0, 0, 41]);
            b.extend_from_slice(&size.to_be_bytes());
            b.extend_from_slice(&ttl);
            b.extend_from_slice(&u16::try_from(options.len()).unwrap().to_be_bytes());
            b.extend_from_slice(options);
        })
    }

    pub(super) fn answer(&self) -> Option<Answer> {
        self.answer_of(&zones(), &mut Static)
    }

    pub(super) fn answer_of(&self, zones: &Zones, policies: &mut dyn Policies) -> Option<Answer> {
        self.reply_of(&Responder::new(settings()), zones, policies).map(|(_, answer)| answer)
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            message: &self.bytes,
            from: self.from,
            transport: self.transport,
            now: 1_000_000,
            turn: self.turn,
        }
    }

    pub(super) fn reply_of<'z>(
        &self,
        responder: &Responder,
        zones: &'z Zones,
        policies: &mut dyn Policies,
    ) -> Option<(Reply<'z>, Answer)> {
        let mut out = vec![0xee; 40];
        let reply = responder.respond(&self.request(), zones, policies, &mut out);
        let Some(reply) = reply else {
            assert!(out.is_empty(), "no answer leaves no bytes");
            return None;
        };
        let answer = Answer::read(&out).unwrap_or_else(|| panic!("the answer cannot be read: {out:02x?}"));
        assert_eq!(answer.rcode, reply.rcode.0);
        assert_eq!(answer.has("tc"), reply.truncated);
        Some((reply, answer))
    }
}

/// Number and value.
type AnswerOption = (u16, Vec<u8>);

/// An answer as text: what `dig` would print.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: u16,
    pub(super) opcode: u8,
    pub(super) flags: Vec<&'static str>,
    pub(super) rcode: u16,
    pub(super) question: Option<String>,
    /// `NAME TTL TYPE DATA`, by section.
    pub(super) sections: [Vec<String>; 3],
    /// Size, version, DO, options.
    pub(super) opt: Option<(u16, u8, bool, Vec<AnswerOption>)>,
    pub(super) length: usize,
}

impl Answer {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    pub(super) fn option(&self, code: u16) -> Option<&[u8]> {
        self.opt.as_ref()?.3.iter().find(|(c, _)| *c == code).map(|(_, v)| v.as_slice())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sections.iter().all(Vec::is_empty)
    }

    /// `None` where it is malformed, or has a byte too much.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let (id, bits) = (word(0)?, word(2)?);
        let names = ["qr", "", "", "", "", "aa", "tc", "rd", "ra", "z", "ad", "cd"];
        let flags = names.iter().enumerate().filter(|(i, n)| !n.is_empty() && bits & (0x8000 >> i) != 0);
        let flags: Vec<_> = flags.map(|(_, n)| *n).collect();
        let mut at = 12;
        let question = match word(4)? {
            0 => None,
            1 => {
                let name = name(bytes, &mut at)?;
                at += 4;
                Some(format!("{name} {} {}", word(at - 2)?, Type(word(at - 4)?)))
            }
            _ => return None,
        };
        let mut answer = Self {
            id,
            opcode: u8::try_from(bits >> 11 & 15).ok()?,
            flags,
            rcode: bits & 15,
            question,
            sections: Default::default(),
            opt: None,
            length: bytes.len(),
        };
        for (section, counted) in [6, 8, 10].into_iter().enumerate() {
            for _ in 0..word(counted)? {
                let owner = name(bytes, &mut at)?;
                let (kind, class) = (Type(word(at)?), word(at + 2)?);
                let ttl = u32::from_be_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?);
                let end = at + 10 + usize::from(word(at + 8)?);
                let data = bytes.get(at + 10..end)?;
                if kind == Type::OPT {
                    if section != 2 || owner != "." || answer.opt.is_some() {
                        return None;
                    }
                    let [extended, version, flags, _] = ttl.to_be_bytes();
                    answer.rcode |= u16::from(extended) << 4;
                    answer.opt = Some((class, version, flags == 0x80, options(data)?));
                } else {
                    let data = show(bytes, kind, at + 10, end)?;
                    answer.sections[section].push(format!("{owner} {ttl} {kind} {data}"));
                }
                at = end;
            }
        }
        (at == bytes.len()).then_some(answer)
    }
}

fn options(mut data: &[u8]) -> Option<Vec<AnswerOption>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let length = usize::from(u16::from_be_bytes(data.get(2..4)?.try_into().ok()?));
        let code = u16::from_be_bytes(data.get(..2)?.try_into().ok()?);
        found.push((code, data.get(4..4 + length)?.to_vec()));
        data = &data[4 + length..];
    }
    Some(found)
}

/// A name, its pointers followed; `at` is behind it afterwards.
fn name(bytes: &[u8], at: &mut usize) -> Option<String> {
    let (mut wire, mut here, mut behind) = (Vec::new(), *at, None);
    loop {
        let length = usize::from(*bytes.get(here)?);
        if length >= 0xc0 {
            let to = (length & 0x3f) << 8 | usize::from(*bytes.get(here + 1)?);
            behind.get_or_insert(here + 2);
            if to >= here {
                return None;
            }
            here = to;
            continue;
        }
        wire.extend_from_slice(bytes.get(here..=here + length)?);
        here += length + 1;
        if length == 0 {
            break;
        }
    }
    *at = behind.unwrap_or(here);
    Name::from_wire(&wire).ok().map(|n| n.to_string())
}

fn show(bytes: &[u8], kind: Type, at: usize, end: usize) -> Option<String> {
    let data = bytes.get(at..end)?;
    let mut here = at;
    Some(match kind {
        Type::A => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string(),
        Type::AAAA => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string(),
        Type::NS | Type::CNAME | Type::DNAME | Type::PTR => name(bytes, &mut here)?,
        Type::SOA => format!("{} {}", name(bytes, &mut here)?, name(bytes, &mut here)?),
        Type::MX => {
            here += 2;
            name(bytes, &mut here)?
        }
        Type::TXT => data.iter().skip(1).map(|b| char::from(*b)).collect(),
        _ => data.iter().map(|b| format!("{b:02x}")).collect(),
    })
}
