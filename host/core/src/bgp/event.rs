//! What a neighbor is told by the speaker around it, and what it wants done.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::negotiate::Negotiated;
use super::notification::Notification;
use super::session::Side;

/// What happened. After [`Action::Close`] of a side the speaker tells nothing more of that connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The neighbor is configured, and wanted.
    Start,
    /// It is not, any more; the other end is told this.
    Stop(Notification),
    /// End the session and begin another one; the other end is told this. BFD, an operator, a changed setting.
    Reset(Notification),
    /// The outgoing connection is there, with this address at our end.
    Connected(IpAddr),
    /// There is no outgoing connection, for this reason.
    Unconnected(String),
    /// The neighbor connected to this address of ours. Answered with [`Action::Adopt`] or [`Action::Refuse`].
    Accepted(IpAddr),
    /// A connection ended.
    Closed(Side),
    /// A connection is given up, for this reason: what the neighbor has to be told cannot be told over it.
    GivenUp(Side, String),
    /// A message came.
    Received(Side, Message),
    /// Bytes came that make no message, and this is to be answered (RFC 4271 §6.1 to 6.3).
    Malformed(Side, Notification),
    /// An `UPDATE` came with an error that is nothing to us (RFC 7606): it would have been ignored anyway.
    Unread(Side),
    /// Something that was to be sent is with the kernel now.
    Wrote {
        /// On this connection.
        side: Side,
        /// And nothing is left.
        drained: bool,
    },
    /// Time has passed, see [`Neighbor::deadline`](super::Neighbor::deadline).
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect to the neighbor, and answer with [`Event::Connected`] or [`Event::Unconnected`].
    Connect,
    /// The connection of [`Event::Accepted`] is the incoming one now.
    Adopt,
    /// Close the connection of [`Event::Accepted`].
    Refuse,
    /// Send, and answer with [`Event::Wrote`].
    Send(Side, Message),
    /// Close when all is sent, in a second at most; or give the attempt to connect up.
    Close(Side),
    /// Established.
    Up(Negotiated),
    /// No longer, or the attempt failed.
    Down(Down),
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// The other connection is kept.
    #[error("the other connection is kept")]
    Collision,
    /// We were told to, or found the other end at fault, or silent.
    #[error("ended here: {0}")]
    Sent(Notification),
    /// Their `OPEN` cannot be, for this reason; this was answered.
    #[error("ended here: {0}: {1}")]
    Disagreed(Notification, String),
    /// The neighbor could not be told what it has to be told, for this reason.
    #[error("given up here: {0}")]
    GivenUp(String),
    /// The other end says why.
    #[error("ended by the neighbor: {0}")]
    Heard(Notification),
    /// The other end does not.
    #[error("the neighbor closed the connection or is not reachable")]
    Closed,
    /// No connection, for this reason, which may be at this end.
    #[error("cannot connect: {0}")]
    Unconnected(String),
    /// Not a packet came back, not even one that refuses.
    #[error("the neighbor does not answer at all")]
    Unanswered,
}

impl Down {
    /// Whether trying again at once would end the same: a fault in what is said, rather than an end of the connection.
    pub(super) const fn is_quarrel(&self) -> bool {
        match self {
            Self::Sent(why) | Self::Disagreed(why, _) | Self::Heard(why) => matches!(why.code, 1 | 2 | 3 | 5),
            Self::Collision | Self::GivenUp(_) | Self::Closed | Self::Unconnected(_) | Self::Unanswered => {
                false
            }
        }
    }
}

/// What came from the neighbor since it was configured. None of it is kept, let alone installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Messages of any kind.
    pub messages: u64,
    /// Prefixes announced, repeated ones counted again.
    pub announced: u64,
    /// Prefixes withdrawn.
    pub withdrawn: u64,
    /// `UPDATE`s with errors.
    pub unread: u64,
}
