//! Cookies (RFC 7873 in the interoperable form of RFC 9018): proof that a client can receive at its address.
//!
//! The server keeps nothing: its 16 bytes are a version, a time and a keyed hash over these, the client's own
//! cookie and its address. All servers of one anycast address share the secret, so any of them knows the
//! cookie of any other. A secret is replaced without a gap, by keeping the one before for an hour.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Seconds after which a cookie is no longer taken.
const LIFETIME: u32 = 3600;
/// Seconds by which another server's clock may be ahead.
const AHEAD: u32 = 300;
/// Seconds after which a client is given a new one.
const RENEW: u32 = 1800;

/// A client's part and a server's part, as they stand in an answer.
pub type Cookie = [u8; 24];

/// The secrets of this server.
#[derive(Clone)]
pub struct Secrets {
    /// Makes new cookies.
    pub current: [u8; 16],
    /// Cookies made with it are still taken.
    pub previous: Option<[u8; 16]>,
}

// A secret in a log is none.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// What a query's cookie proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// It has none.
    #[default]
    None,
    /// It has the client's part only.
    Asked,
    /// Its server part is not ours, or too old.
    Wrong,
    /// The client received an answer at this address.
    Valid,
}

impl Secrets {
    /// Judges the cookie of a query and makes that of the answer. `now` is seconds of the UNIX epoch, modulo 2^32.
    pub fn judge(&self, client: &[u8; 8], server: &[u8], from: IpAddr, now: u32) -> (Proof, Cookie) {
        let fresh = || self.make(client, from, now);
        if server.is_empty() {
            return (Proof::Asked, fresh());
        }
        let Ok(server) = <&[u8; 16]>::try_from(server) else { return (Proof::Wrong, fresh()) };
        let [version, _, _, _, a, b, c, d, ..] = *server;
        // RFC 1982: the difference counts, so that 2106 is a year like any other.
        let age = now.wrapping_sub(u32::from_be_bytes([a, b, c, d]));
        let is_timely = age <= LIFETIME || age.wrapping_neg() <= AHEAD;
        let head = server.first_chunk::<8>().copied().unwrap_or_default();
        let matches = |secret: &[u8; 16]| same(&hash(secret, client, &head, from), server);
        let is_current = matches(&self.current);
        if version != 1 || !is_timely || !(is_current || self.previous.as_ref().is_some_and(matches)) {
            return (Proof::Wrong, fresh());
        }
        if !is_current || age > RENEW {
            return (Proof::Valid, fresh());
        }
        (Proof::Valid, join(client, server))
    }

    fn make(&self, client: &[u8; 8], from: IpAddr, now: u32) -> Cookie {
        let [a, b, c, d] = now.to_be_bytes();
        let head = [1, 0, 0, 0, a, b, c, d];
        join(client, &hash(&self.current, client, &head, from))
    }
}

/// The server's part: the head, and the hash over it.
fn hash(secret: &[u8; 16], client: &[u8; 8], head: &[u8; 8], from: IpAddr) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(client);
    hasher.write(head);
    match from {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    let mut part = [0; 16];
    part.iter_mut().zip(head.iter().chain(&hasher.finish().to_le_bytes())).for_each(|(to, from)| *to = *from);
    part
}

fn join(client: &[u8; 8], server: &[u8; 16]) -> Cookie {
    let mut cookie = [0; 24];
    cookie.iter_mut().zip(client.iter().chain(server)).for_each(|(to, from)| *to = *from);
    cookie
}

/// Looks at every byte, whatever the first says, so that time tells nothing of the hash.
fn same(a: &[u8; 16], b: &[u8; 16]) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: [u8; 8] = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
    const SECRET: [u8; 16] =
        [0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf];
    const NOW: u32 = 1_559_731_985;

    fn secrets() -> Secrets {
        Secrets { current: SECRET, previous: None }
    }

    fn from() -> IpAddr {
        "198.51.100.100".parse().unwrap()
    }

    fn judge(cookie: &Cookie, by: &Secrets, from: IpAddr, now: u32) -> Proof {
        by.judge(&CLIENT, &cookie[8..], from, now).0
    }

    #[test]
    fn a_new_cookie_is_that_of_rfc_9018_appendix_a_1() {
        let (proof, cookie) = secrets().judge(&CLIENT, &[], from(), NOW);
        assert_eq!(proof, Proof::Asked);
        let text: String = cookie.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text, "2464c4abcf10c957010000005cf79f111f8130c3eee29480");
    }

    #[test]
    fn a_cookie_holds_for_its_address_for_an_hour_and_five_minutes_ahead() {
        let (_, cookie) = secrets().judge(&CLIENT, &[], from(), NOW);
        for (now, proof) in [
            (NOW, Proof::Valid),
            (NOW + 3600, Proof::Valid),
            (NOW + 3601, Proof::Wrong),
            (NOW - 300, Proof::Valid),
            (NOW - 301, Proof::Wrong),
        ] {
            assert_eq!(judge(&cookie, &secrets(), from(), now), proof, "{now}");
        }
        assert_eq!(judge(&cookie, &secrets(), "198.51.100.101".parse().unwrap(), NOW), Proof::Wrong);
    }

    #[test]
    fn a_cookie_is_repeated_until_half_an_hour_and_then_renewed() {
        let (_, cookie) = secrets().judge(&CLIENT, &[], from(), NOW);
        assert_eq!(secrets().judge(&CLIENT, &cookie[8..], from(), NOW + 1800).1, cookie);
        assert_ne!(secrets().judge(&CLIENT, &cookie[8..], from(), NOW + 1801).1, cookie);
    }

    #[test]
    fn a_cookie_of_the_secret_before_is_taken_and_renewed() {
        let (_, cookie) = secrets().judge(&CLIENT, &[], from(), NOW);
        let rolled = Secrets { current: [7; 16], previous: Some(SECRET) };
        let (proof, renewed) = rolled.judge(&CLIENT, &cookie[8..], from(), NOW);
        assert_eq!(proof, Proof::Valid);
        assert_eq!(judge(&renewed, &Secrets { previous: None, ..rolled }, from(), NOW), Proof::Valid);
    }

    #[test]
    fn a_cookie_of_another_version_or_with_any_bit_changed_is_wrong() {
        let (_, cookie) = secrets().judge(&CLIENT, &[], from(), NOW);
        for bit in 64..192usize {
            let mut changed = cookie;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(judge(&changed, &secrets(), from(), NOW), Proof::Wrong, "bit {bit}");
        }
        assert_eq!(secrets().judge(&CLIENT, &cookie[8..16], from(), NOW).0, Proof::Wrong, "8 bytes");
    }
}
