//! What became of the speaker's configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bfd;
use crate::bgp::{Family, Received, Stage, State};

/// What the speaker does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// How far a leave is.
    pub stage: Stage,
    /// Where it listens, or why it does not.
    pub listeners: Vec<Listener>,
    /// By name.
    pub neighbors: Vec<Neighbor>,
    /// Connections from addresses of no neighbor, all closed at once.
    pub strangers: u64,
}

impl Default for Status {
    /// Before the first configuration.
    fn default() -> Self {
        Self { stage: Stage::Withdrawn, listeners: Vec::new(), neighbors: Vec::new(), strangers: 0 }
    }
}

/// A listening address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Why it is not listened at.
    pub error: Option<String>,
}

/// A neighbor, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// As configured.
    pub name: String,
    /// As configured.
    pub address: IpAddr,
    /// As configured.
    pub peer_as: u32,
    /// The state of the session that is further.
    pub state: State,
    /// For so long.
    pub state_for: Duration,
    /// What both ends agreed on, while established.
    pub session: Option<Session>,
    /// How often a session came up.
    pub ups: u64,
    /// How often an established session ended.
    pub downs: u64,
    /// What came from it.
    pub received: Received,
    /// Prefixes of IPv4 that it was told.
    pub announced_v4: usize,
    /// Prefixes of IPv6 that it was told.
    pub announced_v6: usize,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
    /// What BFD says, where it is used.
    pub bfd: Option<Bfd>,
}

/// What both ends of a session agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The neighbor's BGP identifier.
    pub peer_id: Ipv4Addr,
    /// The hold time; `None`: no timers.
    pub hold: Option<Duration>,
    /// Families that both speak.
    pub families: Vec<Family>,
    /// Families that are configured and that the neighbor did not turn on: no route of theirs is told.
    #[serde(default)]
    pub lacking: Vec<Family>,
    /// AS numbers have four bytes.
    pub four_octet_as: bool,
    /// The neighbor connected, not we.
    pub incoming: bool,
}

/// A BFD session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bfd {
    /// Its state.
    pub state: bfd::State,
    /// For so long.
    pub state_for: Duration,
    /// After so long without a packet it is down; `None`: none came yet.
    pub detection: Option<Duration>,
    /// The number of the diagnostic that goes with the state.
    pub diagnostic: u8,
    /// How often it was up and then down.
    pub downs: u64,
    /// Packets that were taken.
    pub received: u64,
    /// Packets for it that were not.
    pub refused: u64,
}
