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
    /// Takes in the kernel's counters, `/proc/net/netstat`.
    pub(super) fn see(&mut self, counters: &str, now: Instant) {
        let Some(sent) = cookies(counters) else { return };
        // Those from before anybody looked are no sign of one now.
        if self.sent.is_some_and(|before| before != sent) {
            self.last = Some(now);
        }
        self.sent = Some(sent);
        self.is_on = self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET);
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
            flood.see(&counters(sent), start + Duration::from_secs(after));
            flood.is_on()
        };
        assert!(!see(7, 0), "cookies of the past");
        assert!(!see(7, 1));
        assert!(see(8, 2));
        assert!(see(8, 61));
        assert!(!see(8, 62));
        assert!(see(9, 63));
    }

    #[test]
    fn a_kernel_that_does_not_tell_has_none() {
        let mut flood = Flood::default();
        for text in ["", "TcpExt: A\n", "TcpExt: SyncookiesSent\nTcpExt: x\n", "TcpExt: SyncookiesSent\n"] {
            flood.see(text, Instant::now());
            assert!(!flood.is_on());
        }
    }
}
