//! The words of a record's data, taken one by one.

use std::str::FromStr;

use crate::dns::name::Name;
use crate::dns::zonefile::entry::{name, read_ttl};
use crate::dns::zonefile::lex::{Token, unescape};

/// What is left of the words, and what was made of those before.
pub(in crate::dns::zonefile) struct Fields<'t> {
    rest: &'t [Token<'t>],
    origin: &'t Name,
    wire: Vec<u8>,
}

impl<'t> Fields<'t> {
    pub(in crate::dns::zonefile) fn new(rest: &'t [Token<'t>], origin: &'t Name) -> Self {
        Self { rest, origin, wire: Vec::new() }
    }

    /// The next word; `what` completes "... is missing".
    pub(in crate::dns::zonefile) fn next(&mut self, what: &str) -> Result<&'t Token<'t>, String> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| format!("{what} is missing"))?;
        self.rest = rest;
        Ok(first)
    }

    pub(in crate::dns::zonefile) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(in crate::dns::zonefile) fn push(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
    }

    /// A text of at most 255 bytes, with its length before it.
    pub(in crate::dns::zonefile) fn push_string(&mut self, text: &[u8]) -> Result<(), String> {
        let length = u8::try_from(text.len()).map_err(|_| {
            format!("a text has at most 255 bytes and this one {}: write several, each in quotes", text.len())
        })?;
        self.wire.push(length);
        self.push(text);
        Ok(())
    }

    pub(super) fn address<A: FromStr, const N: usize>(
        &mut self,
        what: &str,
        octets: impl Fn(A) -> [u8; N],
    ) -> Result<(), String> {
        let token = self.next(what)?;
        let address = token.word().parse().map_err(|_| wanted(token, what))?;
        self.push(&octets(address));
        Ok(())
    }

    pub(in crate::dns::zonefile) fn name(&mut self, what: &str) -> Result<(), String> {
        let name = name(self.next(what)?, self.origin)?;
        self.push(name.as_wire());
        Ok(())
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<(), String> {
        let number: u8 = self.parse(what)?;
        self.push(&[number]);
        Ok(())
    }

    pub(in crate::dns::zonefile) fn u16(&mut self, what: &str) -> Result<u16, String> {
        let number: u16 = self.parse(what)?;
        self.push(&number.to_be_bytes());
        Ok(number)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<(), String> {
        let number: u32 = self.parse(what)?;
        self.push(&number.to_be_bytes());
        Ok(())
    }

    pub(super) fn time(&mut self, what: &str) -> Result<(), String> {
        let seconds = read_ttl(self.next(what)?).map_err(|why| format!("{what}: {why}"))?;
        self.push(&seconds.to_be_bytes());
        Ok(())
    }

    pub(super) fn parse<N: FromStr>(&mut self, what: &str) -> Result<N, String> {
        let token = self.next(what)?;
        number(token.word()).ok_or_else(|| wanted(token, what))
    }

    /// A text as it is meant, escapes replaced.
    pub(super) fn plain(&mut self, what: &str) -> Result<Vec<u8>, String> {
        unescape(self.next(what)?.text)
    }

    pub(super) fn string(&mut self, what: &str) -> Result<(), String> {
        let text = self.plain(what)?;
        self.push_string(&text)
    }

    pub(super) fn strings(&mut self) -> Result<(), String> {
        self.string("a text")?;
        while !self.is_empty() {
            self.string("a text")?;
        }
        Ok(())
    }

    /// All words that are left, as one in hexadecimal; at least one byte.
    pub(super) fn hex(&mut self, what: &str) -> Result<(), String> {
        let before = self.wire.len();
        let mut high = None;
        while let Some((token, rest)) = self.rest.split_first() {
            self.rest = rest;
            for byte in token.text {
                let digit = char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let digit = digit.ok_or_else(|| wanted(token, what))?;
                match high.take() {
                    None => high = Some(digit << 4),
                    Some(high) => self.wire.push(high | digit),
                }
            }
        }
        if high.is_some() {
            return Err(format!("{what} has two digits for each byte, and here one is left"));
        }
        if self.wire.len() == before { Err(format!("{what} is missing")) } else { Ok(()) }
    }

    /// All words that are left, as one in base64; at least one byte.
    pub(super) fn base64(&mut self, what: &str) -> Result<(), String> {
        let text: Vec<u8> = self.rest.iter().flat_map(|t| t.text).copied().collect();
        self.rest = &[];
        let bytes =
            base64(&text).filter(|b| !b.is_empty()).ok_or_else(|| format!("{what} is missing or is none"))?;
        self.push(&bytes);
        Ok(())
    }

    /// The whole, where no word is left.
    pub(super) fn finish(self) -> Result<Box<[u8]>, String> {
        if let Some(token) = self.rest.first() {
            return Err(format!("`{}` is too much: the data ends before it", token.show()));
        }
        if self.wire.len() > usize::from(u16::MAX) {
            return Err("the data has more than 65535 bytes".into());
        }
        Ok(self.wire.into())
    }
}

fn wanted(token: &Token<'_>, what: &str) -> String {
    format!("`{}` is not {what}", token.show())
}

/// A number of digits alone: no sign, as `parse` would take.
pub(in crate::dns::zonefile) fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Base64 with its padding (RFC 4648 §4); `None` where it is none.
pub(in crate::dns::zonefile) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    (bits & ((1 << count) - 1) == 0).then_some(bytes)
}
