//! Domain names, as they stand in a message without compression.
//!
//! A name is its wire form: labels with a length before each, and a zero at the end; at most 255 bytes, and at
//! most 63 a label. Its case is kept, since an answer repeats it, and never compared. The lengths are
//! below the letters in ASCII, so the whole form can be put into lower case at once.

mod text;

pub(in crate::dns) use text::unescape;

use std::fmt;
use std::hash::{Hash, Hasher};

/// The longest name in wire form, bytes.
pub const MAX_NAME: usize = 255;

/// The longest label, bytes.
pub const MAX_LABEL: usize = 63;

/// Why something is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// More than 255 bytes in wire form.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// A label of more than 63 bytes.
    #[error("a label of the name is longer than 63 bytes")]
    LongLabel,
    /// Two dots in a row, or one at the start.
    #[error("the name has an empty label: two dots in a row, or one at its start")]
    EmptyLabel,
    /// A backslash without one character or three digits of at most 255 behind it.
    #[error("a backslash in a name wants a character or three digits (000 to 255) behind it")]
    Escape,
    /// A character outside of ASCII.
    #[error("the name has a character outside of ASCII: write the IDNA form, `xn--...`")]
    NotAscii,
    /// Bytes that are no wire form: cut short, more than one name, or compressed.
    #[error("these bytes are no name")]
    Wire,
}

/// A name that is kept: of a zone, or in its data. Compared and hashed without regard to case.
#[derive(Clone)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// The name that these bytes are, from the first to the last; compression is refused.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        match wire_length(wire) {
            Some(length) if length == wire.len() => Ok(Self(wire.into())),
            _ => Err(NameError::Wire),
        }
    }

    /// Its wire form, in the case it was written in.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// How many labels it has, without the root.
    pub fn labels(&self) -> usize {
        suffixes(&self.0).count().saturating_sub(1)
    }

    /// Whether it is `above` or below it.
    pub fn is_within(&self, above: &Self) -> bool {
        suffixes(&self.0).any(|s| s.eq_ignore_ascii_case(&above.0))
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        suffixes(&self.0).nth(1).map(|s| Self(s.into()))
    }

    /// Its wire form in lower case: the key of tables.
    pub fn key(&self) -> Box<[u8]> {
        self.0.to_ascii_lowercase().into()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.len().hash(state);
        self.0.iter().for_each(|b| b.to_ascii_lowercase().hash(state));
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(&self.0, f)
    }
}

/// A name on the stack: what a query asks for in lower case, or what DNAME made of it.
#[derive(Clone, Copy)]
pub(crate) struct InlineName {
    bytes: [u8; MAX_NAME],
    length: u8,
}

impl InlineName {
    /// A copy; empty, which is no name and matches none, where it is longer than a name may be.
    #[inline]
    pub(crate) fn copy(wire: &[u8]) -> Self {
        let mut name = Self::empty();
        name.push(wire);
        name
    }

    /// A copy in lower case.
    #[inline]
    pub(crate) fn lower(wire: &[u8]) -> Self {
        let mut name = Self::copy(wire);
        // Only what is used: all 255 bytes would take longer than to find the name.
        if let Some(used) = name.bytes.get_mut(..usize::from(name.length)) {
            used.make_ascii_lowercase();
        }
        name
    }

    /// `name` with its end `from` replaced by `to`; `None` where that is longer than a name may be.
    pub(crate) fn replace_end(name: &[u8], from: &[u8], to: &[u8]) -> Option<Self> {
        let kept = name.get(..name.len().checked_sub(from.len())?)?;
        let mut made = Self::empty();
        (made.push(kept) && made.push(to)).then_some(made)
    }

    pub(crate) fn as_wire(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    const fn empty() -> Self {
        Self { bytes: [0; MAX_NAME], length: 0 }
    }

    #[inline]
    fn push(&mut self, more: &[u8]) -> bool {
        let start = usize::from(self.length);
        let end = start + more.len();
        let (Some(room), Ok(length)) = (self.bytes.get_mut(start..end), u8::try_from(end)) else {
            return false;
        };
        room.copy_from_slice(more);
        self.length = length;
        true
    }
}

/// How many bytes the uncompressed name at the start of `bytes` takes; `None` where there is none.
pub fn wire_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*bytes.get(at)?);
        if label > MAX_LABEL {
            return None;
        }
        at += label + 1;
        if at > MAX_NAME {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}

/// The name itself, its parent, and so on to the root. Ends early where the bytes are no name.
pub(crate) fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let mut rest = Some(wire);
    std::iter::from_fn(move || {
        let here = rest?;
        let label = usize::from(*here.first()?);
        rest = if label == 0 { None } else { here.get(label + 1..) };
        Some(here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn names_are_equal_whatever_their_case_and_keep_it() {
        assert_eq!(name("WwW.Example.ORG"), name("www.example.org."));
        assert_eq!(name("WwW.Example.ORG").to_string(), "WwW.Example.ORG.");
        assert_eq!(&*name("WwW.").key(), b"\x03www\0");
    }

    #[test]
    fn a_name_is_within_itself_and_what_is_above_it_by_whole_labels() {
        assert!(name("a.b.").is_within(&name("B.")));
        assert!(name("b.").is_within(&name("b.")));
        assert!(name("b.").is_within(&Name::root()));
        assert!(!name("ab.").is_within(&name("b.")));
        assert_eq!(name("a.b.").parent(), Some(name("b.")));
        assert_eq!(Name::root().parent(), None);
        assert_eq!((name("a.b.").labels(), Name::root().labels()), (2, 0));
    }

    #[test]
    fn bytes_that_are_cut_compressed_or_too_long_are_no_name() {
        for wrong in [&b""[..], b"\x03ww", b"\x03www", b"\xc0\x0c", b"\x40", b"\0\0", b"\x01a\x80\0"] {
            assert_eq!(Name::from_wire(wrong), Err(NameError::Wire), "{wrong:?}");
        }
        let mut long = b"\x3f".iter().chain(&[b'a'; 63]).copied().collect::<Vec<_>>().repeat(4);
        long.push(0);
        assert_eq!(Name::from_wire(&long), Err(NameError::Wire), "257 bytes");
    }

    #[test]
    fn an_end_is_replaced_unless_the_result_is_longer_than_a_name_may_be() {
        let (www, org, net) = (name("www.example.org"), name("example.org"), name("example.net"));
        let made = InlineName::replace_end(www.as_wire(), org.as_wire(), net.as_wire()).unwrap();
        assert_eq!(Name::from_wire(made.as_wire()), Ok(name("www.example.net")));
        let long = name(&["a".repeat(60).as_str(); 4].join("."));
        assert!(InlineName::replace_end(long.as_wire(), &[0], long.as_wire()).is_none());
    }
}
