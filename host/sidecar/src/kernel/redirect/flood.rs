//! Whether the kernel answers with SYN cookies.

use std::time::{Duration, Instant};

/// So long after the last cookie a flood is over.
const QUIET: Duration = Duration::from_secs(60);

/// What is known of floods.
#[derive(Debug, Default)]
pub(super) struct Flood {
    sent: Option<u64>,
    /// The last cookie was seen then.
    last: Option<Instant>,
    is_on: bool,
}

impl Flood {
    /// Takes in the kernel's counters, `/proc/net/netstat`, and its setting `tcp_syncookies`.
    pub(super) fn see(&mut self, counters: &str, setting: &str, now: Instant) {
        let sent = cookies(counters);
        // What was before the first look is not known: a process before this one may have seen a flood.
        let is_quiet = self.sent == sent;
        if sent.is_some() && !is_quiet && self.sent.is_some() {
            self.last = Some(now);
        }
        let is_recent = self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET);
        self.is_on = setting.trim() == "2" || is_recent || !is_quiet;
        self.sent = sent;
    }

    /// Whether there is one.
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }
}

/// How many cookies were sent: a line of names is followed by one of numbers.
fn cookies(counters: &str) -> Option<u64> {
    let mut lines = counters.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let mut both = names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace());
    both.find(|(name, _)| *name == "SyncookiesSent")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(sent: u64) -> String {
        format!("TcpExt: A SyncookiesSent B\nTcpExt: 1 {sent} 3\nIpExt: SyncookiesSent\nIpExt: 9\n")
    }

    #[test]
    fn a_flood_is_on_from_a_new_cookie_until_there_was_none_for_a_while() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        let mut see = |sent, after| {
            flood.see(&counters(sent), "1\n", start + Duration::from_secs(after));
            flood.is_on()
        };
        assert!(see(7, 0), "one look alone says nothing");
        assert!(!see(7, 1), "cookies of the past");
        assert!(see(8, 2));
        assert!(see(8, 61));
        assert!(!see(8, 62));
        assert!(see(9, 63));
    }

    #[test]
    fn a_kernel_that_always_answers_with_cookies_is_always_taken_for_flooded() {
        let mut flood = Flood::default();
        for _ in 0..3 {
            flood.see(&counters(0), "2\n", Instant::now());
            assert!(flood.is_on());
        }
        flood.see(&counters(0), "0\n", Instant::now());
        assert!(!flood.is_on());
    }

    #[test]
    fn a_kernel_that_does_not_tell_has_none() {
        let mut flood = Flood::default();
        for text in ["", "TcpExt: A\n", "TcpExt: SyncookiesSent\nTcpExt: x\n", "TcpExt: SyncookiesSent\n"] {
            flood.see(text, "", Instant::now());
            assert!(!flood.is_on());
        }
    }
}
