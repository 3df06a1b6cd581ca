//! Queries, made byte by byte: a server has to answer those that no library would send as well.

use anyhow::{Context, Result, ensure};

/// Where the number of additional records stands.
const ADDITIONAL: usize = 10;
/// A header, bytes.
const HEADER: usize = 12;

/// Types by their number.
pub(crate) mod kind {
    #![allow(missing_docs, reason = "they are what their names say")]
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const MX: u16 = 15;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const DS: u16 = 43;
    pub(crate) const RRSIG: u16 = 46;
    pub(crate) const TSIG: u16 = 250;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const AXFR: u16 = 252;
    pub(crate) const MAILB: u16 = 253;
    pub(crate) const MAILA: u16 = 254;
    pub(crate) const ANY: u16 = 255;
    pub(crate) const CAA: u16 = 257;
}

/// A query, and how it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// The message.
    pub(crate) bytes: Vec<u8>,
    /// Over TCP, not UDP.
    pub(crate) tcp: bool,
}

/// A query for a name in class IN.
pub(crate) fn ask(name: &str, kind: u16) -> Query {
    ask_class(name, kind, 1)
}

/// A query for a name in any class.
pub(crate) fn ask_class(name: &str, kind: u16, class: u16) -> Query {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend(wire(name));
    bytes.extend(kind.to_be_bytes());
    bytes.extend(class.to_be_bytes());
    Query { bytes, tcp: false }
}

/// A query that is these hexadecimal digits.
pub(crate) fn raw(digits: &str) -> Query {
    Query { bytes: hex(digits), tcp: false }
}

/// Bytes from hexadecimal digits; spaces are for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

/// A name in wire form. A label may hold anything but a dot; nobody here needs another.
fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

impl Query {
    /// Over TCP.
    pub(crate) fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// With another opcode.
    pub(crate) fn opcode(self, opcode: u8) -> Self {
        self.with(|bytes| {
            if let Some(bits) = bytes.get_mut(2) {
                *bits = *bits & 0x87 | opcode << 3;
            }
        })
    }

    /// With something done to its bytes.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.bytes);
        self
    }

    /// With these bits set in one byte.
    pub(crate) fn bits(self, at: usize, bits: u8) -> Self {
        self.with(|bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte |= bits;
            }
        })
    }

    /// With one more record of a section, by the place of its count in the header, and its bytes behind the rest.
    pub(crate) fn record(self, count: usize, digits: &str) -> Self {
        self.with(|bytes| {
            if let Some(low) = bytes.get_mut(count) {
                *low += 1;
            }
            bytes.extend(hex(digits));
        })
    }

    /// With EDNS of version 0: the size that the client takes, and options.
    pub(crate) fn edns(self, size: u16, options: &[u8]) -> Self {
        self.opt(size, [0; 4], options)
    }

    /// With an OPT record whose TTL field is `ttl`.
    pub(crate) fn opt(self, size: u16, ttl: [u8; 4], options: &[u8]) -> Self {
        let length = u16::try_from(options.len()).unwrap_or(u16::MAX);
        self.record(ADDITIONAL + 1, "00 0029").with(|bytes| {
            bytes.extend(size.to_be_bytes());
            bytes.extend(ttl);
            bytes.extend(length.to_be_bytes());
            bytes.extend(options);
        })
    }

    /// With another number.
    pub(crate) fn numbered(self, id: u16) -> Self {
        self.with(|bytes| bytes.iter_mut().zip(id.to_be_bytes()).for_each(|(to, from)| *to = from))
    }

    /// Whether the answer repeats what has to be repeated: number, opcode, RD, and the question's bytes where there is one.
    pub(crate) fn is_repeated_in(&self, answer: &[u8]) -> Result<()> {
        let head = self.bytes.first_chunk::<3>().context("a query without header")?;
        let its = answer.first_chunk::<3>().context("an answer without header")?;
        ensure!(head.iter().take(2).eq(its.iter().take(2)), "the answer has another number");
        ensure!((its[2] & 0x80) != 0, "the answer has not QR set");
        ensure!((its[2] ^ head[2]) & 0x79 == 0, "opcode or RD is not that of the query");
        if let (Some(question), Some([0, 1])) = (self.question(), answer.get(4..6)) {
            // To the bit, case and all: resolvers take it for a proof.
            ensure!(
                answer.get(HEADER..HEADER + question.len()) == Some(question),
                "another question is answered"
            );
        }
        Ok(())
    }

    /// The question's bytes: everything behind the header up to the class, where it is whole.
    fn question(&self) -> Option<&[u8]> {
        let rest = self.bytes.get(HEADER..)?;
        let mut at = 0;
        loop {
            let length = usize::from(*rest.get(at)?);
            at += length + 1;
            match length {
                0 => return rest.get(..at + 4),
                1..=63 => {}
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_what_they_should_be_to_the_byte() {
        let expected =
            hex("1234 0100 0001 0000 0000 0001 0377777700 0001 0001 00 0029 04d0 00000000 0002 abcd");
        assert_eq!(ask("www", kind::A).edns(1232, &[0xab, 0xcd]).bytes, expected);
        assert_eq!(ask("www.", kind::A).question(), Some(&hex("0377777700 0001 0001")[..]));
        assert_eq!(
            ask(".", kind::NS).opcode(5).numbered(7).bytes,
            hex("0007 2900 0001 0000 0000 0000 00 0002 0001")
        );
    }

    #[test]
    fn what_is_not_repeated_is_found() {
        let query = ask("www", kind::A);
        let well = hex("1234 8500");
        assert!(query.is_repeated_in(&well).is_ok());
        for (wrong, why) in
            [("1235 8500", "number"), ("1234 0500", "QR"), ("1234 8400", "RD"), ("1234 8d00", "opcode")]
        {
            let fault = query.is_repeated_in(&hex(wrong)).unwrap_err().to_string();
            assert!(fault.contains(why), "{fault}");
        }
    }
}
