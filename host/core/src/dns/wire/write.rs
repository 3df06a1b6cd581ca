//! Writing an answer, record by record, into a buffer that is used again.
//!
//! Names are compressed against those before them (RFC 1035 §4.1.4): the question's own name stands at the
//! start, so an owner is two bytes and keeps the case in which it was asked. A record that does not fit leaves no
//! trace: [`Full`] is returned, the bytes are as before, and the caller decides whether that is a truncation.

use super::{HEADER, Header, PADDING, Question, Rcode, class};
use crate::dns::name::suffixes;
use crate::dns::record::{Type, compressible};

/// The record does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// How far an answer has come, to come back to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    length: usize,
    remembered: usize,
    question_is_known: bool,
    counts: [u16; 3],
}

/// Names that are remembered for compression. More would make an answer of thousands of records cost the
/// square of their number, and save little.
const MAX_REMEMBERED: usize = 48;

/// Answers that are padded have a multiple of this many bytes: what RFC 8467 §4.1 asks of servers.
const BLOCK: usize = 468;

/// A pointer to the question's name.
const ASKED: [u8; 2] = [0xc0, HEADER as u8];

/// Sections of a message that hold records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Answer,
    Authority,
    Additional,
}

/// An answer that is being written.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    limit: usize,
    section: Section,
    counts: [u16; 3],
    question_end: usize,
    /// Whether the question's name is among `names`: most answers have no other name, and need none of it.
    question_is_known: bool,
    /// Where a name starts, and how long it is in wire form.
    names: [(u16, u8); MAX_REMEMBERED],
    remembered: usize,
}

impl<'o> Writer<'o> {
    /// Starts an answer of at most `limit` bytes in `out`, whose content is dropped. The question always
    /// fits: `limit` is raised to what it needs.
    pub fn new(out: &'o mut Vec<u8>, limit: usize, question: Option<&Question<'_>>) -> Self {
        out.clear();
        out.extend_from_slice(&[0; HEADER]);
        if let Some(question) = question {
            let ([k, ind], [c, lass]) = (question.kind.0.to_be_bytes(), question.class.to_be_bytes());
            out.extend_from_slice(question.name);
            out.extend_from_slice(&[k, ind, c, lass]);
        }
        let question_end = out.len();
        Self {
            out,
            limit: limit.max(question_end),
            section: Section::Answer,
            counts: [0; 3],
            question_end,
            question_is_known: false,
            names: [(0, 0); MAX_REMEMBERED],
            remembered: 0,
        }
    }

    /// Where the next records go. Sections are written in their order.
    pub(crate) fn section(&mut self, section: Section) {
        self.section = section;
    }

    /// Adds a record of class IN; names in `data` stand uncompressed.
    pub(crate) fn record(&mut self, owner: &[u8], kind: Type, ttl: u32, data: &[u8]) -> Result<(), Full> {
        self.record_of(class::IN, owner, kind, ttl, data)
    }

    /// Adds a record of any class.
    pub(crate) fn record_of(
        &mut self,
        class: u16,
        owner: &[u8],
        kind: Type,
        ttl: u32,
        data: &[u8],
    ) -> Result<(), Full> {
        let before = self.mark();
        if self.is_asked(owner) {
            self.out.extend_from_slice(&ASKED);
        } else {
            self.name(owner);
        }
        let ([k, ind], [c, lass], [t0, t1, t2, t3]) =
            (kind.0.to_be_bytes(), class.to_be_bytes(), ttl.to_be_bytes());
        self.out.extend_from_slice(&[k, ind, c, lass, t0, t1, t2, t3, 0, 0]);
        let length_at = self.out.len() - 2;
        self.data(kind, data);
        let length = u16::try_from(self.out.len() - length_at - 2);
        let fits = self.out.len() <= self.limit;
        let written = match (length, self.out.get_mut(length_at..length_at + 2)) {
            (Ok(length), Some(place)) if fits => {
                place.copy_from_slice(&length.to_be_bytes());
                self.count()
            }
            _ => false,
        };
        if written {
            return Ok(());
        }
        self.back_to(before);
        Err(Full)
    }

    /// How far it has come.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            length: self.out.len(),
            remembered: self.remembered,
            question_is_known: self.question_is_known,
            counts: self.counts,
        }
    }

    /// Takes out again what was written since then.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        let Mark { length, remembered, question_is_known, counts } = mark;
        self.out.truncate(length);
        self.remembered = remembered;
        // What was learned of the question on the way is forgotten with it.
        self.question_is_known = question_is_known;
        self.counts = counts;
    }

    /// Takes every record out again: what is left is the question.
    pub(crate) fn clear_records(&mut self) {
        self.out.truncate(self.question_end);
        self.question_is_known = false;
        self.remembered = 0;
        self.counts = [0; 3];
    }

    /// How many records stand in the answer section.
    pub(crate) fn answers(&self) -> u16 {
        self.counts[0]
    }

    /// Where the next record starts: the place of its owner.
    pub(crate) fn position(&self) -> usize {
        self.out.len()
    }

    /// Whether the name that was written at `position` is this one.
    pub(crate) fn is_at(&self, position: usize, name: &[u8]) -> bool {
        same(self.out, position, name)
    }

    /// Adds the OPT record, for which the caller kept room below the limit, and completes the header.
    pub(crate) fn finish(self, header: &Header, rcode: Rcode, flags: Flags, opt: Option<OptRecord<'_>>) {
        let [high, low] = rcode.0.to_be_bytes();
        let [extended, low] = [high << 4 | low >> 4, low & 0xf];
        let mut additionals = self.counts[2];
        if let Some(OptRecord { size, dnssec_ok, options, is_padded }) = opt {
            // Type, size, code, version and flags, and the length stand before the options.
            let before = self.out.len() + 11 + options.len();
            let fill = is_padded.then(|| fill(before + 4));
            let padding = fill.map_or(0, |fill| 4 + usize::from(fill));
            let length = u16::try_from(options.len() + padding).unwrap_or_default();
            self.out.extend_from_slice(&[0]);
            self.out.extend_from_slice(&Type::OPT.0.to_be_bytes());
            self.out.extend_from_slice(&size.to_be_bytes());
            self.out.extend_from_slice(&[extended, 0, u8::from(dnssec_ok) << 7, 0]);
            self.out.extend_from_slice(&length.to_be_bytes());
            self.out.extend_from_slice(options);
            if let Some(fill) = fill {
                self.out.extend_from_slice(&PADDING.to_be_bytes());
                self.out.extend_from_slice(&fill.to_be_bytes());
                self.out.resize(self.out.len() + usize::from(fill), 0);
            }
            additionals = additionals.saturating_add(1);
        }
        let bits = 0x80
            | (header.opcode & 0xf) << 3
            | u8::from(flags.authoritative) << 2
            | u8::from(flags.truncated) << 1
            | u8::from(header.recursion_desired);
        let questions = u16::from(self.question_end > HEADER);
        let words = [
            header.id,
            u16::from_be_bytes([bits, low]),
            questions,
            self.counts[0],
            self.counts[1],
            additionals,
        ];
        for (place, word) in self.out.chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }

    /// False where the section has 65535 already.
    fn count(&mut self) -> bool {
        let [answers, authorities, additionals] = &mut self.counts;
        let count = match self.section {
            Section::Answer => answers,
            Section::Authority => authorities,
            Section::Additional => additionals,
        };
        let next = count.checked_add(1);
        *count = next.unwrap_or(*count);
        next.is_some()
    }

    fn data(&mut self, kind: Type, data: &[u8]) {
        let names = compressible(kind);
        let Some((head, mut rest)) = data.split_at_checked(names.skip) else {
            self.out.extend_from_slice(data);
            return;
        };
        self.out.extend_from_slice(head);
        for _ in 0..names.count {
            let Some(length) = crate::dns::name::wire_length(rest) else { break };
            let Some((name, behind)) = rest.split_at_checked(length) else { break };
            self.name(name);
            rest = behind;
        }
        self.out.extend_from_slice(rest);
    }

    /// Writes a name: labels until the rest of it stands somewhere already, then a pointer to that.
    fn name(&mut self, wire: &[u8]) {
        if !self.question_is_known {
            self.learn_question();
        }
        for suffix in suffixes(wire) {
            if suffix.len() <= 1 {
                break;
            }
            if let Some(at) = self.find(suffix) {
                self.out.extend_from_slice(&(0xc000 | at).to_be_bytes());
                return;
            }
            self.remember(self.out.len(), suffix.len());
            let label = usize::from(suffix.first().copied().unwrap_or_default());
            self.out.extend_from_slice(suffix.get(..=label).unwrap_or_default());
        }
        self.out.push(0);
    }

    /// Whether a pointer to the question says this: of most records the owner is what was asked for.
    fn is_asked(&self, owner: &[u8]) -> bool {
        // Of type and class in the question there are four bytes behind the name; a pointer to the root would be longer than it.
        let name = self.out.get(HEADER..self.question_end.saturating_sub(4));
        owner.len() > 1 && name == Some(owner)
    }

    fn find(&self, suffix: &[u8]) -> Option<u16> {
        let known = self.names.get(..self.remembered)?;
        known
            .iter()
            .find(|(at, length)| {
                usize::from(*length) == suffix.len() && same(self.out, usize::from(*at), suffix)
            })
            .map(|(at, _)| *at)
    }

    /// Remembers the question's name and its ends. Nothing was written behind the question but by pointing to it.
    fn learn_question(&mut self) {
        self.question_is_known = true;
        let (mut at, end) = (HEADER, self.question_end.saturating_sub(4));
        while at + 1 < end {
            self.remember(at, end - at);
            at += usize::from(self.out.get(at).copied().unwrap_or_default()) + 1;
        }
    }

    /// Remembers the name that starts at `at` and is `length` bytes long.
    fn remember(&mut self, at: usize, length: usize) {
        // A pointer has 14 bits.
        let at = u16::try_from(at).ok().filter(|at| *at < 0x4000);
        let (Some(at), Ok(length)) = (at, u8::try_from(length)) else { return };
        if let Some(slot) = self.names.get_mut(self.remembered) {
            *slot = (at, length);
            self.remembered += 1;
        }
    }
}

/// What fills an answer of this length, which has an empty padding option: to the next block, or to the longest message there is.
fn fill(length: usize) -> u16 {
    let whole = length.next_multiple_of(BLOCK).min(usize::from(u16::MAX));
    u16::try_from(whole.saturating_sub(length)).unwrap_or_default()
}

/// The OPT record of an answer (RFC 6891).
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptRecord<'o> {
    /// The largest message over UDP that the server takes.
    pub(crate) size: u16,
    pub(crate) dnssec_ok: bool,
    /// Written, but for padding.
    pub(crate) options: &'o [u8],
    /// Padding is the last option (RFC 8467 §4.1 leaves the place open; there its length is known).
    pub(crate) is_padded: bool,
}

/// Bits of an answer's header that are decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
}

/// Whether the name at `at` of a message that this module wrote is `wire`. Its pointers point back, so this ends.
fn same(message: &[u8], at: usize, wire: &[u8]) -> bool {
    let (mut at, mut rest) = (at, wire);
    loop {
        let Some(&length) = message.get(at) else { return false };
        if length >= 0xc0 {
            let low = message.get(at + 1).copied().unwrap_or_default();
            let to = usize::from(u16::from_be_bytes([length & 0x3f, low]));
            if to >= at {
                return false;
            }
            at = to;
            continue;
        }
        let next = at + usize::from(length) + 1;
        let (Some(here), Some((label, behind))) =
            (message.get(at..next), rest.split_at_checked(usize::from(length) + 1))
        else {
            return false;
        };
        if !here.eq_ignore_ascii_case(label) {
            return false;
        }
        if length == 0 {
            return behind.is_empty();
        }
        (at, rest) = (next, behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::Name;

    #[test]
    fn a_record_that_does_not_fit_leaves_no_trace() {
        let name = |text: &str| Name::parse(text).unwrap();
        let asked = name("a.example.org");
        let question = Question { name: asked.as_wire(), kind: Type::NS, class: class::IN };
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, 70, Some(&question));
        let long = name("a-long-name-of-a-server.example.net");
        assert_eq!(writer.record(asked.as_wire(), Type::NS, 1, long.as_wire()), Err(Full));
        // Its name must not be pointed to: it is not there.
        let short = name("example.net");
        assert_eq!(writer.record(asked.as_wire(), Type::NS, 1, short.as_wire()), Ok(()));
        assert_eq!(writer.answers(), 1);
        writer.finish(
            &Header { id: 7, opcode: 0, recursion_desired: false },
            Rcode::NOERROR,
            Flags::default(),
            None,
        );
        assert!(out.len() <= 70);
        assert!(out.ends_with(b"\x07example\x03net\0"), "{out:02x?}");
    }

    #[test]
    fn names_are_compressed_where_every_receiver_can_read_it_and_nowhere_else() {
        let name = Name::parse("example.org").unwrap();
        let question = Question { name: name.as_wire(), kind: Type::MX, class: class::IN };
        let written = |kind, data: &[u8]| {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out, 512, Some(&question));
            writer.record(name.as_wire(), kind, 1, data).unwrap();
            let start = writer.question_end + 12;
            out[start..].to_vec()
        };
        let data = |before: &[u8]| [before, name.as_wire()].concat();
        assert_eq!(written(Type::MX, &data(&[0, 1])), [0, 1, 0xc0, 12]);
        assert_eq!(written(Type::NS, &data(&[])), [0xc0, 12]);
        assert_eq!(written(Type::SRV, &data(&[0, 1, 0, 2, 0, 3])), data(&[0, 1, 0, 2, 0, 3]));
        assert_eq!(written(Type::DNAME, &data(&[])), name.as_wire());
    }
}
