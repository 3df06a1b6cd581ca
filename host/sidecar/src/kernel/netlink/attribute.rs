//! Netlink attributes: type, length, value, padded to four bytes.

use super::Malformed;

/// Length of an attribute's header.
const HEADER: usize = 4;
/// The upper two bits of a type are flags. The kernel's IPVS sets neither, other families do.
const TYPE: u16 = 0x3fff;

/// Attributes one after the other, read.
#[derive(Debug, Clone)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Those in these bytes.
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self) -> Result<(u16, &'a [u8]), Malformed> {
        let (length, rest) = self.0.split_first_chunk().ok_or(Malformed::Attribute)?;
        let (kind, _) = rest.split_first_chunk().ok_or(Malformed::Attribute)?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = self.0.get(HEADER..length).ok_or(Malformed::Attribute)?;
        // The last one may end without padding.
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Ok((u16::from_ne_bytes(*kind) & TYPE, value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

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

/// A value of exactly so many bytes.
pub(crate) fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed::Value)
}

/// A number of one byte.
pub(crate) fn u8(value: &[u8]) -> Result<u8, Malformed> {
    exactly(value).map(u8::from_ne_bytes)
}

/// A number in the machine's byte order.
pub(crate) fn u16(value: &[u8]) -> Result<u16, Malformed> {
    exactly(value).map(u16::from_ne_bytes)
}

/// A number in the network's byte order.
pub(crate) fn be16(value: &[u8]) -> Result<u16, Malformed> {
    exactly(value).map(u16::from_be_bytes)
}

/// A number in the machine's byte order.
pub(crate) fn u32(value: &[u8]) -> Result<u32, Malformed> {
    exactly(value).map(u32::from_ne_bytes)
}

/// A number in the machine's byte order.
pub(crate) fn u64(value: &[u8]) -> Result<u64, Malformed> {
    exactly(value).map(u64::from_ne_bytes)
}

/// Text that ends with a zero, or with the value.
pub(crate) fn text(value: &[u8]) -> Result<&str, Malformed> {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text).map_err(|_| Malformed::Value)
}

/// Appends an attribute. Values are short: the longest is a service with all it has.
pub(crate) fn put(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    nest(to, kind, |to| to.extend_from_slice(value));
}

/// Appends an attribute that holds what `inside` appends.
pub(crate) fn nest(to: &mut Vec<u8>, kind: u16, inside: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0; 2]);
    to.extend_from_slice(&kind.to_ne_bytes());
    inside(to);
    let length = u16::try_from(to.len() - start).unwrap_or(u16::MAX);
    if let Some(place) = to.get_mut(start..start + 2) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    to.resize(to.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read() {
        let mut bytes = Vec::new();
        put(&mut bytes, 1, &7_u16.to_ne_bytes());
        nest(&mut bytes, 0x8002, |to| put(to, 3, b"mh\0"));
        assert_eq!(bytes.len() % 4, 0);
        let all: Result<Vec<_>, _> = Attributes::of(&bytes).collect();
        let [(1, seven), (2, nested)] = all.unwrap()[..] else { panic!("{bytes:?}") };
        assert_eq!(u16(seven), Ok(7));
        let inner: Vec<_> = Attributes::of(nested).map(Result::unwrap).collect();
        let [(3, name)] = inner[..] else { panic!("{nested:?}") };
        assert_eq!(text(name), Ok("mh"));
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        for bytes in
            [&[3, 0, 1, 0][..], &[0, 0, 1, 0], &[9, 0, 1, 0, 5, 5, 5, 5], &[4, 0, 1], &[1], &[255; 12]]
        {
            let read: Vec<_> = Attributes::of(bytes).collect();
            assert_eq!(read, [Err(Malformed::Attribute)], "{bytes:?}");
        }
        let unpadded: Vec<_> = Attributes::of(&[5, 0, 1, 0, 9]).collect();
        assert_eq!(unpadded, [Ok((1, &[9][..]))]);
        assert_eq!(u32(&[1, 2, 3]), Err(Malformed::Value));
        assert_eq!(text(&[0xff, 0]), Err(Malformed::Value));
    }
}
