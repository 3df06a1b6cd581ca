//! What a node's network side shall be, as one value, and what it was seen to be.
//!
//! The host process decides and has no power over the network; the sidecar has that power and decides nothing. What passes
//! between them is here: the *whole* state, never a step, so that a lost message, a restart of either side or a second
//! host cannot leave something behind that nobody wants any more. Whoever receives it finds the differences to what is there.
//!
//! A table of a hundred thousand destinations is fifteen million bytes as text, and one of them that fails is to be told within
//! milliseconds. So after the whole, what travels is a [`Delta`]: what makes the next state out of the last one, by its
//! generation. It is a shorter way to write the whole, and whoever has not the state that it was made for asks for that.
//!
//! [`Desired::check`] is the sidecar's guard against a host that is broken or no longer its own: it holds for every value that
//! a healthy host makes. Devices have names that begin with [`PREFIX`], addresses are single ones, of the kernel's settings
//! only those of [`Sysctl::ALLOWED`] may be named, and balancer and routes are for service addresses only. Which addresses those are,
//! the host says: who takes it over can make this node serve and announce any single address, and nothing larger.

mod address;
mod delta;
mod departing;
mod fault;
pub mod network;
mod observed;
mod redirect;
pub mod speaker;
mod sysctl;
#[cfg(test)]
mod tests;
mod tunnel;
mod ways;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bgp::Prefix;
use crate::ipvs::{self, Key};
use crate::l4::{MARKS, REDIRECT_MARKS};

pub use address::ServiceAddress;
pub use delta::{Delta, Misfit};
pub use fault::Fault;
pub use observed::{Counters, Difference, Observed, Part};
pub use redirect::Redirect;
pub use sysctl::Sysctl;
pub use tunnel::{Tunnel, TunnelKind};
pub use ways::Ways;

/// How the names of all network devices that are Weir's begin. A device of another name is never touched.
pub const PREFIX: &str = "weir-";

/// The dummy device that carries the service addresses.
pub const SERVICE_DEVICE: &str = "weir-vip";

/// The most tunnels, and the most addresses.
pub const MAX_ENTRIES: usize = 4096;

/// How long a sidecar that nobody speaks to goes on announcing, unless it is told otherwise.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(10);

/// The whole desired state of a node's network side. What is not in it is not wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Grows with each change; the observed state repeats it, so that the host knows what was done.
    pub generation: u64,
    /// Where packets from other nodes of the fleet come out.
    pub tunnels: Vec<Tunnel>,
    /// What clients connect to; local on this node, on [`SERVICE_DEVICE`].
    pub addresses: Vec<ServiceAddress>,
    /// Settings of the kernel that this node relies on.
    pub sysctls: Vec<Sysctl>,
    /// Services and destinations of the kernel's balancer.
    #[serde(default)]
    pub ipvs: ipvs::Wanted,
    /// Packets that get a second chance: they are marked for a service of `ipvs`.
    #[serde(default)]
    pub redirects: Vec<Redirect>,
    /// Who is told of the addresses, and what; `None`: nobody.
    #[serde(default)]
    pub speaker: Option<speaker::Config>,
    /// So long after the host went away the announcements are withdrawn; forwarding goes on.
    pub hold: Duration,
}

impl Default for Desired {
    /// Nothing at all.
    fn default() -> Self {
        Self {
            generation: 0,
            tunnels: Vec::new(),
            addresses: Vec::new(),
            sysctls: Vec::new(),
            ipvs: ipvs::Wanted::default(),
            redirects: Vec::new(),
            speaker: None,
            hold: DEFAULT_HOLD,
        }
    }
}

impl Desired {
    /// Whether this may be carried out by somebody who must not trust its sender.
    ///
    /// # Errors
    /// The first thing that is outside of what Weir owns, or that contradicts itself.
    pub fn check(&self) -> Result<(), Fault> {
        for count in [self.tunnels.len(), self.addresses.len(), self.sysctls.len(), self.redirects.len()] {
            if count > MAX_ENTRIES {
                return Err(Fault::TooMany { count });
            }
        }
        let mut names: Vec<&str> = Vec::with_capacity(self.tunnels.len());
        for tunnel in &self.tunnels {
            tunnel.check()?;
            names.push(&tunnel.name);
        }
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[a, b]| a == b) {
            return Err(Fault::Twice { name: (*twice).to_owned() });
        }
        self.addresses.iter().try_for_each(ServiceAddress::check)?;
        self.sysctls.iter().try_for_each(Sysctl::check)?;
        self.redirects.iter().try_for_each(Redirect::check)?;
        self.check_reach()?;
        if let Some(speaker) = &self.speaker {
            speaker.check()?;
        }
        Ok(())
    }

    /// Whether balancer and routes are about nothing but the service addresses and Weir's marks.
    fn check_reach(&self) -> Result<(), Fault> {
        let addresses: BTreeSet<IpAddr> = self.addresses.iter().map(|address| address.0).collect();
        let is_ours = |key: &Key| match key {
            Key::Address { address, .. } => addresses.contains(address),
            Key::Mark { mark, .. } => MARKS.has(*mark) || REDIRECT_MARKS.has(*mark),
        };
        if let Some(service) = self.ipvs.table.iter().map(|service| service.key).find(|key| !is_ours(key)) {
            return Err(Fault::ForeignService { service });
        }
        let claimed = &self.ipvs.ownership;
        let marks_are_ours = claimed.marks.is_none_or(|marks| [MARKS, REDIRECT_MARKS].contains(&marks));
        if claimed.everything || !marks_are_ours || !claimed.addresses.is_subset(&addresses) {
            return Err(Fault::ForeignServices);
        }
        let mut routes = self.speaker.iter().flat_map(|speaker| &speaker.routes).map(|route| route.prefix);
        let is_served = |prefix: &Prefix| {
            *prefix == Prefix::host(prefix.address()) && addresses.contains(&prefix.address())
        };
        match routes.find(|prefix| !is_served(prefix)) {
            Some(prefix) => Err(Fault::ForeignRoute { prefix }),
            None => Ok(()),
        }
    }
}
