//! Records: types by number and by word, and sets of records as they go into messages.

use std::fmt;

/// A record type. Any number is one; those that have a word are printed by it, others as `TYPE123` (RFC 3597).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Type(pub u16);

macro_rules! types {
    ($($word:ident $number:literal),* $(,)?) => {
        #[allow(missing_docs, reason = "each is the number that IANA gave to the word")]
        impl Type { $(pub const $word: Self = Self($number);)* }
        const WORDS: &[(&str, Type)] = &[$((stringify!($word), Type::$word)),*];
    };
}

types! {
    A 1, NS 2, CNAME 5, SOA 6, PTR 12, HINFO 13, MX 15, TXT 16, RP 17, AFSDB 18, AAAA 28, LOC 29, SRV 33,
    NAPTR 35, KX 36, CERT 37, DNAME 39, OPT 41, DS 43, SSHFP 44, RRSIG 46, NSEC 47, DNSKEY 48, NSEC3 50,
    NSEC3PARAM 51, TLSA 52, SMIMEA 53, CDS 59, CDNSKEY 60, OPENPGPKEY 61, SVCB 64, HTTPS 65, SPF 99,
    TKEY 249, TSIG 250, IXFR 251, AXFR 252, MAILB 253, MAILA 254, ANY 255, CAA 257,
}

impl Type {
    /// The type of this word in any case, or of `TYPE123`.
    pub fn from_word(word: &str) -> Option<Self> {
        if let Some((_, known)) = WORDS.iter().find(|(w, _)| w.eq_ignore_ascii_case(word)) {
            return Some(*known);
        }
        let (prefix, number) = word.split_at_checked(4)?;
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        if prefix.eq_ignore_ascii_case("TYPE") && digits { number.parse().ok().map(Self) } else { None }
    }

    /// Whether it stands only in queries or only in messages, never in a zone: 0, OPT, 128 to 255 (RFC 6895 §3.1).
    pub const fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WORDS.iter().find(|(_, known)| known == self) {
            Some((word, _)) => f.write_str(word),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// All records of one owner and type, in wire form; data of one zone has one class, so it is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// The type of each.
    pub kind: Type,
    /// Seconds a resolver may keep it.
    pub ttl: u32,
    count: u16,
    /// For each record its length in two bytes and its data, names without compression: one allocation a
    /// set, and an answer reads it from start to end.
    data: Box<[u8]>,
}

impl RecordSet {
    /// A set of these records. Each has at most 65535 bytes, and what does not fit in the count is left out.
    pub fn new<'r>(kind: Type, ttl: u32, records: impl IntoIterator<Item = &'r [u8]>) -> Self {
        let mut data = Vec::new();
        let mut count = 0u16;
        for record in records {
            let (Ok(length), Some(next)) = (u16::try_from(record.len()), count.checked_add(1)) else {
                continue;
            };
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(record);
            count = next;
        }
        Self { kind, ttl, count, data: data.into() }
    }

    /// How many records.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The data of each record, in the order of the zone file.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = &*self.data;
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (record, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = behind;
            Some(record)
        })
    }

    /// The data of the first record; empty where there is none.
    pub fn first(&self) -> &[u8] {
        self.iter().next().unwrap_or_default()
    }
}

/// Where the names in a record's data stand that may be compressed: only those of RFC 1035's own types may
/// be, since a receiver that does not know a newer type could not read them (RFC 3597 §4).
pub(crate) fn compressible(kind: Type) -> Names {
    match kind {
        Type::NS | Type::CNAME | Type::PTR => Names { skip: 0, count: 1 },
        Type::MX => Names { skip: 2, count: 1 },
        Type::SOA => Names { skip: 0, count: 2 },
        _ => Names { skip: 0, count: 0 },
    }
}

/// `count` names behind `skip` bytes of data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) skip: usize,
    pub(crate) count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_printed_by_word_or_number() {
        assert_eq!(Type::from_word("aaaa"), Some(Type::AAAA));
        assert_eq!(Type::from_word("type28"), Some(Type::AAAA));
        assert_eq!(Type::from_word("TYPE65535"), Some(Type(65535)));
        for wrong in ["TYPE65536", "TYPE", "TYPE+1", "DYNA", "", "é", "TYPé1"] {
            assert_eq!(Type::from_word(wrong), None, "{wrong}");
        }
        assert_eq!((Type(28).to_string(), Type(65400).to_string()), ("AAAA".into(), "TYPE65400".into()));
    }

    #[test]
    fn a_set_gives_its_records_back_in_order() {
        let set = RecordSet::new(Type::TXT, 60, [&b"\x01a"[..], b"", b"\x01b"]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [&b"\x01a"[..], b"", b"\x01b"]);
        assert_eq!((set.count(), set.first()), (3, &b"\x01a"[..]));
    }
}
