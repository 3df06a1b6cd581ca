//! Reading a query. Strict, without allocation, and it never looks at a byte twice.
//!
//! What is malformed keeps its header (and its question, where that could be read), since it gets an answer.
//! Records of a query are stepped over; only OPT is kept. Bytes behind the last record are ignored, as
//! gdnsd, NSD and BIND do.

use super::HEADER;
use super::edns::Options;
use crate::dns::name::{MAX_LABEL, wire_length};
use crate::dns::record::Type;

/// The header of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Repeated in the answer.
    pub id: u16,
    /// 0 is a query; others are not served.
    pub opcode: u8,
    /// Repeated in the answer.
    pub recursion_desired: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'m> {
    /// Uncompressed, in the case of the message.
    pub name: &'m [u8],
    /// What type of record.
    pub kind: Type,
    /// Which class: see [`super::class`].
    pub class: u16,
}

/// The OPT record of a query (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt<'m> {
    /// The largest UDP answer the sender takes, bytes, as it says.
    pub size: u16,
    /// 0 is the only version there is.
    pub version: u8,
    /// The sender wants DNSSEC records.
    pub dnssec_ok: bool,
    data: &'m [u8],
}

impl<'m> Opt<'m> {
    /// The options; `None` where they are malformed. Not to be asked of another version than 0.
    pub fn options(&self) -> Option<Options<'m>> {
        Options::read(self.data)
    }
}

/// A query that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'m> {
    /// Its header.
    pub header: Header,
    /// `None` where it has no question, which is well-formed and asks for a cookie only.
    pub question: Option<Question<'m>>,
    /// Its EDNS record.
    pub opt: Option<Opt<'m>>,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'m> {
    /// Shorter than a header, or itself an answer: to answer it could make two servers talk for ever.
    Unanswerable,
    /// Malformed; as much of it as could be read.
    Malformed(Message<'m>),
    /// A message.
    Message(Message<'m>),
}

/// Reads a message from a client.
pub fn read(bytes: &[u8]) -> Received<'_> {
    let mut rest = Cursor { bytes, at: 0 };
    let Some([id, bits, questions, answers, authorities, additionals]) = rest.header() else {
        return Received::Unanswerable;
    };
    if bits & 0x8000 != 0 {
        return Received::Unanswerable;
    }
    let opcode = u8::try_from((bits >> 11) & 0xf).unwrap_or_default();
    let header = Header { id, opcode, recursion_desired: bits & 0x0100 != 0 };
    let mut message = Message { header, question: None, opt: None };
    // Two questions have no meaning that any two servers agree on (RFC 9619).
    if questions > 1
        || read_body(&mut rest, &mut message, questions, [answers, authorities, additionals]).is_none()
    {
        return Received::Malformed(message);
    }
    Received::Message(message)
}

/// For how long an answer may be kept, seconds: the lowest TTL of the records that answer; where none does, of the SOA or of the servers
/// that are named instead (RFC 8484 §5.1). `None` where it has neither, or cannot be read.
pub fn lowest_ttl(answer: &[u8]) -> Option<u32> {
    let mut rest = Cursor { bytes: answer, at: 0 };
    let [_, _, questions, answers, authorities, _] = rest.header()?;
    for _ in 0..questions {
        rest.question()?;
    }
    let count = if answers > 0 { answers } else { authorities };
    let mut lowest = None;
    for _ in 0..count {
        let ttl = rest.record()?.ttl;
        lowest = Some(lowest.map_or(ttl, |lowest: u32| lowest.min(ttl)));
    }
    lowest
}

/// `None` where it is malformed; what was read before that is in `message`.
fn read_body<'m>(
    rest: &mut Cursor<'m>,
    message: &mut Message<'m>,
    questions: u16,
    [answers, authorities, additionals]: [u16; 3],
) -> Option<()> {
    if questions == 1 {
        message.question = Some(rest.question()?);
    }
    for _ in 0..u32::from(answers) + u32::from(authorities) {
        // OPT stands among the additional records or nowhere (RFC 6891 §6.1.1).
        if rest.record()?.kind == Type::OPT {
            return None;
        }
    }
    for _ in 0..additionals {
        let record = rest.record()?;
        if record.kind != Type::OPT {
            continue;
        }
        if message.opt.is_some() || !record.at_root {
            return None;
        }
        let [_, version, flags, _] = record.ttl.to_be_bytes();
        let dnssec_ok = flags & 0x80 != 0;
        message.opt = Some(Opt { size: record.class, version, dnssec_ok, data: record.data });
    }
    Some(())
}

struct Record<'m> {
    at_root: bool,
    kind: Type,
    class: u16,
    ttl: u32,
    data: &'m [u8],
}

/// The bytes from `at` on.
struct Cursor<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Cursor<'m> {
    fn header(&mut self) -> Option<[u16; HEADER / 2]> {
        let mut words = [0; HEADER / 2];
        for word in &mut words {
            *word = self.u16()?;
        }
        Some(words)
    }

    fn question(&mut self) -> Option<Question<'m>> {
        // The first name of a message has nothing before it that a pointer could mean.
        let length = wire_length(self.bytes.get(self.at..)?)?;
        let name = self.take(length)?;
        Some(Question { name, kind: Type(self.u16()?), class: self.u16()? })
    }

    fn record(&mut self) -> Option<Record<'m>> {
        let start = self.at;
        self.step_over_name()?;
        let at_root = self.at == start + 1;
        let (kind, class) = (Type(self.u16()?), self.u16()?);
        let ttl = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let length = usize::from(self.u16()?);
        Some(Record { at_root, kind, class, ttl, data: self.take(length)? })
    }

    /// To the end of a name that may be compressed. Pointers are not followed, so that no loop costs anything;
    /// one that does not point back is malformed.
    fn step_over_name(&mut self) -> Option<()> {
        let start = self.at;
        loop {
            let length = usize::from(*self.take(1)?.first()?);
            match length {
                0 => return Some(()),
                1..=MAX_LABEL => self.take(length).map(drop)?,
                0xc0..=0xff => {
                    let low = usize::from(*self.take(1)?.first()?);
                    return ((length & 0x3f) << 8 | low < start).then_some(());
                }
                _ => return None,
            }
            if self.at - start > crate::dns::name::MAX_NAME {
                return None;
            }
        }
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}
