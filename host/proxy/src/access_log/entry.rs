//! One line: its fields, and how bytes that came from a stranger become JSON.

use std::time::Duration;

/// How a request ended, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Term {
    /// The answer of a server was passed on, whole.
    #[default]
    Ok,
    /// The client went away.
    ClientAbort,
    /// The client was too slow.
    ClientTimeout,
    /// The request was none, or more than is allowed.
    BadRequest,
    /// No server could be reached.
    ConnectFailed,
    /// A server did not answer in time.
    ServerTimeout,
    /// A server's connection broke, or its answer was none.
    ServerError,
    /// No server is up, has room and was not tried.
    NoServer,
    /// The policy said so.
    Refused,
    /// No service has this address any more.
    NoService,
    /// Something else, in this process.
    Internal,
}

impl Term {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientAbort => "client-abort",
            Self::ClientTimeout => "client-timeout",
            Self::BadRequest => "bad-request",
            Self::ConnectFailed => "connect-failed",
            Self::ServerTimeout => "server-timeout",
            Self::ServerError => "server-error",
            Self::NoServer => "no-server",
            Self::Refused => "refused",
            Self::NoService => "no-service",
            Self::Internal => "internal",
        }
    }
}

/// A request that is over. Times in microseconds since its head was read.
#[derive(Debug, Default)]
pub(crate) struct Entry<'a> {
    /// When its head was read, since 1970.
    pub(crate) at: Duration,
    pub(crate) request_id: &'a [u8],
    pub(crate) service: &'a str,
    /// Address of the client, and its port.
    pub(crate) client: &'a [u8],
    pub(crate) client_port: u16,
    pub(crate) method: &'a str,
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    /// 0 where nothing was answered.
    pub(crate) status: u16,
    /// Bytes of body that were sent to the client.
    pub(crate) bytes: u64,
    pub(crate) pool: &'a str,
    /// The server of the last attempt; empty where there was none.
    pub(crate) server: &'a str,
    /// Servers that failed this request.
    pub(crate) tried: &'a [std::sync::Arc<str>],
    pub(crate) retries: u32,
    pub(crate) by: &'static str,
    pub(crate) connect: u32,
    pub(crate) response: u32,
    pub(crate) total: u32,
    pub(crate) reused: bool,
    pub(crate) term: Term,
}

impl Entry<'_> {
    /// Appends the line.
    pub(crate) fn write(&self, out: &mut Vec<u8>, clock: &mut Clock) {
        out.extend_from_slice(b"{\"ts\":\"");
        clock.write(out, self.at);
        out.extend_from_slice(b"\",\"request_id\":");
        string(out, self.request_id);
        text(out, b",\"service\":", self.service.as_bytes());
        out.extend_from_slice(b",\"client\":\"");
        let bracket = self.client.contains(&b':');
        out.extend_from_slice(if bracket { b"[" } else { b"" });
        out.extend_from_slice(self.client);
        out.extend_from_slice(if bracket { b"]:" } else { b":" });
        number(out, b"", u64::from(self.client_port));
        out.push(b'"');
        text(out, b",\"method\":", self.method.as_bytes());
        text(out, b",\"host\":", self.host);
        text(out, b",\"path\":", self.path);
        number(out, b",\"status\":", u64::from(self.status));
        number(out, b",\"bytes\":", self.bytes);
        if self.pool != self.service {
            text(out, b",\"pool\":", self.pool.as_bytes());
        }
        text(out, b",\"server\":", self.server.as_bytes());
        // What is nearly always the same is left out: a line is written for each request, and a disk has to take it.
        if self.retries > 0 {
            number(out, b",\"retries\":", u64::from(self.retries));
        }
        if !self.tried.is_empty() {
            let mut before: &[u8] = b",\"tried\":[";
            for name in self.tried {
                text(out, before, name.as_bytes());
                before = b",";
            }
            out.push(b']');
        }
        out.extend_from_slice(b",\"by\":\"");
        out.extend_from_slice(self.by.as_bytes());
        out.push(b'"');
        if !self.reused {
            number(out, b",\"t_connect\":", u64::from(self.connect));
        }
        number(out, b",\"t_response\":", u64::from(self.response));
        number(out, b",\"t_total\":", u64::from(self.total));
        out.extend_from_slice(b",\"term\":\"");
        out.extend_from_slice(self.term.as_str().as_bytes());
        out.extend_from_slice(b"\"}\n");
    }
}

fn number(out: &mut Vec<u8>, before: &[u8], n: u64) {
    out.extend_from_slice(before);
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn text(out: &mut Vec<u8>, before: &[u8], bytes: &[u8]) {
    out.extend_from_slice(before);
    string(out, bytes);
}

/// A JSON string of bytes that may be anything. What is not UTF-8 becomes U+FFFD, so that a line is always JSON.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    // Every byte is looked at, also after a bad one: that has no branches, so many are looked at at once.
    if bytes.iter().fold(true, |plain, b| plain & is_plain(*b)) {
        out.extend_from_slice(bytes);
    } else {
        escaped(out, bytes);
    }
    out.push(b'"');
}

/// Bytes that stand for themselves in a JSON string.
const fn is_plain(byte: u8) -> bool {
    (byte >= 0x20) & (byte < 0x7f) & (byte != b'"') & (byte != b'\\')
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                // Also DEL and the C1 controls: JSON allows them, terminals obey them.
                c if c.is_control() => {
                    let hex = |n: u32| char::from_digit(n & 15, 16).unwrap_or('0') as u8;
                    let n = u32::from(c);
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(n >> 4), hex(n)]);
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Writes moments as RFC 3339 in UTC. The part that changes once a second is kept.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    second: Option<u64>,
    text: [u8; 20],
}

impl Clock {
    fn write(&mut self, out: &mut Vec<u8>, at: Duration) {
        if self.second != Some(at.as_secs()) {
            self.second = Some(at.as_secs());
            self.text = second_text(at.as_secs());
        }
        out.extend_from_slice(&self.text);
        let mut micros = [b'0'; 6];
        digits(&mut micros, u64::from(at.subsec_micros()));
        out.extend_from_slice(&micros);
        out.push(b'Z');
    }
}

/// `2026-11-24T22:13:30.` for seconds since 1970.
fn second_text(seconds: u64) -> [u8; 20] {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to date after Howard Hinnant's `civil_from_days`: years begin in March, so that leap days come last.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00.";
    for (at, width, n) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, rest / 3600),
        (14, 2, rest / 60 % 60),
        (17, 2, rest % 60),
    ] {
        if let Some(field) = text.get_mut(at..at + width) {
            digits(field, n);
        }
    }
    text
}

/// Fills `field` with the last digits of `n`.
fn digits(field: &mut [u8], mut n: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        string(&mut out, bytes);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn whatever_a_client_sends_a_line_stays_one_line_of_json() {
        assert_eq!(json(b"/plain?x=1"), "/plain?x=1");
        assert_eq!(json(b"\"},\n{\"status\":200,\\"), "\"},\n{\"status\":200,\\");
        assert_eq!(json("/gr\u{fc}n".as_bytes()), "/gr\u{fc}n");
        assert_eq!(json(b"/\xff\xfe/"), "/\u{fffd}\u{fffd}/");
        for byte in 0..=255u8 {
            let mut out = Vec::new();
            string(&mut out, &[b'a', byte, b'b']);
            assert!(out.iter().all(|b| *b >= 0x20 && *b != 0x7f), "byte {byte} gives {out:?}");
            json(&[b'a', byte, b'b']);
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        let text = |seconds: u64, micros: u32| {
            let mut out = Vec::new();
            Clock::default().write(&mut out, Duration::new(seconds, micros * 1000));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_399, 7), "2000-02-28T23:59:59.000007Z");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(1_795_558_410, 999_999), "2026-11-24T22:13:30.999999Z");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn a_whole_line_is_json_with_every_field() {
        let entry = Entry {
            client: b"2001:db8::1",
            client_port: 7,
            path: b"/\"\x01",
            tried: &["a".into(), "b\"".into()],
            term: Term::NoServer,
            ..Entry::default()
        };
        let mut out = Vec::new();
        entry.write(&mut out, &mut Clock::default());
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["client"], "[2001:db8::1]:7");
        assert_eq!(line["path"], "/\"\u{1}");
        assert_eq!(line["tried"], serde_json::json!(["a", "b\""]));
        assert_eq!(line["term"], "no-server");
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
    }

    #[test]
    fn what_is_nearly_always_the_same_is_left_out_and_what_is_not_is_there() {
        let line = |entry: &Entry<'_>| {
            let mut out = Vec::new();
            entry.write(&mut out, &mut Clock::default());
            serde_json::from_slice::<serde_json::Value>(&out).unwrap()
        };
        let plain =
            line(&Entry { service: "www", pool: "www", reused: true, connect: 0, ..Entry::default() });
        for name in ["pool", "retries", "tried", "t_connect"] {
            assert_eq!(plain.get(name), None, "{name}");
        }
        let other = line(&Entry { service: "www", pool: "web", retries: 2, connect: 7, ..Entry::default() });
        assert_eq!(
            (&other["pool"], &other["retries"], &other["t_connect"]),
            (&"web".into(), &2.into(), &7.into())
        );
    }
}
