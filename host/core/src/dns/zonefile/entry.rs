//! Entries to records and directives: owners, TTLs, classes, and what a file inherits from its line before.

use std::fmt::Display;
use std::sync::Arc;

use super::lex::{Entry, Lexer, Token};
use super::{MAX_DEPTH, MAX_INCLUDES, Reading, rdata};
use crate::dns::name::Name;
use crate::dns::record::Type;
use crate::dns::zone::Place;

/// The highest TTL: RFC 2181 §8 has 31 bits for it.
const MAX_TTL: u32 = 0x7fff_ffff;

/// What a line of a file inherits.
pub(super) struct Reader {
    file: Arc<str>,
    origin: Name,
    owner: Option<Name>,
    /// `$TTL`.
    default_ttl: Option<u32>,
    /// The TTL of the record before, or the SOA's minimum.
    last_ttl: Option<u32>,
}

impl Reader {
    pub(super) fn new(file: Arc<str>, origin: Name) -> Self {
        Self { file, origin, owner: None, default_ttl: None, last_ttl: None }
    }
}

impl Reading<'_> {
    /// Reads a whole file into the zone.
    pub(super) fn file(&mut self, reader: &mut Reader, text: &[u8], depth: usize) {
        let mut lexer = Lexer::new(text);
        let mut entry = Entry::default();
        loop {
            let result = match lexer.next(&mut entry) {
                Ok(false) => return,
                Ok(true) => self.entry(reader, &entry, depth),
                Err(message) => Err(message),
            };
            if let Err(message) = result {
                self.faults.add(Place { file: Arc::clone(&reader.file), line: entry.line }, message);
                if self.faults.is_full() {
                    return;
                }
            }
        }
    }

    fn entry(&mut self, reader: &mut Reader, entry: &Entry<'_>, depth: usize) -> Result<(), String> {
        match entry.tokens.split_first() {
            Some((first, rest)) if !entry.blank && !first.quoted && first.text.starts_with(b"$") => {
                self.directive(reader, first, rest, depth)
            }
            Some((owner, rest)) if !entry.blank => {
                reader.owner = Some(name(owner, &reader.origin)?);
                self.record(reader, rest, entry.line)
            }
            _ => self.record(reader, &entry.tokens, entry.line),
        }
    }

    fn directive(
        &mut self,
        reader: &mut Reader,
        word: &Token<'_>,
        rest: &[Token<'_>],
        depth: usize,
    ) -> Result<(), String> {
        match (word.text.to_ascii_uppercase().as_slice(), rest) {
            (b"$TTL", [ttl]) => reader.default_ttl = Some(read_ttl(ttl)?),
            (b"$TTL", _) => return Err("`$TTL` wants one time: `$TTL 1h`".into()),
            (b"$ORIGIN", [origin]) => reader.origin = name(origin, &reader.origin)?,
            (b"$ORIGIN", _) => return Err("`$ORIGIN` wants one name: `$ORIGIN example.org.`".into()),
            (b"$INCLUDE", [file]) => self.include(reader, file, reader.origin.clone(), depth)?,
            (b"$INCLUDE", [file, origin]) => {
                let origin = name(origin, &reader.origin)?;
                self.include(reader, file, origin, depth)?;
            }
            (b"$INCLUDE", _) => {
                return Err("`$INCLUDE` wants a file, and a name where its origin is another".into());
            }
            _ => {
                let word = word.show();
                return Err(format!("`{word}` is no directive: there are `$ORIGIN`, `$TTL` and `$INCLUDE`"));
            }
        }
        Ok(())
    }

    /// Origin and owner of this file stay what they are, whatever the other says (RFC 1035 §5.1).
    fn include(&mut self, from: &Reader, file: &Token<'_>, origin: Name, depth: usize) -> Result<(), String> {
        if depth >= MAX_DEPTH {
            return Err(format!("files include each other {MAX_DEPTH} deep: perhaps in a circle"));
        }
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            return Err(format!("more than {MAX_INCLUDES} files are included: perhaps in a circle"));
        }
        let path = super::lex::unescape(file.text)?;
        let path = std::str::from_utf8(&path).map_err(|_| "the name of the file is not UTF-8")?;
        let included =
            (self.include)(path, &from.file).map_err(|why| format!("cannot include `{path}`: {why}"))?;
        let mut reader = Reader {
            file: included.name.into(),
            origin,
            owner: from.owner.clone(),
            default_ttl: from.default_ttl,
            last_ttl: from.last_ttl,
        };
        self.file(&mut reader, &included.text, depth + 1);
        Ok(())
    }

    fn record(&mut self, reader: &mut Reader, tokens: &[Token<'_>], line: u32) -> Result<(), String> {
        let owner =
            reader.owner.clone().ok_or("the first record has no owner: start its line with a name or `@`")?;
        let (mut ttl, mut class) = (None, false);
        let mut rest = tokens;
        let kind = loop {
            let Some((word, behind)) = rest.split_first() else {
                return Err("the record has no type: `NAME TTL TYPE DATA`".into());
            };
            rest = behind;
            if ttl.is_none() && word.text.first().is_some_and(u8::is_ascii_digit) {
                ttl = Some(read_ttl(word)?);
            } else if !class && is_class(word)? {
                class = true;
            } else {
                break read_type(word)?;
            }
        };
        let data = rdata::read(kind, rest, &reader.origin).map_err(|why| format!("{kind}: {why}"))?;
        let minimum = || data.last_chunk().map(|m| u32::from_be_bytes(*m)).filter(|_| kind == Type::SOA);
        let ttl = ttl
            .or(reader.default_ttl)
            .or(reader.last_ttl)
            // A file without `$TTL` whose SOA has none: the SOA's minimum, as BIND does, and RFC 1035 did for all.
            .or_else(minimum)
            .ok_or("the record has no TTL: write one, or `$TTL 1h` above it")?;
        reader.last_ttl = Some(ttl);
        let place = Place { file: Arc::clone(&reader.file), line };
        self.zone.add(&owner, kind, ttl.min(MAX_TTL), data, place)
    }
}

impl Token<'_> {
    /// For messages.
    pub(super) fn show(&self) -> String {
        const LONGEST: usize = 60;
        let text = String::from_utf8_lossy(self.text);
        let mut shown: String =
            text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
        if text.chars().nth(LONGEST).is_some() {
            shown.push_str("...");
        }
        shown
    }

    /// The word, where it is ASCII; it matches nothing where it is not.
    pub(super) fn word(&self) -> &str {
        std::str::from_utf8(self.text).unwrap_or_default()
    }
}

/// A name of the file.
pub(super) fn name(token: &Token<'_>, origin: &Name) -> Result<Name, String> {
    Name::parse_below(token.text, origin).map_err(|why| about(token, &why))
}

pub(super) fn about(token: &Token<'_>, why: &dyn Display) -> String {
    format!("`{}`: {why}", token.show())
}

/// Whether the word is a class; another class than Internet is an error.
fn is_class(token: &Token<'_>) -> Result<bool, String> {
    let word = token.word().to_ascii_uppercase();
    match word.as_str() {
        "IN" | "CLASS1" => Ok(true),
        "CH" | "HS" | "CS" => Err(format!("class {word}: only Internet (IN) is served")),
        _ if word.strip_prefix("CLASS").is_some_and(|n| n.parse::<u16>().is_ok()) => {
            Err(format!("class {word}: only Internet (IN) is served"))
        }
        _ => Ok(false),
    }
}

fn read_type(token: &Token<'_>) -> Result<Type, String> {
    let word = token.word().to_ascii_uppercase();
    if let Some(kind) = Type::from_word(&word) {
        return Ok(kind);
    }
    Err(match word.as_str() {
        "DYNA" | "DYNC" | "POLICY" | "LUA" | "ALIAS" | "ANAME" => format!(
            "`{word}` is no type that other servers read: name the policy that decides the addresses of `www` with \
             `_policy.www 60 TXT \"web\"`"
        ),
        _ => format!(
            "`{}` is no record type: types without a word are written `TYPE123 \\# 2 abcd`",
            token.show()
        ),
    })
}

/// Seconds, or times such as `1h30m`.
pub(super) fn read_ttl(token: &Token<'_>) -> Result<u32, String> {
    ttl(token.text).ok_or_else(|| {
        format!(
            "`{}` is no time: write seconds, or `1h30m` with w, d, h, m, s; at most 2147483647 s",
            token.show()
        )
    })
}

fn ttl(text: &[u8]) -> Option<u32> {
    let (mut sum, mut number) = (0u32, None::<u32>);
    for byte in text {
        let unit = match byte.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u32::from(digit - b'0'))?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        sum = sum.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    if text.is_empty() {
        return None;
    }
    sum.checked_add(number.unwrap_or(0)).filter(|s| *s <= MAX_TTL)
}
