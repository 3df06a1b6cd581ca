//! The key of a request, for policies that send the same key to the same server.
//!
//! Every node must come to the same number for the same bytes, or a client would move when it meets another node. So
//! the hash has no seed: FNV-1a over the bytes, then the finaliser of SplitMix64, because tables use the low
//! bits and FNV alone spreads short keys badly. Who controls keys can make them collide; it then reaches one server
//! more often, which it could by repeating one key.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::COOKIE;

use crate::settings::Key;

/// The hash of these bytes, the same on every node and in every release of 0.1.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        h = (h ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(h)
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `x`.
pub(crate) const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The key of a request, or `None` where it has no such thing.
pub(crate) fn of(key: &Key, headers: &HeaderMap, path: &[u8], client: IpAddr) -> Option<u64> {
    match key {
        Key::Random => None,
        Key::Header(name) => headers.get(name).map(|v| hash(v.as_bytes())),
        Key::Cookie(name) => {
            let cookies = headers.get_all(COOKIE).into_iter();
            cookies.filter_map(|line| cookie(line.as_bytes(), name.as_bytes())).next().map(hash)
        }
        Key::Path => Some(hash(path.split(|b| *b == b'?').next().unwrap_or_default())),
        Key::Source => Some(match client {
            IpAddr::V4(v4) => hash(&v4.octets()),
            IpAddr::V6(v6) => hash(&v6.octets()),
        }),
    }
}

/// The value of a cookie in one `Cookie` line.
fn cookie<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.split(|b| *b == b';').find_map(|pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &Key, headers: &[(&'static str, &'static str)], path: &str) -> Option<u64> {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        of(key, &headers, path.as_bytes(), [192, 0, 2, 7].into())
    }

    #[test]
    fn the_hash_never_changes() {
        // FNV-1a of these is published; the finaliser is SplitMix64's.
        assert_eq!(hash(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash(b"foobar"), mix(0x85944171f73967e8));
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let session = Key::Cookie("session".into());
        let want = Some(hash(b"x1"));
        assert_eq!(key(&session, &[("cookie", "a=b; session=x1; c")], "/"), want);
        assert_eq!(key(&session, &[("cookie", "mysession=x2"), ("cookie", "session=x1")], "/"), want);
        assert_eq!(key(&session, &[("cookie", "sessions=x1; session")], "/"), None);
    }

    #[test]
    fn the_query_is_no_part_of_the_path() {
        assert_eq!(key(&Key::Path, &[], "/a?x=1"), Some(hash(b"/a")));
        assert_eq!(key(&Key::Path, &[], "/a"), Some(hash(b"/a")));
    }

    #[test]
    fn what_a_request_does_not_have_makes_no_key() {
        assert_eq!(key(&Key::Header("x-user".parse().unwrap()), &[], "/"), None);
        assert_eq!(key(&Key::Random, &[], "/"), None);
        assert_eq!(key(&Key::Source, &[], "/"), Some(hash(&[192, 0, 2, 7])));
    }
}
