//! Why a connection ends, as RFC 4271 §4.5 and its successors number the reasons.

use std::fmt;

/// The longest shutdown text, in bytes (RFC 9003).
const MAX_TEXT: usize = 255;

/// `NOTIFICATION`: who sends it closes the connection after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Which kind of message or timer was at fault.
    pub code: u8,
    /// What about it; 0 is unspecific.
    pub subcode: u8,
    /// The offending value, or the shutdown text with its length before it.
    pub data: Vec<u8>,
}

/// Reasons to end a session that are nobody's fault (RFC 4486, 8538, 9384).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cease {
    /// Somebody shut the session down; with a text.
    Shutdown = 2,
    /// The neighbor is not configured any more.
    Deconfigured = 3,
    /// Somebody reset it; with a text.
    Reset = 4,
    /// The session is to be built anew with other settings.
    ConfigurationChanged = 6,
    /// Another connection is the one to keep.
    Collision = 7,
    /// Memory, above all.
    OutOfResources = 8,
    /// BFD says that the other end is not there.
    BfdDown = 10,
}

impl Notification {
    /// Any, without data.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Vec::new() }
    }

    pub(super) const HOLD_EXPIRED: Self = Self::new(4, 0);
    pub(super) const SEND_HOLD_EXPIRED: Self = Self::new(8, 0);

    /// `Cease` without a text.
    pub const fn cease(reason: Cease) -> Self {
        Self::new(6, reason as u8)
    }

    /// `Cease` with a text for the operator of the other end, cut to 255 bytes at a whole character. Empty: without one.
    pub fn cease_with(reason: Cease, text: &str) -> Self {
        let mut end = text.len().min(MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.as_bytes().get(..end).unwrap_or_default();
        let mut data = Vec::with_capacity(1 + text.len());
        if !text.is_empty() {
            data.push(text.len() as u8);
            data.extend_from_slice(text);
        }
        Self { data, ..Self::cease(reason) }
    }

    /// The text that came with a shutdown or reset: as much of it as is UTF-8, without control characters, fit for a log.
    pub fn text(&self) -> Option<String> {
        if self.code != 6 || !matches!(self.subcode, 2 | 4) {
            return None;
        }
        let (length, rest) = self.data.split_first()?;
        let text = rest.get(..usize::from(*length)).unwrap_or(rest);
        let clean: String =
            String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        (!clean.trim().is_empty()).then_some(clean)
    }

    /// Whether it only says that another connection is kept.
    pub const fn is_collision(&self) -> bool {
        self.code == 6 && self.subcode == Cease::Collision as u8
    }

    /// Whether the other end did not understand an optional parameter of ours: an old one, to be met without capabilities.
    pub const fn is_unsupported_parameter(&self) -> bool {
        self.code == 2 && self.subcode == 4
    }

    fn reason(&self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            (1, 1) => "connection not synchronized",
            (1, 2) => "bad message length",
            (1, 3) => "bad message type",
            (1, _) => "message header error",
            (2, 1) => "unsupported version",
            (2, 2) => "bad peer AS",
            (2, 3) => "bad BGP identifier",
            (2, 4) => "unsupported optional parameter",
            (2, 6) => "unacceptable hold time",
            (2, 7) => "unsupported capability",
            (2, _) => "OPEN message error",
            (3, _) => "UPDATE message error",
            (4, _) => "hold timer expired",
            (5, _) => "message that does not fit the state",
            (6, 1) => "too many prefixes",
            (6, 2) => "administrative shutdown",
            (6, 3) => "peer de-configured",
            (6, 4) => "administrative reset",
            (6, 5) => "connection rejected",
            (6, 6) => "configuration changed",
            (6, 7) => "connection collision",
            (6, 8) => "out of resources",
            (6, 9) => "hard reset",
            (6, 10) => "BFD down",
            (6, _) => "cease",
            (8, _) => "send hold timer expired",
            _ => return None,
        })
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.reason().unwrap_or("unknown reason"), self.code, self.subcode)?;
        self.text().map_or(Ok(()), |text| write!(f, ": {text:?}"))
    }
}
