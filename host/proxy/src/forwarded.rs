//! What a server is told of a request besides the request: who asked, how, and by which id we know it. And what of an
//! answer is for us alone.
//!
//! Pingora keeps the spelling of header names in a second map beside the headers, and every change, copy and removal is
//! made in both. Names mean the same in any case, and HAProxy writes them in lower case too, so the second map
//! is dropped before the headers are copied for a server: that pays for all that is added here.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use pingora_http::{RequestHeader, ResponseHeader};

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static ID: HeaderName = HeaderName::from_static("x-request-id");

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers that are added at most.
const ADDED: usize = 3;
/// A client's own request id is kept up to this length.
const LONGEST_ID: usize = 128;

/// Adds what a server is told. A client's request id is kept where it is sane, else `id` is it. `spare` is any head; another one
/// comes back in its place, with the id that the request has now.
pub(crate) fn tell(
    head: &mut RequestHeader,
    client: HeaderValue,
    id: [u64; 2],
    spare: RequestHeader,
) -> (HeaderValue, RequestHeader) {
    if !is_plain(head) {
        // Its bytes are not those of its parsed target, and would be lost with the rest.
        let mut headers = HeaderMap::with_capacity(ADDED);
        for name in [&FOR, &ID] {
            for value in head.headers.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        let id = add(&mut headers, client, id);
        for (name, value) in &headers {
            // Names and values that are headers already.
            let _ = head.insert_header(name, value.clone());
        }
        return (id, spare);
    }
    let mut parts = Parts::from(std::mem::replace(head, spare));
    parts.headers.reserve(ADDED);
    let id = add(&mut parts.headers, client, id);
    let spare = std::mem::replace(head, RequestHeader::from(parts));
    (id, spare)
}

/// Removes from an answer what the server said of its own connection, and what it names there. How long an answer is stays
/// in it, whatever is named: without that it would be another answer.
pub(crate) fn keep_to_ourselves(head: &mut ResponseHeader) {
    // A pass over the few names that there are costs less than a look-up for each of three that are mostly not.
    let (mut of_connection, mut of_others) = (false, false);
    for name in head.headers.keys() {
        of_connection |= *name == CONNECTION;
        of_others |= *name == KEEP_ALIVE || *name == PROXY_CONNECTION;
    }
    if of_connection && let Some(said) = head.headers.get(CONNECTION) {
        // Nearly every server that says anything says this, once.
        let names_none =
            [&b"keep-alive"[..], b"close"].iter().any(|word| said.as_bytes().eq_ignore_ascii_case(word));
        if !names_none || head.headers.get_all(CONNECTION).iter().nth(1).is_some() {
            remove_named(head);
        }
        head.remove_header(&CONNECTION);
    }
    if of_others {
        head.remove_header(&KEEP_ALIVE);
        head.remove_header(&PROXY_CONNECTION);
    }
}

fn remove_named(head: &mut ResponseHeader) {
    let said: Vec<HeaderValue> = head.headers.get_all(CONNECTION).iter().cloned().collect();
    for name in said.iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')) {
        if let Ok(name) = HeaderName::from_bytes(name.trim_ascii())
            && name != CONTENT_LENGTH
            && name != TRANSFER_ENCODING
        {
            head.remove_header(&name);
        }
    }
}

/// Whether the target on the wire is what its parsed form says: nearly every request's is.
fn is_plain(head: &RequestHeader) -> bool {
    let parsed = head.uri.path_and_query().map_or("", |p| p.as_str());
    head.uri.authority().is_none() && head.raw_path() == parsed.as_bytes()
}

fn add(headers: &mut HeaderMap, client: HeaderValue, id: [u64; 2]) -> HeaderValue {
    let (mut has_for, mut has_id) = (false, false);
    for name in headers.keys() {
        has_for |= *name == FOR;
        has_id |= *name == ID;
    }
    let value = if has_for { appended(headers, client) } else { client };
    headers.insert(FOR.clone(), value);
    headers.insert(PROTO.clone(), HeaderValue::from_static("http"));
    if has_id && let Some(given) = headers.get(&ID).filter(|id| is_sane(id.as_bytes())) {
        return given.clone();
    }
    let id = hexadecimal(id);
    headers.insert(ID.clone(), id.clone());
    id
}

/// All values of `X-Forwarded-For` and the client, as one.
fn appended(headers: &HeaderMap, client: HeaderValue) -> HeaderValue {
    let mut all = Vec::with_capacity(64);
    for value in headers.get_all(&FOR) {
        all.extend_from_slice(value.as_bytes());
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(client.as_bytes());
    // Made of values and so a value.
    HeaderValue::try_from(all).unwrap_or(client)
}

/// Whether a client's id may go into logs and to servers as it is.
fn is_sane(id: &[u8]) -> bool {
    (1..=LONGEST_ID).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'=' | b'+'))
}

/// 32 digits.
fn hexadecimal([a, b]: [u64; 2]) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; 32];
    let bytes = a.to_be_bytes().into_iter().chain(b.to_be_bytes());
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        let digit = |n: u8| HEX.get(usize::from(n & 15)).copied().unwrap_or(b'0');
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte)]);
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &[u8], headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", path, None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        let spare = RequestHeader::build_no_case("GET", b"/spare", None).unwrap();
        let (id, _) = tell(&mut head, HeaderValue::from_static("192.0.2.7"), [1, 0xabc], spare);
        assert_eq!(head.headers["x-request-id"], id);
        head
    }

    #[test]
    fn nothing_else_of_a_request_changes_whatever_its_target() {
        for path in [&b"/a?b=c"[..], b"*", b"http://example.org/a", b"/\xc3\xbc\xff"] {
            let head = told(path, &[("Accept", "a"), ("X-Mine", "b"), ("X-Mine", "c")]);
            assert_eq!(head.raw_path(), path);
            assert_eq!(head.headers["accept"], "a");
            assert_eq!(head.headers.get_all("x-mine").iter().collect::<Vec<_>>(), ["b", "c"]);
            assert_eq!(head.headers["x-forwarded-for"], "192.0.2.7");
            assert_eq!(head.headers["x-forwarded-proto"], "http");
            assert_eq!(head.headers["x-request-id"], "00000000000000010000000000000abc");
            assert_eq!(head.headers.len(), 6);
        }
    }

    #[test]
    fn a_chain_of_proxies_is_one_line_and_a_sane_id_is_kept() {
        for path in [&b"/"[..], b"http://example.org/"] {
            let before = [("X-Forwarded-For", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")];
            let head = told(path, &[before[0], before[1], ("X-Request-Id", "a.b-1")]);
            let all: Vec<_> = head.headers.get_all("x-forwarded-for").iter().collect();
            assert_eq!(all, ["192.0.2.1, 192.0.2.2, 192.0.2.7"]);
            assert_eq!(head.headers["x-request-id"], "a.b-1");
        }
        for bad in ["", "a b", "\"", &"x".repeat(129)] {
            assert_eq!(told(b"/", &[("X-Request-Id", bad)]).headers["x-request-id"].len(), 32);
        }
    }
}
