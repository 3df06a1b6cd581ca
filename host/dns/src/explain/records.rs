//! The records of a message as text. Types without a form of their own are printed as RFC 3597 has them, which every zone
//! file can hold.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use weir_core::dns::name::{MAX_NAME, Name};
use weir_core::dns::record::Type;

/// The records of the answer and authority sections. What cannot be read ends the list: the message is our own.
pub(super) fn of(message: &[u8]) -> Vec<String> {
    let mut reader = Reader { message, at: 12 };
    let mut records = Vec::new();
    let count = |at: usize| reader_word(message, at).unwrap_or_default();
    if count(4) > 0 && (reader.name().is_none() || reader.skip(4).is_none()) {
        return records;
    }
    for _ in 0..u32::from(count(6)) + u32::from(count(8)) {
        match reader.record() {
            Some(record) => records.push(record),
            None => break,
        }
    }
    records
}

fn reader_word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl Reader<'_> {
    fn record(&mut self) -> Option<String> {
        let owner = self.name()?;
        let kind = Type(self.word()?);
        let _class = self.word()?;
        let ttl = u32::from(self.word()?) << 16 | u32::from(self.word()?);
        let length = usize::from(self.word()?);
        let end = self.at.checked_add(length)?;
        let data = self.data(kind, end)?;
        self.at = end;
        Some(format!("{owner} {ttl} {kind} {data}"))
    }

    fn data(&mut self, kind: Type, end: usize) -> Option<String> {
        let bytes = self.message.get(self.at..end)?;
        Some(match kind {
            Type::A => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
            Type::AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
            Type::NS | Type::CNAME | Type::DNAME | Type::PTR => self.name()?.to_string(),
            Type::MX => format!("{} {}", self.word()?, self.name()?),
            Type::SOA => {
                let mut text = format!("{} {}", self.name()?, self.name()?);
                for _ in 0..5 {
                    let number = u32::from(self.word()?) << 16 | u32::from(self.word()?);
                    // Writing to a string does not fail.
                    let _ = write!(text, " {number}");
                }
                text
            }
            Type::TXT => texts(bytes)?,
            _ => {
                let mut text = format!("\\# {}", bytes.len());
                for (at, byte) in bytes.iter().enumerate() {
                    let _ = write!(text, "{}{byte:02x}", if at == 0 { " " } else { "" });
                }
                text
            }
        })
    }

    fn word(&mut self) -> Option<u16> {
        let word = reader_word(self.message, self.at)?;
        self.at += 2;
        Some(word)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes)?;
        Some(())
    }

    /// A name, its pointers followed as long as each points further back.
    fn name(&mut self) -> Option<Name> {
        let (mut wire, mut here, mut behind) = (Vec::new(), self.at, None);
        loop {
            let length = usize::from(*self.message.get(here)?);
            if length >= 0xc0 {
                let to = (length & 0x3f) << 8 | usize::from(*self.message.get(here + 1)?);
                behind.get_or_insert(here + 2);
                if to >= here {
                    return None;
                }
                here = to;
                continue;
            }
            wire.extend_from_slice(self.message.get(here..=here + length)?);
            here += length + 1;
            if length == 0 || wire.len() > MAX_NAME {
                break;
            }
        }
        self.at = behind.unwrap_or(here);
        Name::from_wire(&wire).ok()
    }
}

/// Strings in quotes, with `\DDD` for what is not printed.
fn texts(mut bytes: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (text, behind) = rest.split_at_checked(usize::from(*length))?;
        let mut quoted = String::from('"');
        for byte in text {
            let _ = match byte {
                b'"' | b'\\' => write!(quoted, "\\{}", char::from(*byte)),
                0x20..=0x7e => write!(quoted, "{}", char::from(*byte)),
                _ => write!(quoted, "\\{byte:03}"),
            };
        }
        quoted.push('"');
        out.push(quoted);
        bytes = behind;
    }
    Some(out.join(" "))
}
