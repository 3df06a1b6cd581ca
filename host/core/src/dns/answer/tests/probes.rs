//! One line for each probe: a query, and the answer that every server of the comparison gave, or the RFC's.

use super::ask::{Answer, Query, ask, ask_class};
use crate::dns::record::Type;

const NEGATIVE: &str = "example.org. 900 SOA ns1.example.org. hostmaster.example.org.";

impl Answer {
    /// `RCODE aa tc an=[...] au=[...] ad=[...] opt(DO) +OPTION`, `SOA` for the zone's negative one.
    fn line(&self) -> String {
        let code = match self.rcode {
            0 => "NOERROR",
            1 => "FORMERR",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            16 => "BADVERS",
            _ => "?",
        };
        let mut line = code.to_owned();
        for flag in self.flags.iter().filter(|f| !matches!(**f, "qr" | "rd")) {
            line += &format!(" {flag}");
        }
        for (section, word) in self.sections.iter().zip(["an", "au", "ad"]) {
            if !section.is_empty() {
                line += &format!(" {word}=[{}]", section.join(", ").replace(NEGATIVE, "SOA"));
            }
        }
        if let Some((size, version, dnssec_ok, options)) = &self.opt {
            assert_eq!((*size, *version), (1232, 0));
            line += if *dnssec_ok { " opt(do)" } else { " opt" };
            options.iter().for_each(|(code, _)| line += &format!(" +{code}"));
        }
        line
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(&d.iter().collect::<String>(), 16).unwrap()).collect()
}

fn raw(text: &str) -> Query {
    Query::raw(hex(text))
}

/// Asks each, and compares; all differences are shown at once.
fn expect(probes: &[(&str, Query, &str)]) {
    let mut wrong = String::new();
    for (what, query, expected) in probes {
        let line = match query.answer() {
            None => "-".into(),
            Some(answer) => {
                let [a, b, bits, ..] = query.bytes[..] else { panic!("{what}: answered without an id") };
                assert_eq!(answer.id, u16::from_be_bytes([a, b]), "{what}");
                assert_eq!(answer.opcode, bits >> 3 & 15, "{what}");
                assert_eq!(answer.has("rd"), bits & 1 != 0, "{what}: RD is repeated");
                assert!(answer.has("qr"), "{what}");
                answer.line()
            }
        };
        if line != *expected {
            wrong += &format!("\n{what}:\n  is      {line}\n  must be {expected}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn headers_and_opcodes() {
    let www = || ask("www.example.org", Type::CAA);
    let header = |bits: &str| raw(&format!("1234 {bits} 0000 0000 0000 0000"));
    let flag = |at: usize, bit: u8| www().with(|b| b[at] |= bit);
    expect(&[
        ("opcode IQUERY", www().opcode(1), "NOTIMP"),
        ("opcode STATUS", www().opcode(2), "NOTIMP"),
        ("opcode 3", www().opcode(3), "NOTIMP"),
        ("opcode 15", www().opcode(15), "NOTIMP"),
        ("opcode IQUERY without a question", header("0800"), "NOTIMP"),
        ("opcode STATUS without a question", header("1000"), "NOTIMP"),
        ("opcode 3 without a question", header("1800"), "NOTIMP"),
        ("opcode 15 without a question", header("7800"), "NOTIMP"),
        ("opcode NOTIFY", www().opcode(4), "NOTIMP"),
        ("opcode UPDATE", www().opcode(5), "NOTIMP"),
        ("opcode DSO over UDP", header("3000"), "NOTIMP"),
        ("opcode DSO over TCP", header("3000").tcp(), "NOTIMP"),
        ("opcode 3 with EDNS", www().opcode(3).edns(1232, &[]), "NOTIMP opt"),
        ("opcode 3, malformed", www().opcode(3).with(|b| b.truncate(20)), "NOTIMP"),
        ("an answer", flag(2, 0x80), "-"),
        ("an answer with an opcode", www().opcode(4).with(|b| b[2] |= 0x80), "-"),
        ("nothing", raw(""), "-"),
        ("one byte", raw("12"), "-"),
        ("eleven bytes", raw("1234 0100 0001 0000 0000 00"), "-"),
        ("flag Z", flag(3, 0x40), "NOERROR aa au=[SOA]"),
        ("flag AD", flag(3, 0x20), "NOERROR aa au=[SOA]"),
        ("flag CD", flag(3, 0x10), "NOERROR aa au=[SOA]"),
        ("flag TC", flag(2, 0x02), "NOERROR aa au=[SOA]"),
        ("flag AA", flag(2, 0x04), "NOERROR aa au=[SOA]"),
        ("flag RA", flag(3, 0x80), "NOERROR aa au=[SOA]"),
        ("a response code in a query", flag(3, 0x0f), "NOERROR aa au=[SOA]"),
        ("without RD", www().with(|b| b[2] = 0), "NOERROR aa au=[SOA]"),
    ]);
}

#[test]
fn malformed_messages() {
    let www = || ask("www.example.org", Type::CAA);
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let named = |name: &str| raw(&format!("1234 0100 0001 0000 0000 0000 {name} 0001 0001"));
    let long_name = "3f".to_owned() + &"61".repeat(63);
    expect(&[
        ("no question", raw("1234 0100 0000 0000 0000 0000"), "FORMERR"),
        (
            "no question with a cookie",
            raw("1234 0100 0000 0000 0000 0000").edns(1232, &cookie),
            "NOERROR opt +10",
        ),
        ("no question with EDNS", raw("1234 0100 0000 0000 0000 0000").edns(1232, &[]), "FORMERR opt"),
        (
            "two questions",
            www().with(|b| {
                b[5] = 2;
                let q = b[12..].to_vec();
                b.extend(q);
            }),
            "FORMERR",
        ),
        ("two questions announced", www().with(|b| b[5] = 2), "FORMERR"),
        ("a header only", raw("1234 0100 0001 0000 0000 0000"), "FORMERR"),
        ("a question without class", www().with(|b| b.truncate(b.len() - 2)), "FORMERR"),
        ("a question without type", www().with(|b| b.truncate(b.len() - 4)), "FORMERR"),
        ("a name without end", www().with(|b| b.truncate(20)), "FORMERR"),
        ("a pointer to itself", named("c00c"), "FORMERR"),
        ("a pointer forward", named("c020"), "FORMERR"),
        ("a pointer to the header", named("c000"), "FORMERR"),
        ("a label and a pointer to it", named("0161 c00c"), "FORMERR"),
        ("label type 0x40", named("4161 00"), "FORMERR"),
        ("label type 0x80", named("8161 00"), "FORMERR"),
        ("a name of 257 bytes", named(&(long_name.repeat(4) + "00")), "FORMERR"),
        ("a record that is announced and missing", www().with(|b| b[7] = 1), "FORMERR"),
        (
            "65535 records announced",
            www().with(|b| {
                b[6] = 255;
                b[7] = 255;
            }),
            "FORMERR",
        ),
        ("a byte behind the end", www().with(|b| b.push(0)), "NOERROR aa au=[SOA]"),
        ("many bytes behind the end", www().with(|b| b.extend([7; 300])), "NOERROR aa au=[SOA]"),
        (
            "an answer record in a query",
            www().with(|b| {
                b[7] = 1;
                b.extend(hex("c00c 0001 0001 00000000 0004 01020304"));
            }),
            "NOERROR aa au=[SOA]",
        ),
    ]);
}

#[test]
fn data() {
    let a = |name: &str| ask(name, Type::A);
    expect(&[
        ("a name", a("ns1.example.org"), "NOERROR aa an=[ns1.example.org. 3600 A 192.0.2.1]"),
        ("no such name", a("nothing.example.org"), "NXDOMAIN aa au=[SOA]"),
        ("no such type", ask("www.example.org", Type::MX), "NOERROR aa au=[SOA]"),
        ("an empty non-terminal", a("ent.example.org"), "NOERROR aa au=[SOA]"),
        ("an empty non-terminal below one", a("er.ent.example.org"), "NOERROR aa au=[SOA]"),
        ("beside what an empty non-terminal has", a("x.ent.example.org"), "NXDOMAIN aa au=[SOA]"),
        ("below a leaf", a("x.mail.example.org"), "NXDOMAIN aa au=[SOA]"),
        (
            "the SOA has its own TTL",
            ask("example.org", Type::SOA),
            "NOERROR aa an=[example.org. 3600 SOA ns1.example.org. hostmaster.example.org.]",
        ),
        (
            "name servers of the zone",
            ask("example.org", Type::NS),
            "NOERROR aa an=[example.org. 3600 NS ns1.example.org., example.org. 3600 NS ns2.example.net.] ad=[ns1.example.org. 3600 A 192.0.2.1, ns1.example.org. 3600 AAAA 2001:db8::1]",
        ),
        (
            "a mail server",
            ask("example.org", Type::MX),
            "NOERROR aa an=[example.org. 3600 MX mail.example.org.]",
        ),
        (
            "a service",
            ask("_sip._tcp.example.org", Type::SRV),
            "NOERROR aa an=[_sip._tcp.example.org. 3600 SRV 000a001413c4046d61696c076578616d706c65036f726700]",
        ),
        (
            "a type without a word",
            ask("odd.example.org", Type(65400)),
            "NOERROR aa an=[odd.example.org. 3600 TYPE65400 abcdef]",
        ),
        (
            "in the case of the question",
            a("nS1.eXample.ORG"),
            "NOERROR aa an=[nS1.eXample.ORG. 3600 A 192.0.2.1]",
        ),
        ("a wildcard", a("foo.wild.example.org"), "NOERROR aa an=[foo.wild.example.org. 3600 A 192.0.2.77]"),
        (
            "a wildcard for two labels",
            a("a.b.wild.example.org"),
            "NOERROR aa an=[a.b.wild.example.org. 3600 A 192.0.2.77]",
        ),
        ("a wildcard without the type", ask("foo.wild.example.org", Type::MX), "NOERROR aa au=[SOA]"),
        (
            "a name blocks the wildcard, with its type",
            a("there.wild.example.org"),
            "NOERROR aa an=[there.wild.example.org. 3600 A 192.0.2.78]",
        ),
        (
            "a name blocks the wildcard, without its type",
            ask("there.wild.example.org", Type::TXT),
            "NOERROR aa au=[SOA]",
        ),
        ("below a name that blocks the wildcard", a("x.there.wild.example.org"), "NXDOMAIN aa au=[SOA]"),
        (
            "the wildcard by its own name",
            a("*.wild.example.org"),
            "NOERROR aa an=[*.wild.example.org. 3600 A 192.0.2.77]",
        ),
        ("below the wildcard by its own name", a("x.*.wild.example.org"), "NXDOMAIN aa au=[SOA]"),
        ("the wildcard's parent", a("wild.example.org"), "NOERROR aa au=[SOA]"),
        (
            "a wildcard that is an alias",
            ask("foo.w-alias.example.org", Type::AAAA),
            "NOERROR aa an=[foo.w-alias.example.org. 3600 CNAME www.example.org., www.example.org. 60 AAAA 2001:db8::1]",
        ),
        (
            "an alias",
            ask("alias.example.org", Type::AAAA),
            "NOERROR aa an=[alias.example.org. 3600 CNAME www.example.org., www.example.org. 60 AAAA 2001:db8::1]",
        ),
        (
            "an alias of an alias",
            ask("alias2.example.org", Type::AAAA),
            "NOERROR aa an=[alias2.example.org. 3600 CNAME alias.example.org., alias.example.org. 3600 CNAME www.example.org., www.example.org. 60 AAAA 2001:db8::1]",
        ),
        (
            "an alias itself",
            ask("alias2.example.org", Type::CNAME),
            "NOERROR aa an=[alias2.example.org. 3600 CNAME alias.example.org.]",
        ),
        (
            "an alias of a name without the type",
            ask("alias.example.org", Type::MX),
            "NOERROR aa an=[alias.example.org. 3600 CNAME www.example.org.] au=[SOA]",
        ),
        (
            "an alias of nothing",
            a("dangle.example.org"),
            "NXDOMAIN aa an=[dangle.example.org. 3600 CNAME nothing.example.org.] au=[SOA]",
        ),
        (
            "an alias that leaves the zone",
            a("out.example.org"),
            "NOERROR aa an=[out.example.org. 3600 CNAME www.example.net.]",
        ),
        (
            "aliases in a circle",
            a("loop-a.example.org"),
            "NOERROR aa an=[loop-a.example.org. 3600 CNAME loop-b.example.org., loop-b.example.org. 3600 CNAME loop-a.example.org.]",
        ),
        (
            "a wildcard that is its own alias",
            a("y.w-self.example.org"),
            "NOERROR aa an=[y.w-self.example.org. 3600 CNAME x.w-self.example.org., x.w-self.example.org. 3600 CNAME x.w-self.example.org.]",
        ),
        (
            "an alias and ANY",
            ask("alias.example.org", Type::ANY),
            "NOERROR aa an=[alias.example.org. 3600 CNAME www.example.org.]",
        ),
    ]);
}

#[test]
fn delegations_and_redirections() {
    let a = |name: &str| ask(name, Type::A);
    let referral = "au=[sub.example.org. 3600 NS ns.sub.example.org., sub.example.org. 3600 NS ns1.example.org.] \
                    ad=[ns.sub.example.org. 3600 A 192.0.2.53, ns1.example.org. 3600 A 192.0.2.1, \
                    ns1.example.org. 3600 AAAA 2001:db8::1]";
    let plain = &format!("NOERROR {referral}");
    let ds = "NOERROR aa an=[sub.example.org. 3600 DS 0001080200112233445566778899aabbccddeeff00112233445566778899aabbccddeeff]";
    expect(&[
        ("at a cut", a("sub.example.org"), plain),
        ("below a cut", a("x.y.sub.example.org"), plain),
        ("the name servers at a cut", ask("sub.example.org", Type::NS), plain),
        ("ANY at a cut", ask("sub.example.org", Type::ANY), plain),
        ("SOA at a cut", ask("sub.example.org", Type::SOA), plain),
        ("a name server's address below a cut", a("ns.sub.example.org"), plain),
        ("DS at a cut belongs to this side", ask("sub.example.org", Type::DS), ds),
        ("DS below a cut", ask("x.sub.example.org", Type::DS), plain),
        ("DS at the origin", ask("example.org", Type::DS), "NOERROR aa au=[SOA]"),
        (
            "an alias to below a cut",
            a("c-sub.example.org"),
            &format!("NOERROR aa an=[c-sub.example.org. 3600 CNAME host.sub.example.org.] {referral}"),
        ),
        (
            "below a DNAME",
            a("a.old.example.org"),
            "NOERROR aa an=[old.example.org. 3600 DNAME new.example.org., a.old.example.org. 3600 CNAME a.new.example.org., a.new.example.org. 3600 A 192.0.2.90]",
        ),
        (
            "below a DNAME to nothing",
            a("b.old.example.org"),
            "NXDOMAIN aa an=[old.example.org. 3600 DNAME new.example.org., b.old.example.org. 3600 CNAME b.new.example.org.] au=[SOA]",
        ),
        (
            "below a DNAME that leaves the zone",
            a("a.there.example.org"),
            "NOERROR aa an=[there.example.org. 3600 DNAME example.net., a.there.example.org. 3600 CNAME a.example.net.]",
        ),
        (
            "CNAME below a DNAME to nothing",
            ask("b.old.example.org", Type::CNAME),
            "NOERROR aa an=[old.example.org. 3600 DNAME new.example.org., b.old.example.org. 3600 CNAME b.new.example.org.]",
        ),
        ("at a DNAME", ask("old.example.org", Type::TXT), "NOERROR aa an=[old.example.org. 3600 TXT own]"),
        (
            "the DNAME itself",
            ask("old.example.org", Type::DNAME),
            "NOERROR aa an=[old.example.org. 3600 DNAME new.example.org.]",
        ),
        ("at a DNAME without the type", a("old.example.org"), "NOERROR aa au=[SOA]"),
    ]);
}

#[test]
fn what_is_not_served() {
    let apex = |class| ask_class("example.org", Type::A, class);
    expect(&[
        ("another zone", ask("www.example.net", Type::A), "REFUSED"),
        ("above the zone", ask("org", Type::A), "REFUSED"),
        ("the root", ask(".", Type::NS), "REFUSED"),
        (
            "ANY",
            ask("www.example.org", Type::ANY),
            "NOERROR aa an=[www.example.org. 3600 HINFO 075246433834383200]",
        ),
        ("ANY of nothing", ask("nothing.example.org", Type::ANY), "NXDOMAIN aa au=[SOA]"),
        ("ANY of an empty non-terminal", ask("ent.example.org", Type::ANY), "NOERROR aa au=[SOA]"),
        ("an unknown type", ask("www.example.org", Type(65280)), "NOERROR aa au=[SOA]"),
        ("type OPT", ask("www.example.org", Type::OPT), "NOERROR aa au=[SOA]"),
        ("type 0", ask("www.example.org", Type(0)), "NOERROR aa au=[SOA]"),
        ("type RRSIG", ask("www.example.org", Type::RRSIG), "NOERROR aa au=[SOA]"),
        ("type TSIG", ask("example.org", Type::TSIG), "NOTIMP"),
        ("type MAILA", ask("example.org", Type::MAILA), "NOTIMP"),
        ("type MAILB", ask("example.org", Type::MAILB), "NOTIMP"),
        ("a transfer over UDP", ask("example.org", Type::AXFR), "NOTIMP"),
        ("a transfer over TCP", ask("example.org", Type::AXFR).tcp(), "REFUSED"),
        ("a partial transfer over UDP", ask("example.org", Type::IXFR), "NOTIMP"),
        ("a partial transfer over TCP", ask("example.org", Type::IXFR).tcp(), "REFUSED"),
        (
            "class CHAOS, the version",
            ask_class("version.bind", Type::TXT, 3),
            "NOERROR aa an=[version.bind. 0 TXT weir]",
        ),
        (
            "class CHAOS, which server",
            ask_class("ID.server", Type::TXT, 3),
            "NOERROR aa an=[ID.server. 0 TXT dns-1]",
        ),
        ("class CHAOS, another name", ask_class("authors.bind", Type::TXT, 3), "REFUSED"),
        ("class CHAOS, another type", ask_class("version.bind", Type::A, 3), "REFUSED"),
        ("class CHAOS, a name of the zone", apex(3), "REFUSED"),
        ("class HESIOD", apex(4), "REFUSED"),
        ("class 0", apex(0), "REFUSED"),
        ("class NONE", apex(254), "REFUSED"),
        (
            "class ANY",
            ask_class("ns1.example.org", Type::A, 255),
            "NOERROR an=[ns1.example.org. 3600 A 192.0.2.1]",
        ),
    ]);
}

#[test]
fn edns() {
    let a = || ask("ns1.example.org", Type::A);
    let ok = "NOERROR aa an=[ns1.example.org. 3600 A 192.0.2.1] opt";
    let with = |options: &str| a().edns(1232, &hex(options));
    let record = |owner_and_more: &str| {
        a().with(|b| {
            b[11] += 1;
            b.extend(hex(owner_and_more));
        })
    };
    let plus = |more: &str| format!("{ok} {more}");
    let (nsid, cookie, subnet, keepalive) = (&plus("+3"), &plus("+10"), &plus("+8"), &plus("+11"));
    expect(&[
        ("no EDNS, none in the answer", a(), "NOERROR aa an=[ns1.example.org. 3600 A 192.0.2.1]"),
        ("EDNS version 0", with(""), ok),
        ("EDNS version 1", a().opt(1232, [0, 1, 0, 0], &[]), "BADVERS opt"),
        ("EDNS version 100", a().opt(1232, [0, 100, 0, 0], &[]), "BADVERS opt"),
        ("EDNS version 1 with an option", a().opt(1232, [0, 1, 0, 0], &hex("0064 0000")), "BADVERS opt"),
        ("EDNS version 1 with a flag", a().opt(1232, [0, 1, 0, 0x80], &[]), "BADVERS opt"),
        ("EDNS version 1 with nonsense for options", a().opt(1232, [0, 1, 0, 0], &[1]), "BADVERS opt"),
        ("an unknown option", with("0064 0002 abcd"), ok),
        ("an unknown flag", a().opt(1232, [0, 0, 0, 0x80], &[]), ok),
        ("DO", a().opt(1232, [0, 0, 0x80, 0], &[]), &(ok.to_owned() + "(do)")),
        ("an extended code in a query", a().opt(1232, [9, 0, 0, 0], &[]), ok),
        ("size 0", a().edns(0, &[]), ok),
        ("size 65535", a().edns(65535, &[]), ok),
        ("two OPT records", with("").edns(1232, &[]), "FORMERR opt"),
        (
            "an OPT record in the answer section",
            a().with(|b| {
                b[7] = 1;
                b.extend(hex("00 0029 04d0 00000000 0000"));
            }),
            "FORMERR",
        ),
        (
            "an OPT record in the authority section",
            a().with(|b| {
                b[9] = 1;
                b.extend(hex("00 0029 04d0 00000000 0000"));
            }),
            "FORMERR",
        ),
        ("an OPT record that is not the root's", record("0161 00 0029 04d0 00000000 0000"), "FORMERR"),
        ("an OPT record that ends early", record("00 0029 04d0 00000000 0004 0064"), "FORMERR"),
        ("an option that ends early", with("0064 0004 ab"), "FORMERR opt"),
        ("half an option's head", with("0064 00"), "FORMERR opt"),
        ("NSID", with("0003 0000"), nsid),
        ("NSID with a value", with("0003 0001 ff"), nsid),
        ("padding over UDP", with("000c 0004 00000000"), ok),
        ("keepalive over UDP", with("000b 0000"), ok),
        ("keepalive over TCP", with("000b 0000").tcp(), keepalive),
        ("EXPIRE", with("0009 0000"), ok),
        ("a cookie of 8 bytes", with("000a 0008 0102030405060708"), cookie),
        (
            "a wrong server cookie",
            with(&("000a 0018 0102030405060708".to_owned() + &"00".repeat(16))),
            cookie,
        ),
        ("a cookie of 7 bytes", with("000a 0007 01020304050607"), "FORMERR opt"),
        ("a cookie of 0 bytes", with("000a 0000"), "FORMERR opt"),
        ("a cookie of 12 bytes", with(&("000a 000c".to_owned() + &"01".repeat(12))), "FORMERR opt"),
        ("a cookie of 40 bytes", with(&("000a 0028".to_owned() + &"01".repeat(40))), cookie),
        ("a cookie of 41 bytes", with(&("000a 0029".to_owned() + &"01".repeat(41))), "FORMERR opt"),
        ("a subnet", with("0008 0007 0001 18 00 c00002"), subnet),
        ("a subnet of IPv6", with("0008 000b 0002 38 00 20010db8000000"), subnet),
        ("a subnet of nobody", with("0008 0004 0001 00 00"), subnet),
        ("a subnet of family 0", with("0008 0004 0000 00 00"), subnet),
        ("a subnet with a scope", with("0008 0007 0001 18 18 c00002"), "FORMERR opt"),
        ("a subnet with too few bytes", with("0008 0006 0001 18 00 c000"), "FORMERR opt"),
        ("a subnet with too many bytes", with("0008 0008 0001 18 00 c0000200"), "FORMERR opt"),
        ("a subnet with bits beyond its prefix", with("0008 0007 0001 17 00 c00003"), "FORMERR opt"),
        ("a subnet longer than IPv4", with("0008 0009 0001 21 00 c000020000"), "FORMERR opt"),
        (
            "a subnet longer than IPv6",
            with(&("0008 0015 0002 81 00".to_owned() + &"00".repeat(17))),
            "FORMERR opt",
        ),
        ("a subnet of another family", with("0008 0004 0003 00 00"), "FORMERR opt"),
        ("two subnets", with("0008 0007 0001 18 00 c00002 0008 0007 0001 18 00 c00003"), subnet),
        (
            "a subnet and NSID and a cookie",
            with("0008 0004 0001 00 00 0003 0000 000a 0008 0102030405060708"),
            &plus("+3 +10 +8"),
        ),
        (
            "a subnet and a name of nobody here",
            ask("example.net", Type::A).edns(1232, &hex("0008 0004 0001 00 00")),
            "REFUSED opt",
        ),
        (
            "a subnet and no such name",
            ask("no.example.org", Type::A).edns(1232, &hex("0008 0004 0001 00 00")),
            "NXDOMAIN aa au=[SOA] opt +8",
        ),
    ]);
}

#[test]
fn truncation() {
    let big = || ask("big.example.org", Type::TXT);
    let line = |q: Query| {
        let answer = q.answer().unwrap();
        (
            answer.has("tc"),
            answer.is_empty(),
            answer.sections[0].len(),
            answer.opt.is_some(),
            answer.length <= 1232,
        )
    };
    assert_eq!(line(big()), (true, true, 0, false, true), "512 bytes without EDNS, and nothing of it");
    assert_eq!(line(big().edns(512, &[])), (true, true, 0, true, true), "OPT stays");
    assert_eq!(line(big().edns(0, &[])), (true, true, 0, true, true), "below 512 is 512");
    assert_eq!(line(big().edns(1232, &[])), (false, false, 7, true, true));
    assert_eq!(line(big().tcp()), (false, false, 7, false, true));
    let question = big().answer().unwrap();
    assert_eq!(question.length, big().bytes.len(), "header and question, not a byte more");
}
