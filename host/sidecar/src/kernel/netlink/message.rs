//! Messages: the headers of netlink and generic netlink.

use rustix::io::Errno;

/// Length of netlink's header.
const HEADER: usize = 16;
/// Length of generic netlink's header.
const GENERIC: usize = 4;

/// `NLM_F_REQUEST`
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`
const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR`: the kernel's list changed while it was dumped.
const INTERRUPTED: u16 = 0x10;
/// `NLM_F_ROOT | NLM_F_MATCH`
const DUMP: u16 = 0x300;

/// `NLMSG_ERROR`, also an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`
const DONE: u16 = 3;
/// Types below this are netlink's own.
const FIRST_FAMILY: u16 = 0x10;

/// Bytes that are no netlink message. Either the kernel is one that we do not know, or it is not the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The header lies about the length.
    #[error("a message of the kernel has an impossible length")]
    Length,
    /// An attribute lies about its length.
    #[error("an attribute in a message of the kernel has an impossible length")]
    Attribute,
    /// A value has the wrong size for its type.
    #[error("an attribute in a message of the kernel has a value of the wrong size")]
    Value,
    /// Something is missing without which the rest means nothing.
    #[error("a message of the kernel lacks attribute {0}")]
    Lacks(&'static str),
}

/// Requests one after the other, as they are sent.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    bytes: Vec<u8>,
    /// Where the last one begins.
    last: usize,
    count: u32,
}

impl Requests {
    /// None yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), last: 0, count: 0 }
    }

    /// Appends one to the family with this number; `attributes` appends what it says.
    pub fn push(&mut self, family: u16, command: u8, version: u8, attributes: impl FnOnce(&mut Vec<u8>)) {
        self.begin(family, REQUEST, command, version, attributes);
    }

    /// One that asks for all that the kernel has.
    pub fn dump(family: u16, command: u8, version: u8, attributes: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut one = Self::new();
        one.begin(family, REQUEST | DUMP, command, version, attributes);
        one
    }

    fn begin(
        &mut self,
        family: u16,
        flags: u16,
        command: u8,
        version: u8,
        attributes: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&family.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        // Number and sender are filled in by whoever sends it.
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(&[command, version, 0, 0]);
        attributes(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        write(&mut self.bytes, start, &length.to_ne_bytes());
        self.last = start;
        self.count += 1;
    }

    /// How many.
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.last = 0;
        self.count = 0;
    }

    /// As they would be sent, but for their numbers.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Numbers them from `first` on, and asks for an answer to the last one. A dump is answered anyway.
    pub(super) fn seal(&mut self, first: u32) -> &[u8] {
        let mut at = 0;
        let mut number = first;
        while let Some(length) = self.bytes.get(at..).and_then(|rest| rest.first_chunk().copied()) {
            write(&mut self.bytes, at + 8, &number.to_ne_bytes());
            at += u32::from_ne_bytes(length) as usize;
            number = number.wrapping_add(1);
        }
        if let Some(flags) = self.bytes.get_mut(self.last + 6..self.last + 8) {
            let old = flags.first_chunk().copied().map_or(0, u16::from_ne_bytes);
            if old & DUMP == 0 {
                flags.copy_from_slice(&(old | ACK).to_ne_bytes());
            }
        }
        &self.bytes
    }
}

fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) enum Said<'a> {
    /// The request went well.
    Done,
    /// It did not.
    Refused(Errno),
    /// Something of a family: the command, and attributes.
    Answer { command: u8, attributes: &'a [u8] },
    /// Something of netlink itself that means nothing here.
    Nothing,
}

/// One message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) struct Message<'a> {
    /// Number of the request that it answers.
    pub(in crate::kernel) number: u32,
    /// What was dumped changed meanwhile.
    pub(in crate::kernel) interrupted: bool,
    pub(in crate::kernel) said: Said<'a>,
}

/// The messages of a datagram.
pub(in crate::kernel) struct Messages<'a>(pub(in crate::kernel) &'a [u8]);

impl<'a> Messages<'a> {
    fn take(&mut self) -> Result<Message<'a>, Malformed> {
        let (head, _) = self.0.split_first_chunk::<HEADER>().ok_or(Malformed::Length)?;
        let [l0, l1, l2, l3, t0, t1, f0, f1, n0, n1, n2, n3, ..] = *head;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let body = self.0.get(HEADER..length).ok_or(Malformed::Length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([t0, t1]);
        let flags = u16::from_ne_bytes([f0, f1]);
        let said = match kind {
            ERROR => status(body.first_chunk().ok_or(Malformed::Length)?),
            // Linux 6 adds a status to the end of a dump; earlier ones may add nothing.
            DONE => body.first_chunk().map_or(Said::Done, status),
            FIRST_FAMILY.. => {
                let (head, attributes) = body.split_first_chunk::<GENERIC>().ok_or(Malformed::Length)?;
                let [command, ..] = *head;
                Said::Answer { command, attributes }
            }
            _ => Said::Nothing,
        };
        let number = u32::from_ne_bytes([n0, n1, n2, n3]);
        Ok(Message { number, interrupted: flags & INTERRUPTED != 0, said })
    }
}

fn status(code: &[u8; 4]) -> Said<'static> {
    match i32::from_ne_bytes(*code) {
        0 => Said::Done,
        code => {
            // An error code is negative and small. Anything else is one as well, but none that has a name.
            let code = code.checked_neg().filter(|code| (1..4096).contains(code));
            Said::Refused(code.map_or(Errno::IO, Errno::from_raw_os_error))
        }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let one = self.take();
        if one.is_err() {
            self.0 = &[];
        }
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u32) -> [u8; 4] {
        value.to_ne_bytes()
    }

    #[test]
    fn requests_are_numbered_and_only_the_last_asks_for_an_answer() {
        let mut requests = Requests::new();
        for command in 1..4 {
            requests.push(0x20, command, 1, |to| to.extend([0xaa; 4]));
        }
        let bytes = requests.seal(41).to_vec();
        assert_eq!(bytes.len(), 3 * 24);
        for (at, one) in bytes.chunks(24).enumerate() {
            assert_eq!(one[..4], number(24));
            assert_eq!(one[4..6], 0x20_u16.to_ne_bytes());
            let flags = if at == 2 { REQUEST | ACK } else { REQUEST };
            assert_eq!(one[6..8], flags.to_ne_bytes());
            assert_eq!(one[8..12], number(41 + at as u32));
            assert_eq!(one[16..20], [1 + at as u8, 1, 0, 0]);
        }
    }

    #[test]
    fn a_dump_is_not_acknowledged_beside() {
        let mut dump = Requests::dump(0x20, 4, 1, |_| {});
        let bytes = dump.seal(1);
        assert_eq!(bytes[6..8], (REQUEST | DUMP).to_ne_bytes());
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = number(HEADER as u32 + body.len() as u32).to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(number(7));
        bytes.extend(number(0));
        bytes.extend(body);
        bytes
    }

    #[test]
    fn answers_refusals_and_ends_are_told_apart() {
        let mut bytes = message(0x20, 2, &[5, 1, 0, 0, 1, 2, 3, 4]);
        bytes.extend(message(ERROR, 0, &(-2_i32).to_ne_bytes()));
        bytes.extend(message(ERROR, 0, &number(0)));
        bytes.extend(message(DONE, INTERRUPTED, &[]));
        let read: Vec<_> = Messages(&bytes).map(Result::unwrap).collect();
        let said: Vec<_> = read.iter().map(|one| one.said).collect();
        let answer = Said::Answer { command: 5, attributes: &[1, 2, 3, 4] };
        assert_eq!(said, [answer, Said::Refused(Errno::NOENT), Said::Done, Said::Done]);
        assert_eq!(read.iter().map(|one| one.interrupted).collect::<Vec<_>>(), [false, false, false, true]);
        assert!(read.iter().all(|one| one.number == 7));
    }

    #[test]
    fn impossible_messages_are_refused() {
        let lies = [1, 15, 17, u32::MAX].map(|length| [&number(length)[..], &[0; 12]].concat());
        let short = [message(ERROR, 0, &[0; 3]), message(0x20, 0, &[1, 2])];
        for bytes in lies.into_iter().chain(short).chain([vec![0; 7]]) {
            let read: Vec<_> = Messages(&bytes).collect();
            assert_eq!(read, [Err(Malformed::Length)], "{bytes:?}");
        }
        let odd = message(ERROR, 0, &i32::MIN.to_ne_bytes());
        assert_eq!(Messages(&odd).next().unwrap().unwrap().said, Said::Refused(Errno::IO));
    }
}
