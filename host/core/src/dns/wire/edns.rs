//! The options of EDNS that mean something here: NSID, client subnet, cookie, keepalive, padding. Others are stepped over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Name server identifier (RFC 5001).
pub(crate) const NSID: u16 = 3;
/// Client subnet (RFC 7871).
pub(crate) const SUBNET: u16 = 8;
/// Cookie (RFC 7873).
pub(crate) const COOKIE: u16 = 10;
/// How long an idle TCP connection is kept (RFC 7828).
pub(crate) const KEEPALIVE: u16 = 11;
/// Bytes that mean nothing (RFC 7830).
pub(crate) const PADDING: u16 = 12;

/// The options of a query. Of an option that comes twice, the first counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'m> {
    /// The sender wants to know which server this is.
    pub nsid: bool,
    /// 8 bytes of the client, then none or 8 to 32 of the server.
    pub cookie: Option<(&'m [u8; 8], &'m [u8])>,
    /// For whom the sender asks.
    pub subnet: Option<Subnet<'m>>,
    /// The sender wants to know how long a connection is kept.
    pub keepalive: bool,
    /// The sender has padded, and wants answers padded.
    pub padding: bool,
}

impl<'m> Options<'m> {
    /// Reads the data of an OPT record; `None` where it is malformed, or a cookie or a subnet is.
    pub(super) fn read(data: &'m [u8]) -> Option<Self> {
        let mut options = Self::default();
        let mut rest = data;
        while !rest.is_empty() {
            let ([a, b, c, d], behind) = rest.split_first_chunk::<4>()?;
            let (value, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes([*c, *d])))?;
            rest = behind;
            match u16::from_be_bytes([*a, *b]) {
                NSID => options.nsid = true,
                KEEPALIVE => options.keepalive = true,
                PADDING => options.padding = true,
                COOKIE => {
                    let (client, server) = value.split_first_chunk::<8>()?;
                    if !matches!(server.len(), 0 | 8..=32) {
                        return None;
                    }
                    options.cookie.get_or_insert((client, server));
                }
                SUBNET => {
                    let subnet = Subnet::read(value)?;
                    options.subnet.get_or_insert(subnet);
                }
                _ => {}
            }
        }
        Some(options)
    }
}

/// The network of the client for whom a resolver asks, as it was sent: an answer must repeat it to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet<'m> {
    /// 1 is IPv4, 2 is IPv6; 0 comes with a prefix of 0 only.
    pub family: u16,
    /// Bits of the address that are known.
    pub prefix: u8,
    /// The bytes that hold these bits, and no more.
    pub bytes: &'m [u8],
}

impl<'m> Subnet<'m> {
    /// As strict as RFC 7871 §7.1.1 wants it: scope 0, as many bytes as the prefix needs, no bit beyond it.
    fn read(value: &'m [u8]) -> Option<Self> {
        let ([high, low, prefix, scope], bytes) = value.split_first_chunk::<4>()?;
        let family = u16::from_be_bytes([*high, *low]);
        let longest = match family {
            // `dig +subnet=0` of some versions: "for nobody in particular".
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        let spare = (8 - prefix % 8) % 8;
        let beyond = bytes.last().map_or(0, |last| last & !(0xffu8 << spare));
        let exact = bytes.len() == usize::from(prefix.div_ceil(8));
        (*scope == 0 && *prefix <= longest && exact && beyond == 0).then_some(Self {
            family,
            prefix: *prefix,
            bytes,
        })
    }

    /// The first address of the network; `None` for family 0.
    pub fn address(&self) -> Option<IpAddr> {
        match self.family {
            1 => Some(Ipv4Addr::from(self.padded::<4>()).into()),
            2 => Some(Ipv6Addr::from(self.padded::<16>()).into()),
            _ => None,
        }
    }

    fn padded<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        octets.iter_mut().zip(self.bytes).for_each(|(to, from)| *to = *from);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(value: &[u8]) -> Option<Subnet<'_>> {
        Subnet::read(value)
    }

    #[test]
    fn a_subnet_is_taken_only_in_its_one_form() {
        let seen = subnet(&[0, 1, 20, 0, 192, 0, 0x20]).unwrap();
        assert_eq!(seen.address(), Some("192.0.32.0".parse().unwrap()));
        assert_eq!(subnet(&[0, 2, 3, 0, 0x20]).unwrap().address(), Some("2000::".parse().unwrap()));
        assert_eq!(subnet(&[0, 1, 0, 0]).unwrap().address(), Some("0.0.0.0".parse().unwrap()));
        assert_eq!(subnet(&[0, 0, 0, 0]).unwrap().address(), None);
        for (wrong, why) in [
            (&[0, 1, 24, 24, 192, 0, 2][..], "a scope in a query"),
            (&[0, 1, 24, 0, 192, 0], "too few bytes"),
            (&[0, 1, 24, 0, 192, 0, 2, 0], "too many bytes"),
            (&[0, 1, 20, 0, 192, 0, 0x21], "bits beyond the prefix"),
            (&[0, 1, 33, 0, 1, 2, 3, 4, 0], "longer than IPv4"),
            (&[0, 2, 129, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0], "longer than IPv6"),
            (&[0, 3, 0, 0], "a family that is none"),
            (&[0, 0, 8, 0, 1], "a prefix of no family"),
            (&[0, 1, 0], "cut short"),
        ] {
            assert_eq!(subnet(wrong), None, "{why}");
        }
    }

    #[test]
    fn unknown_options_are_stepped_over_and_the_first_of_two_counts() {
        let data = [0, 100, 0, 1, 7, 0, 3, 0, 0, 0, 8, 0, 5, 0, 1, 8, 0, 10, 0, 8, 0, 5, 0, 1, 8, 0, 11];
        let options = Options::read(&data).unwrap();
        assert!(options.nsid && !options.keepalive);
        assert_eq!(options.subnet.unwrap().bytes, [10]);
        assert_eq!(Options::read(&[0, 100, 0, 2, 7]), None, "longer than the record");
        assert_eq!(Options::read(&[0, 100, 0]), None, "cut short");
    }

    #[test]
    fn a_cookie_has_eight_bytes_or_sixteen_to_forty() {
        for length in 0..=48usize {
            let mut data = vec![0, 10, 0, u8::try_from(length).unwrap()];
            data.resize(4 + length, 1);
            assert_eq!(Options::read(&data).is_some(), matches!(length, 8 | 16..=40), "{length}");
        }
    }
}
