//! What the speaker shall say to whom, and what became of it.
//!
//! [`Config`] is the whole of it: a neighbor, a route or a listening address that is not in it is not wanted any more. How a
//! session is run is decided by [`crate::bgp`] and [`crate::bfd`]; what only sockets know (addresses, ports, keys, hops) is here.

mod fault;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bgp::{
    Advert, AdvertError, Adverts, Community, Family, LargeCommunity, NextHops, Prefix, Settings,
};
pub use crate::bgp::{Pauses, Wish};
pub use fault::{Fault, Problem};
pub use status::{Bfd as BfdStatus, Listener, Neighbor as NeighborStatus, Session, Status};

/// Where BGP is spoken.
pub const BGP_PORT: u16 = 179;
/// Where BFD for one hop is spoken (RFC 5881).
pub const BFD_PORT: u16 = 3784;
/// The most neighbors: a node has a few, and each costs sockets.
pub const MAX_NEIGHBORS: usize = 256;
/// The most routes.
pub const MAX_ROUTES: usize = 2 * super::MAX_ENTRIES;
/// The longest key of TCP-MD5, in bytes: the kernel takes no more.
pub const MAX_KEY: usize = 80;

/// All that the speaker shall do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Our AS number.
    pub local_as: u32,
    /// Our BGP identifier, unique among the speakers of the AS.
    pub router_id: Ipv4Addr,
    /// Where neighbors may connect. None: they may not.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// Where BFD packets are received, if there is BFD at all.
    #[serde(default = "everywhere")]
    pub bfd_listen: Vec<SocketAddr>,
    /// Who is told.
    #[serde(default)]
    pub neighbors: Vec<Neighbor>,
    /// What they are told, as long as [`Config::wish`] is to announce.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Announce, leave or stop.
    pub wish: Wish,
    /// How long leaving takes.
    #[serde(default)]
    pub pauses: Pauses,
    /// Why, in words for the operators of the neighbors: said when sessions end by [`Wish::Stop`].
    #[serde(default)]
    pub reason: String,
}

/// Both families, the port of RFC 5881.
fn everywhere() -> Vec<SocketAddr> {
    vec![(Ipv4Addr::UNSPECIFIED, BFD_PORT).into(), (Ipv6Addr::UNSPECIFIED, BFD_PORT).into()]
}

/// A router or route reflector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbor {
    /// The name in output and logs.
    pub name: String,
    /// Who connects from this address is this neighbor.
    pub address: IpAddr,
    /// Where it is connected to.
    #[serde(default = "bgp_port")]
    pub port: u16,
    /// Our end of the connection; where it is not named, the kernel chooses.
    #[serde(default)]
    pub local: Option<IpAddr>,
    /// Its AS number. The same as ours: iBGP.
    pub peer_as: u32,
    /// The hold time that we propose, in whole seconds: 0 (none) or 3 s and more.
    #[serde(default = "hold")]
    pub hold: Duration,
    /// Waits for the neighbor to connect.
    #[serde(default)]
    pub passive: bool,
    /// What it is told about.
    #[serde(default = "both")]
    pub families: Vec<Family>,
    /// Next hops, where they are not our end of the connection.
    #[serde(default)]
    pub next_hop: NextHops,
    /// The first pause after a failure.
    #[serde(default = "first_pause")]
    pub first_pause: Duration,
    /// The longest pause after failures.
    #[serde(default = "longest_pause")]
    pub longest_pause: Duration,
    /// See [`Settings::graceful_restart`].
    #[serde(default)]
    pub graceful_restart: Option<u16>,
    /// The key of TCP-MD5 (RFC 2385).
    #[serde(default)]
    pub key: Option<Key>,
    /// How far away it is.
    #[serde(default)]
    pub distance: Distance,
    /// Watched by BFD.
    #[serde(default)]
    pub bfd: Option<Bfd>,
}

const fn bgp_port() -> u16 {
    BGP_PORT
}

const fn bfd_port() -> u16 {
    BFD_PORT
}

const fn hold() -> Duration {
    Duration::from_secs(9)
}

const fn first_pause() -> Duration {
    Duration::from_secs(1)
}

const fn longest_pause() -> Duration {
    Duration::from_secs(30)
}

fn both() -> Vec<Family> {
    vec![Family::Ipv4, Family::Ipv6]
}

/// How many hops lie between the two ends, and whether that is enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Nobody cares. Usual within an AS.
    #[default]
    Any,
    /// Our packets live for so many hops. 1 is usual between two AS.
    Hops(u8),
    /// The same both ways, and enforced by the kernel (GTSM, RFC 5082): sent with 255, and what was forwarded more often is
    /// dropped before anybody reads it. The other end has to do the same.
    Secured(u8),
}

/// Settings of a BFD session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bfd {
    /// We send this often.
    pub send_every: Duration,
    /// We take packets this often.
    pub receive_every: Duration,
    /// So many of them may be missing.
    pub multiplier: u8,
    /// Says nothing before the neighbor does.
    #[serde(default)]
    pub passive: bool,
    /// Where the neighbor receives.
    #[serde(default = "bfd_port")]
    pub port: u16,
}

impl Default for Bfd {
    /// 300 ms and three times.
    fn default() -> Self {
        let usual = crate::bfd::Settings::default();
        Self {
            send_every: usual.send_every,
            receive_every: usual.receive_every,
            multiplier: usual.multiplier,
            passive: usual.passive,
            port: BFD_PORT,
        }
    }
}

impl From<Bfd> for crate::bfd::Settings {
    fn from(bfd: Bfd) -> Self {
        Self {
            send_every: bfd.send_every,
            receive_every: bfd.receive_every,
            multiplier: bfd.multiplier,
            passive: bfd.passive,
        }
    }
}

/// A key that both ends know. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// Any text; its length is checked with the whole.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// For the kernel.
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A prefix and what is said of it, see [`Advert`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What is reachable here.
    pub prefix: Prefix,
    /// `MULTI_EXIT_DISC`.
    #[serde(default)]
    pub med: Option<u32>,
    /// `LOCAL_PREF`, within an AS.
    #[serde(default)]
    pub local_preference: Option<u32>,
    /// Our AS number so many times more.
    #[serde(default)]
    pub prepend: u8,
    /// `COMMUNITIES`.
    #[serde(default)]
    pub communities: Vec<Community>,
    /// `LARGE_COMMUNITY`.
    #[serde(default)]
    pub large_communities: Vec<LargeCommunity>,
    /// Capacity, in bytes per second.
    #[serde(default)]
    pub bandwidth: Option<u64>,
}

impl Route {
    /// Said plainly.
    pub const fn of(prefix: Prefix) -> Self {
        Self {
            prefix,
            med: None,
            local_preference: None,
            prepend: 0,
            communities: Vec::new(),
            large_communities: Vec::new(),
            bandwidth: None,
        }
    }

    fn advert(&self) -> Advert {
        let mut advert = Advert::of(self.prefix)
            .prepend(self.prepend)
            .communities(self.communities.iter().copied())
            .large_communities(self.large_communities.iter().copied());
        if let Some(med) = self.med {
            advert = advert.med(med);
        }
        if let Some(preference) = self.local_preference {
            advert = advert.local_preference(preference);
        }
        if let Some(bandwidth) = self.bandwidth {
            advert = advert.bandwidth(bandwidth);
        }
        advert
    }
}

impl Neighbor {
    /// An active one with usual settings.
    pub fn new(name: impl Into<String>, address: IpAddr, peer_as: u32) -> Self {
        Self {
            name: name.into(),
            address,
            port: BGP_PORT,
            local: None,
            peer_as,
            hold: hold(),
            passive: false,
            families: both(),
            next_hop: NextHops::default(),
            first_pause: first_pause(),
            longest_pause: longest_pause(),
            graceful_restart: None,
            key: None,
            distance: Distance::Any,
            bfd: None,
        }
    }

    fn check(&self) -> Result<(), Problem> {
        let key = self.key.as_ref().map_or(1, |key| key.as_bytes().len());
        let whole = self.hold.subsec_nanos() == 0 && self.hold.as_secs() <= u64::from(u16::MAX);
        let bfd = self.bfd.is_none_or(|bfd| {
            let sane =
                |every: Duration| every >= Duration::from_millis(1) && every <= Duration::from_secs(60);
            sane(bfd.send_every) && sane(bfd.receive_every) && bfd.multiplier > 0 && bfd.port > 0
        });
        let problems = [
            (self.peer_as == 0, Problem::As),
            (self.port == 0, Problem::Port),
            (self.address.is_unspecified() || self.address.is_multicast(), Problem::Address),
            (self.local.is_some_and(|local| local.is_ipv4() != self.address.is_ipv4()), Problem::Local),
            (!whole || matches!(self.hold.as_secs(), 1 | 2), Problem::Hold),
            (self.families.is_empty(), Problem::Families),
            (key == 0 || key > MAX_KEY, Problem::Key),
            (matches!(self.distance, Distance::Hops(0) | Distance::Secured(0)), Problem::Distance),
            (!bfd, Problem::Bfd),
        ];
        problems.into_iter().find_map(|(bad, problem)| bad.then_some(problem)).map_or(Ok(()), Err)
    }
}

impl Config {
    /// Announces nothing to nobody.
    pub fn new(local_as: u32, router_id: Ipv4Addr) -> Self {
        Self {
            local_as,
            router_id,
            listen: Vec::new(),
            bfd_listen: everywhere(),
            neighbors: Vec::new(),
            routes: Vec::new(),
            wish: Wish::Announce,
            pauses: Pauses::default(),
            reason: String::new(),
        }
    }

    /// Whether it can be carried out.
    ///
    /// # Errors
    /// The first fault, with the neighbor or prefix that has it.
    pub fn check(&self) -> Result<(), Fault> {
        if self.local_as == 0 || self.router_id.is_unspecified() {
            return Err(Fault::Identity);
        }
        if self.neighbors.len() > MAX_NEIGHBORS || self.routes.len() > MAX_ROUTES {
            return Err(Fault::TooMany { neighbors: self.neighbors.len(), routes: self.routes.len() });
        }
        let mut names = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for neighbor in &self.neighbors {
            neighbor.check().map_err(|problem| Fault::Neighbor { name: neighbor.name.clone(), problem })?;
            if !names.insert(&neighbor.name) || !addresses.insert(neighbor.address) {
                return Err(Fault::Neighbor { name: neighbor.name.clone(), problem: Problem::Twice });
            }
        }
        self.adverts()?;
        Ok(())
    }

    /// What is to be announced.
    ///
    /// # Errors
    /// A prefix that is there twice or that too much is said of.
    pub fn adverts(&self) -> Result<Adverts, AdvertError> {
        Adverts::new(self.routes.iter().map(Route::advert))
    }

    /// What the machine for a neighbor is to know.
    pub fn settings(&self, neighbor: &Neighbor) -> Settings {
        Settings {
            local_as: self.local_as,
            local_id: self.router_id,
            peer_as: neighbor.peer_as,
            hold: neighbor.hold,
            passive: neighbor.passive,
            families: neighbor.families.clone(),
            next_hop: neighbor.next_hop,
            first_pause: neighbor.first_pause,
            longest_pause: neighbor.longest_pause,
            graceful_restart: neighbor.graceful_restart,
        }
    }
}
