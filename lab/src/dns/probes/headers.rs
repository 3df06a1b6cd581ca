//! Header, opcode, and messages that are none.

use super::{Probe, probe};
use crate::dns::query::{ask, hex, kind, raw};

pub(super) fn headers() -> Vec<Probe> {
    let www = || ask("www.example.org", kind::CAA);
    let header = |bits: &str| raw(&format!("1234 {bits} 0000 0000 0000 0000"));
    let flag = |at: usize, bit: u8| www().bits(at, bit);
    vec![
        probe("opcode IQUERY", www().opcode(1), "NOTIMP"),
        probe("opcode STATUS", www().opcode(2), "NOTIMP"),
        probe("opcode 3", www().opcode(3), "NOTIMP"),
        probe("opcode 15", www().opcode(15), "NOTIMP"),
        probe("opcode IQUERY without a question", header("0800"), "NOTIMP"),
        probe("opcode STATUS without a question", header("1000"), "NOTIMP"),
        probe("opcode 3 without a question", header("1800"), "NOTIMP"),
        probe("opcode 15 without a question", header("7800"), "NOTIMP"),
        probe("opcode NOTIFY", www().opcode(4), "NOTIMP"),
        probe("opcode UPDATE", www().opcode(5), "NOTIMP"),
        probe("opcode DSO over UDP", header("3000"), "NOTIMP"),
        probe("opcode DSO over TCP", header("3000").tcp(), "NOTIMP"),
        probe("opcode 3 with EDNS", www().opcode(3).edns(1232, &[]), "NOTIMP opt"),
        probe("opcode 3, malformed", www().opcode(3).with(|b| b.truncate(20)), "NOTIMP"),
        probe("an answer", flag(2, 0x80), "-"),
        probe("an answer with an opcode", www().opcode(4).bits(2, 0x80), "-"),
        probe("nothing", raw(""), "-"),
        probe("one byte", raw("12"), "-"),
        probe("eleven bytes", raw("1234 0100 0001 0000 0000 00"), "-"),
        probe("flag Z", flag(3, 0x40), "NOERROR aa au=[SOA]"),
        probe("flag AD", flag(3, 0x20), "NOERROR aa au=[SOA]"),
        probe("flag CD", flag(3, 0x10), "NOERROR aa au=[SOA]"),
        probe("flag TC", flag(2, 0x02), "NOERROR aa au=[SOA]"),
        probe("flag AA", flag(2, 0x04), "NOERROR aa au=[SOA]"),
        probe("flag RA", flag(3, 0x80), "NOERROR aa au=[SOA]"),
        probe("a response code in a query", flag(3, 0x0f), "NOERROR aa au=[SOA]"),
        probe("without RD", www().with(|b| b[2] = 0), "NOERROR aa au=[SOA]"),
    ]
}

pub(super) fn malformed() -> Vec<Probe> {
    let www = || ask("www.example.org", kind::CAA);
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let named = |name: &str| raw(&format!("1234 0100 0001 0000 0000 0000 {name} 0001 0001"));
    let long_name = "3f".to_owned() + &"61".repeat(63);
    vec![
        probe("no question", raw("1234 0100 0000 0000 0000 0000"), "FORMERR"),
        probe(
            "no question with a cookie",
            raw("1234 0100 0000 0000 0000 0000").edns(1232, &cookie),
            "NOERROR opt +10",
        ),
        probe("no question with EDNS", raw("1234 0100 0000 0000 0000 0000").edns(1232, &[]), "FORMERR opt"),
        probe(
            "two questions",
            www().with(|b| {
                b[5] = 2;
                let q = b[12..].to_vec();
                b.extend(q);
            }),
            "FORMERR",
        ),
        probe("two questions announced", www().with(|b| b[5] = 2), "FORMERR"),
        probe("a header only", raw("1234 0100 0001 0000 0000 0000"), "FORMERR"),
        probe("a question without class", www().with(|b| b.truncate(b.len() - 2)), "FORMERR"),
        probe("a question without type", www().with(|b| b.truncate(b.len() - 4)), "FORMERR"),
        probe("a name without end", www().with(|b| b.truncate(20)), "FORMERR"),
        probe("a pointer to itself", named("c00c"), "FORMERR"),
        probe("a pointer forward", named("c020"), "FORMERR"),
        probe("a pointer to the header", named("c000"), "FORMERR"),
        probe("a label and a pointer to it", named("0161 c00c"), "FORMERR"),
        probe("label type 0x40", named("4161 00"), "FORMERR"),
        probe("label type 0x80", named("8161 00"), "FORMERR"),
        probe("a name of 257 bytes", named(&(long_name.repeat(4) + "00")), "FORMERR"),
        probe("a record that is announced and missing", www().with(|b| b[7] = 1), "FORMERR"),
        probe(
            "65535 records announced",
            www().with(|b| {
                b[6] = 255;
                b[7] = 255;
            }),
            "FORMERR",
        ),
        probe("a byte behind the end", www().with(|b| b.push(0)), "NOERROR aa au=[SOA]"),
        probe("many bytes behind the end", www().with(|b| b.extend([7; 300])), "NOERROR aa au=[SOA]"),
        probe(
            "an answer record in a query",
            www().with(|b| {
                b[7] = 1;
                b.extend(hex("c00c 0001 0001 00000000 0004 01020304"));
            }),
            "NOERROR aa au=[SOA]",
        ),
    ]
}
