//! The data of a record: from its words to wire form.

mod fields;
mod generic;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::lex::Token;
use super::service;
use crate::dns::name::Name;
use crate::dns::record::Type;
pub(super) use fields::{Fields, base64, number};

/// The wire form of a record's data. Names in it are complete and uncompressed.
pub(super) fn read(kind: Type, tokens: &[Token<'_>], origin: &Name) -> Result<Box<[u8]>, String> {
    let mut f = Fields::new(tokens, origin);
    if let Some((Token { text: b"\\#", quoted: false }, hex)) = tokens.split_first() {
        return generic::read(kind, Fields::new(hex, origin));
    }
    match kind {
        Type::A => f.address::<Ipv4Addr, 4>("an IPv4 address, as 192.0.2.1", |a| a.octets())?,
        Type::AAAA => f.address::<Ipv6Addr, 16>("an IPv6 address, as 2001:db8::1", |a| a.octets())?,
        Type::NS | Type::CNAME | Type::DNAME | Type::PTR => f.name("a name")?,
        Type::MX | Type::AFSDB | Type::KX => {
            f.u16("a preference (0 to 65535)")?;
            f.name("the name of a host")?;
        }
        Type::SOA => soa(&mut f)?,
        Type::TXT | Type::SPF => f.strings()?,
        Type::HINFO => {
            f.string("the machine")?;
            f.string("the system")?;
        }
        Type::RP => {
            f.name("a mailbox, as a name")?;
            f.name("the name of a TXT record")?;
        }
        Type::SRV => {
            f.u16("a priority (0 to 65535)")?;
            f.u16("a weight (0 to 65535)")?;
            f.u16("a port (0 to 65535)")?;
            f.name("the name of a host")?;
        }
        Type::NAPTR => {
            f.u16("an order (0 to 65535)")?;
            f.u16("a preference (0 to 65535)")?;
            f.string("flags")?;
            f.string("services")?;
            f.string("a regular expression")?;
            f.name("a name")?;
        }
        Type::CAA => caa(&mut f)?,
        Type::DS | Type::CDS => {
            f.u16("a key tag (0 to 65535)")?;
            f.u8("an algorithm by number (0 to 255)")?;
            f.u8("a digest type by number (0 to 255)")?;
            f.hex("a digest in hexadecimal")?;
        }
        Type::SSHFP => {
            f.u8("an algorithm by number (0 to 255)")?;
            f.u8("a fingerprint type by number (0 to 255)")?;
            f.hex("a fingerprint in hexadecimal")?;
        }
        Type::TLSA | Type::SMIMEA => {
            f.u8("a certificate usage (0 to 255)")?;
            f.u8("a selector (0 to 255)")?;
            f.u8("a matching type (0 to 255)")?;
            f.hex("certificate data in hexadecimal")?;
        }
        Type::OPENPGPKEY => f.base64("a key in base64")?,
        Type::SVCB | Type::HTTPS => service::read(&mut f)?,
        _ => {
            return Err(format!(
                "its data is not read by words here: write it as `TYPE{} \\# LENGTH HEX`",
                kind.0
            ));
        }
    }
    f.finish()
}

fn soa(f: &mut Fields<'_>) -> Result<(), String> {
    f.name("the name of the primary server")?;
    f.name("a mailbox, as a name: `hostmaster`")?;
    f.u32("a serial number (0 to 4294967295)")?;
    for what in ["a refresh time", "a retry time", "an expire time", "a minimum (the negative TTL)"] {
        f.time(what)?;
    }
    Ok(())
}

/// RFC 8659 §4.1.1: the tag is letters and digits, the value is not a character string and may be long.
fn caa(f: &mut Fields<'_>) -> Result<(), String> {
    f.u8("flags (0 to 255)")?;
    let tag = f.plain("a tag: issue, issuewild or iodef")?;
    if tag.is_empty() || tag.len() > 255 || !tag.iter().all(u8::is_ascii_alphanumeric) {
        return Err("the tag is letters and digits: issue, issuewild or iodef".into());
    }
    f.push_string(&tag)?;
    let value = f.plain("a value: \"ca.example.net\"")?;
    f.push(&value);
    Ok(())
}
