//! EDNS: versions, sizes, options.

use anyhow::{Context, Result, ensure};

use super::{IDENTITY, Probe, probe};
use crate::dns::answer::Answer;
use crate::dns::exchange::{Client, PATIENCE};
use crate::dns::query::{Query, ask, hex, kind};

pub(super) fn edns() -> Vec<Probe> {
    let a = || ask("ns1.example.org", kind::A);
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
    vec![
        probe("no EDNS, none in the answer", a(), "NOERROR aa an=[ns1.example.org. 3600 A 192.0.2.1]"),
        probe("EDNS version 0", with(""), ok),
        probe("EDNS version 1", a().opt(1232, [0, 1, 0, 0], &[]), "BADVERS opt"),
        probe("EDNS version 100", a().opt(1232, [0, 100, 0, 0], &[]), "BADVERS opt"),
        probe("EDNS version 1 with an option", a().opt(1232, [0, 1, 0, 0], &hex("0064 0000")), "BADVERS opt"),
        probe("EDNS version 1 with a flag", a().opt(1232, [0, 1, 0, 0x80], &[]), "BADVERS opt"),
        probe("EDNS version 1 with nonsense for options", a().opt(1232, [0, 1, 0, 0], &[1]), "BADVERS opt"),
        probe("an unknown option", with("0064 0002 abcd"), ok),
        probe("an unknown flag", a().opt(1232, [0, 0, 0, 0x80], &[]), ok),
        probe("DO", a().opt(1232, [0, 0, 0x80, 0], &[]), &(ok.to_owned() + "(do)")),
        probe("an extended code in a query", a().opt(1232, [9, 0, 0, 0], &[]), ok),
        probe("size 0", a().edns(0, &[]), ok),
        probe("size 65535", a().edns(65535, &[]), ok),
        probe("two OPT records", with("").edns(1232, &[]), "FORMERR opt"),
        probe(
            "an OPT record in the answer section",
            a().with(|b| {
                b[7] = 1;
                b.extend(hex("00 0029 04d0 00000000 0000"));
            }),
            "FORMERR",
        ),
        probe(
            "an OPT record in the authority section",
            a().with(|b| {
                b[9] = 1;
                b.extend(hex("00 0029 04d0 00000000 0000"));
            }),
            "FORMERR",
        ),
        probe("an OPT record that is not the root's", record("0161 00 0029 04d0 00000000 0000"), "FORMERR"),
        probe("an OPT record that ends early", record("00 0029 04d0 00000000 0004 0064"), "FORMERR"),
        probe("an option that ends early", with("0064 0004 ab"), "FORMERR opt"),
        probe("half an option's head", with("0064 00"), "FORMERR opt"),
        probe("NSID", with("0003 0000"), nsid),
        probe("NSID with a value", with("0003 0001 ff"), nsid),
        probe("padding over UDP", with("000c 0004 00000000"), ok),
        probe("keepalive over UDP", with("000b 0000"), ok),
        probe("keepalive over TCP", with("000b 0000").tcp(), keepalive),
        probe("EXPIRE", with("0009 0000"), ok),
        probe("a cookie of 8 bytes", with("000a 0008 0102030405060708"), cookie),
        probe(
            "a wrong server cookie",
            with(&("000a 0018 0102030405060708".to_owned() + &"00".repeat(16))),
            cookie,
        ),
        probe("a cookie of 7 bytes", with("000a 0007 01020304050607"), "FORMERR opt"),
        probe("a cookie of 0 bytes", with("000a 0000"), "FORMERR opt"),
        probe("a cookie of 12 bytes", with(&("000a 000c".to_owned() + &"01".repeat(12))), "FORMERR opt"),
        probe("a cookie of 40 bytes", with(&("000a 0028".to_owned() + &"01".repeat(40))), cookie),
        probe("a cookie of 41 bytes", with(&("000a 0029".to_owned() + &"01".repeat(41))), "FORMERR opt"),
        probe("a subnet", with("0008 0007 0001 18 00 c00002"), subnet),
        probe("a subnet of IPv6", with("0008 000b 0002 38 00 20010db8000000"), subnet),
        probe("a subnet of nobody", with("0008 0004 0001 00 00"), subnet),
        probe("a subnet of family 0", with("0008 0004 0000 00 00"), subnet),
        probe("a subnet with a scope", with("0008 0007 0001 18 18 c00002"), "FORMERR opt"),
        probe("a subnet with too few bytes", with("0008 0006 0001 18 00 c000"), "FORMERR opt"),
        probe("a subnet with too many bytes", with("0008 0008 0001 18 00 c0000200"), "FORMERR opt"),
        probe("a subnet with bits beyond its prefix", with("0008 0007 0001 17 00 c00003"), "FORMERR opt"),
        probe("a subnet longer than IPv4", with("0008 0009 0001 21 00 c000020000"), "FORMERR opt"),
        probe(
            "a subnet longer than IPv6",
            with(&("0008 0015 0002 81 00".to_owned() + &"00".repeat(17))),
            "FORMERR opt",
        ),
        probe("a subnet of another family", with("0008 0004 0003 00 00"), "FORMERR opt"),
        probe("two subnets", with("0008 0007 0001 18 00 c00002 0008 0007 0001 18 00 c00003"), subnet),
        probe(
            "a subnet and NSID and a cookie",
            with("0008 0004 0001 00 00 0003 0000 000a 0008 0102030405060708"),
            plus("+3 +10 +8"),
        ),
        probe(
            "a subnet and a name of nobody here",
            ask("example.net", kind::A).edns(1232, &hex("0008 0004 0001 00 00")),
            "REFUSED opt",
        ),
        probe(
            "a subnet and no such name",
            ask("no.example.org", kind::A).edns(1232, &hex("0008 0004 0001 00 00")),
            "NXDOMAIN aa au=[SOA] opt +8",
        ),
    ]
}

/// The answer to a query that must have one.
fn answer(client: &mut Client, query: &Query) -> Result<Answer> {
    let bytes = client.exchange(query, PATIENCE)?.context("there is no answer")?;
    query.is_repeated_in(&bytes)?;
    Answer::read(&bytes)
}

/// What does not fit is left out as a whole, and the client told; OPT stays. Returns how many were asked.
pub(super) fn sizes(client: &mut Client) -> Result<usize> {
    let big = || ask("big.example.org", kind::TXT);
    let question = big().bytes.len();
    let cases = [
        ("512 bytes without EDNS", big(), Some(question)),
        ("a size of 512", big().edns(512, &[]), Some(question + 11)),
        ("a size below 512 is 512", big().edns(0, &[]), Some(question + 11)),
        ("a size that fits", big().edns(1232, &[]), None),
        ("over TCP", big().tcp(), None),
        ("over TCP with a small size", big().edns(512, &[]).tcp(), None),
    ];
    for (what, query, cut) in &cases {
        let answer = answer(client, query)?;
        let [records, ..] = &answer.sections;
        let seen = (answer.truncated, records.len());
        let wanted = if cut.is_some() { (true, 0) } else { (false, 7) };
        ensure!(seen == wanted, "{what}: truncated and records are {seen:?}, must be {wanted:?}");
        ensure!(cut.is_none_or(|length| answer.length == length), "{what}: {} bytes", answer.length);
    }
    let huge = answer(client, &big().edns(65535, &[]))?;
    ensure!(huge.length <= 1232, "a client that takes 65535 bytes gets {}", huge.length);
    Ok(cases.len() + 1)
}

/// A cookie that was given is a proof; another one is answered with a fresh one. NSID is the configured one, a subnet is repeated to
/// the bit. Returns how many were asked.
pub(super) fn cookies(client: &mut Client) -> Result<usize> {
    let a = || ask("ns1.example.org", kind::A);
    let first = answer(client, &a().edns(1232, &hex("000a 0008 0102030405060708")))?;
    let given = first.option(10).context("no cookie")?.to_vec();
    ensure!(given.len() == 24 && given.starts_with(&hex("0102030405060708")), "a cookie is {given:x?}");
    let version = given.get(8).copied();
    ensure!(version == Some(1), "the cookie's version is {version:?} (RFC 9018 section 4.1)");
    let again = answer(client, &a().edns(1232, &[&hex("000a 0018")[..], &given].concat()))?;
    ensure!(again.option(10) == Some(given.as_slice()), "a fresh cookie is answered with another one");
    let mut forged = given;
    forged.iter_mut().skip(16).for_each(|byte| *byte ^= 1);
    let fresh = answer(client, &a().edns(1232, &[&hex("000a 0018")[..], &forged].concat()))?;
    ensure!(
        fresh.rcode == 0 && fresh.option(10).is_some_and(|new| new != forged),
        "a forged cookie is taken"
    );

    let named = answer(client, &a().edns(1232, &hex("0003 0000")))?;
    ensure!(named.option(3) == Some(IDENTITY.as_bytes()), "NSID is {:?}", named.option(3));
    let subnet = answer(client, &a().edns(1232, &hex("0008 0007 0001 14 00 c00020")))?;
    ensure!(
        subnet.option(8) == Some(&hex("0001 14 00 c00020")[..]),
        "a subnet is answered with {:x?}",
        subnet.option(8)
    );
    Ok(5)
}
