//! How a connection ended.

use std::fmt;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

/// How a connection ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Every byte was right, to the end or until the client had enough.
    Ok,
    /// The peer, or something that spoke in its name, sent a reset.
    Reset,
    /// No byte moved for as long as the plan allows.
    Stalled,
    /// Nobody listens.
    Refused,
    /// No answer to the first packet.
    ConnectTimeout,
    /// An ICMP error, or no route.
    Unreachable,
    /// A byte that was not what it should be, or an answer that is not the one asked for.
    WrongContent,
    /// The connection ended in order, but before its answer did.
    ClosedEarly,
    /// An answer, but not 200.
    WrongStatus,
    /// This machine could not begin: no such source address, no port or descriptor left.
    Local,
}

impl Outcome {
    /// All but `Ok`, in the order of tables and legends.
    pub(crate) const FAILURES: [Self; 9] = [
        Self::Reset,
        Self::Stalled,
        Self::Refused,
        Self::ConnectTimeout,
        Self::Unreachable,
        Self::WrongContent,
        Self::ClosedEarly,
        Self::WrongStatus,
        Self::Local,
    ];

    /// What an error of a socket means.
    pub(super) fn of_error(error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            // A reset after the peer's end of stream shows as a broken pipe.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Reset,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            // The kernel gave up on retransmissions.
            ErrorKind::TimedOut => Self::Stalled,
            _ => Self::Local,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Reset => "reset",
            Self::Stalled => "stalled",
            Self::Refused => "refused",
            Self::ConnectTimeout => "timed out connecting",
            Self::Unreachable => "unreachable",
            Self::WrongContent => "wrong content",
            Self::ClosedEarly => "closed early",
            Self::WrongStatus => "wrong status",
            Self::Local => "could not begin",
        })
    }
}
