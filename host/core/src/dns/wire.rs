//! Messages as bytes: reading queries, writing answers.
//!
//! Own code instead of a library's, for three reasons that were measured: a query whose body is malformed
//! still needs an answer with its number (FORMERR), so the header must survive; client subnets must be
//! judged by their raw bytes; and a reply that does not fit must be cut to a clean, empty one.

mod edns;
mod parse;
mod write;

pub(crate) use edns::{COOKIE, KEEPALIVE, NSID, PADDING, SUBNET};
pub use edns::{Options, Subnet};
pub use parse::{Header, Message, Opt, Question, Received, lowest_ttl, read};
pub(crate) use write::{Flags, OptRecord, Section};
pub use write::{Full, Writer};

/// The length of a header, bytes.
pub const HEADER: usize = 12;

/// Response codes (RFC 1035, 2136, 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// It was answered.
    pub const NOERROR: Self = Self(0);
    /// The message is malformed.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// The server does not do this kind of thing.
    pub const NOTIMP: Self = Self(4);
    /// The server does not do this for you.
    pub const REFUSED: Self = Self(5);
    /// DNAME led to a name that is too long (RFC 6672 §2.2).
    pub const YXDOMAIN: Self = Self(6);
    /// A version of EDNS that the server does not know (RFC 6891 §6.1.3).
    pub const BADVERS: Self = Self(16);

    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            16 => "BADVERS",
            _ => "OTHER",
        }
    }
}

/// Classes (RFC 1035 §3.2.4).
pub mod class {
    /// Internet.
    pub const IN: u16 = 1;
    /// Chaos: the server speaks of itself.
    pub const CH: u16 = 3;
    /// Any class.
    pub const ANY: u16 = 255;
}
