//! The control packet, without its 24 bytes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// State of a session; the numbers are those in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum State {
    /// Down by somebody's will.
    AdminDown = 0,
    /// Nothing heard, or nothing good.
    Down = 1,
    /// The neighbor is heard, and does not know it yet.
    Init = 2,
    /// Both hear each other.
    Up = 3,
}

impl State {
    /// The word in output and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminDown => "admin-down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

/// Why a session is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    /// 0: no reason.
    None,
    /// 1: nothing was heard for the detection time.
    Expired,
    /// 3: the neighbor says that it is down for him.
    NeighborSaidDown,
    /// 3 as well on the wire: the neighbor says that it is his will.
    NeighborAdministrative,
    /// 7: by our own will.
    Administrative,
    /// Any other; 5 bits.
    Other(u8),
}

impl Diagnostic {
    /// The number in the packet.
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Expired => 1,
            Self::NeighborSaidDown | Self::NeighborAdministrative => 3,
            Self::Administrative => 7,
            Self::Other(number) => number & 31,
        }
    }

    /// Of the number in a packet.
    pub const fn from_number(number: u8) -> Self {
        match number & 31 {
            0 => Self::None,
            1 => Self::Expired,
            3 => Self::NeighborSaidDown,
            7 => Self::Administrative,
            other => Self::Other(other),
        }
    }

    /// Whether routes should fall with it. Who turns BFD off means nothing by it (RFC 5882 §3.2).
    pub const fn says_failure(self) -> bool {
        !matches!(self, Self::NeighborAdministrative | Self::Administrative)
    }
}

/// A control packet. Version (1) and length are checked by who reads the bytes; echo is not used, its interval is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The sender's state.
    pub state: State,
    /// Why it was down last.
    pub diagnostic: Diagnostic,
    /// P: acknowledge my intervals.
    pub poll: bool,
    /// F: acknowledged.
    pub last: bool,
    /// D: no packets without need, please.
    pub demand: bool,
    /// M: must not be.
    pub multipoint: bool,
    /// A: an authentication section follows.
    pub authenticated: bool,
    /// Of the sender's interval, for the detection time.
    pub multiplier: u8,
    /// The sender's number for the session.
    pub mine: u32,
    /// The receiver's number for it; 0: not known to the sender.
    pub yours: u32,
    /// The sender would like to send this often. Microseconds on the wire.
    pub send_every: Duration,
    /// The sender can receive this often; 0: does not want any.
    pub receive_every: Duration,
}

/// Why a packet is not taken (RFC 5880 §6.8.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A multiplier of 0 would mean a detection time of 0.
    #[error("the multiplier is 0")]
    Multiplier,
    /// The M bit.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// The sender has no number for the session.
    #[error("the sender's discriminator is 0")]
    Mine,
    /// It names a session that this is not, or none where it should.
    #[error("the receiver's discriminator {0} is not that of this session")]
    Yours(u32),
    /// Nothing of the kind is configured.
    #[error("it is authenticated, and this session is not")]
    Authenticated,
}

impl Control {
    /// Whether it is for the session with this number, and makes sense.
    pub fn check(&self, discriminator: u32) -> Result<(), Refusal> {
        let knows_us = self.yours == discriminator;
        let may_not_know = self.yours == 0 && matches!(self.state, State::AdminDown | State::Down);
        if self.multiplier == 0 {
            Err(Refusal::Multiplier)
        } else if self.multipoint {
            Err(Refusal::Multipoint)
        } else if self.mine == 0 {
            Err(Refusal::Mine)
        } else if !knows_us && !may_not_know {
            Err(Refusal::Yours(self.yours))
        } else if self.authenticated {
            Err(Refusal::Authenticated)
        } else {
            Ok(())
        }
    }
}
