//! Lines that a plugin writes into the host's log: named, escaped, cut and rationed.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The longest line, bytes after escaping.
pub const MAX_LINE: usize = 1024;
/// Lines a second, as `wit/host.wit` says.
const RATE: f64 = 10.0;
/// Lines at once.
const BURST: f64 = 50.0;

/// The log of one plugin, shared by its instances.
#[derive(Debug)]
pub struct Voice {
    plugin: Arc<str>,
    bucket: Mutex<Bucket>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    /// Dropped since the last line that was written.
    dropped: u64,
}

impl Voice {
    /// The log of the plugin instance of this name.
    pub fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.into(),
            bucket: Mutex::new(Bucket { tokens: BURST, at: Instant::now(), dropped: 0 }),
            dropped: AtomicU64::new(0),
        }
    }

    /// Lines that were over the allowance.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes a line, if there is allowance for it.
    pub(crate) fn say(&self, level: tracing::Level, message: &str) {
        let Some(dropped) = self.admit(Instant::now()) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let line = escaped(message);
        let plugin = &*self.plugin;
        // The level of an event is part of its static description, hence one call for each.
        match level {
            tracing::Level::ERROR => tracing::error!(target: "weir::plugin", plugin, dropped, "{line}"),
            tracing::Level::WARN => tracing::warn!(target: "weir::plugin", plugin, dropped, "{line}"),
            tracing::Level::INFO => tracing::info!(target: "weir::plugin", plugin, dropped, "{line}"),
            _ => tracing::debug!(target: "weir::plugin", plugin, dropped, "{line}"),
        }
    }

    /// How many lines were dropped before this one, or `None` where it is to be dropped as well.
    fn admit(&self, now: Instant) -> Option<u64> {
        // Another worker writes a line at this moment: drop, a guest's call must not wait for a lock.
        let mut bucket = self.bucket.try_lock().ok()?;
        let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * RATE;
        bucket.tokens = (bucket.tokens + earned).min(BURST);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            bucket.dropped += 1;
            return None;
        }
        bucket.tokens -= 1.0;
        Some(std::mem::take(&mut bucket.dropped))
    }
}

/// Without anything that a terminal would obey, and not longer than [`MAX_LINE`].
pub(crate) fn escaped(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(MAX_LINE));
    for c in message.chars() {
        let before = line.len();
        // Direction marks turn text around in a terminal, so they are control characters here.
        if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
        if line.len() > MAX_LINE {
            line.truncate(before);
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn control_characters_are_escaped_and_long_lines_cut() {
        assert_eq!(escaped("a\u{1b}[31mred\n"), "a\\u{1b}[31mred\\n");
        assert_eq!(escaped("\u{202e}x"), "\\u{202e}x");
        assert_eq!(escaped(&"ä".repeat(2000)).len(), MAX_LINE);
        assert!(escaped(&"\n".repeat(2000)).len() <= MAX_LINE);
    }

    #[test]
    fn a_burst_of_50_and_then_10_a_second() {
        let voice = Voice::new("p");
        let start = Instant::now();
        assert_eq!((0..60).filter(|_| voice.admit(start).is_some()).count(), 50);
        assert_eq!(voice.admit(start + Duration::from_millis(150)), Some(10));
        assert_eq!(voice.admit(start + Duration::from_millis(150)), None);
    }
}
