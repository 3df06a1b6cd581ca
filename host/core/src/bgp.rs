//! An announcing BGP speaker, without a socket: RFC 4271 for somebody who has something to say and believes nothing.
//!
//! An L4 node says which service addresses it serves, to routers or route reflectors, and installs nothing it hears. The pieces:
//!
//! ```text
//!   Adverts ---- Maintenance fades them, then takes them away
//!      | set
//!   Neighbor --- back-off, collision, Adj-RIB-Out (Outbox)     handle(Event, now) -> Vec<Action>, deadline()
//!      |  two of
//!   Session ---- one TCP connection: the states of RFC 4271 §8, hold and keepalive timers
//!      |
//!   Message ---- what is said, without its bytes
//! ```
//!
//! The speaker around it owns sockets, bytes, clock and, below all that, MD5 and GTSM: who got as far as a message here was
//! checked already. There are two sessions for a neighbor because both ends may connect at once; which one stays is decided by
//! [`survivor`], as soon as both have heard who they talk to.

mod advert;
mod attributes;
mod event;
mod maintenance;
mod message;
mod negotiate;
mod neighbor;
mod notification;
mod outbox;
mod pauses;
mod session;

#[cfg(test)]
mod tests;

pub use advert::{Advert, AdvertError, Adverts, MAX_COMMUNITIES};
pub use attributes::{Attributes, Community, LargeCommunity, NextHop, Origin};
pub use event::{Action, Down, Event, Received};
pub use maintenance::{Maintenance, Pauses, Stage, Wish};
pub use message::{AS_TRANS, Capability, Family, Message, Open, Prefix, PrefixError, Update};
pub use negotiate::{Negotiated, survivor};
pub use neighbor::Neighbor;
pub use notification::{Cease, Notification};
pub use outbox::Outbox;
pub use session::{Side, State};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Both ends of a neighbourship. Addresses, ports, keys and hops belong to the speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our AS number, 4 bytes.
    pub local_as: u32,
    /// Our BGP identifier: not 0, and unique within the AS.
    pub local_id: Ipv4Addr,
    /// The neighbor's AS number. The same as ours: iBGP.
    pub peer_as: u32,
    /// The hold time that we propose: 0 (no timers at all) or 3 s and more. The smaller of both is used.
    pub hold: Duration,
    /// Wait for the neighbor to connect.
    pub passive: bool,
    /// What we want to announce.
    pub families: Vec<Family>,
    /// `NEXT_HOP`, where it is not the address that the connection has at our end. A family without either is not announced.
    pub next_hop: NextHops,
    /// The pause after a connection failed; doubled each time, less up to a quarter by chance.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Ask the neighbor to keep routes for so many seconds (at most 4095) after the session broke. Off by default: who routes to
    /// a dead node that long loses traffic, and BFD and this do not go together.
    pub graceful_restart: Option<u16>,
}

/// Own addresses to be used as next hops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NextHops {
    /// For IPv4 prefixes.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6 prefixes.
    pub v6: Option<Ipv6Addr>,
    /// Beside the IPv6 one, where the neighbor is on the same link and wants it.
    pub link_local: Option<Ipv6Addr>,
}

impl NextHops {
    /// With the address that a connection has at our end where nothing else is said.
    fn or_own(self, local: Option<IpAddr>) -> Self {
        match local {
            Some(IpAddr::V4(own)) => Self { v4: self.v4.or(Some(own)), ..self },
            Some(IpAddr::V6(own)) => Self { v6: self.v6.or(Some(own)), ..self },
            None => self,
        }
    }
}

impl Settings {
    /// Usual ones: hold 9 s, both families, active and passive, pauses from 1 s to 30 s.
    pub fn new(local_as: u32, local_id: Ipv4Addr, peer_as: u32) -> Self {
        Self {
            local_as,
            local_id,
            peer_as,
            hold: Duration::from_secs(9),
            passive: false,
            families: vec![Family::Ipv4, Family::Ipv6],
            next_hop: NextHops::default(),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            graceful_restart: None,
        }
    }

    /// Whether the neighbor is in our own AS.
    pub const fn is_internal(&self) -> bool {
        self.local_as == self.peer_as
    }
}
