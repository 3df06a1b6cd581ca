//! The network side of an l7 node: tunnels in which packets come, and the addresses that they are for.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::layout::Layout;
use super::members::{History, members};
use super::second_chance::{Silent, asked_at, encapsulation, give, is_given, kind, ownership};
use super::settings;
use crate::config::{AddressFamily, Encapsulation, Fleet, Name, Role};
use crate::desired::{Desired, ServiceAddress, Tunnel, TunnelKind};

/// The largest segments that clients may send over a path of 1500 bytes, IPv4 and IPv6: room is left for the largest wrapping that a
/// packet can meet, which is GRE (24 and 44 bytes). Answers bypass the tunnel and may be larger.
pub const MAX_SEGMENT: (u16, u16) = (1500 - 24 - 40, 1500 - 44 - 60);

/// Whether a node has a network side at all: it is an l4 node, or an l7 node of a fleet with l4 nodes.
pub fn has_tunnels(fleet: &Fleet, node: &str) -> bool {
    let tier = fleet.nodes.values().any(|node| node.has(Role::L4));
    tier && fleet.nodes.get(node).is_some_and(|node| node.has(Role::L4) || node.has(Role::L7))
}

/// What happened to an l7 node.
#[derive(Debug, Clone)]
pub enum ReceiverEvent {
    /// Another l7 node answers at one of its addresses, or does no more.
    Answers {
        /// [`Other::name`].
        name: Arc<str>,
        /// Whether it does.
        answers: bool,
    },
    /// The fleet file says something else now.
    Fleet(Arc<Fleet>),
    /// Time has passed. To be said now and then: who was there before is forgotten.
    Timer,
}

/// Another l7 node that is asked whether it answers, at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// For people, and unique: `l7-2 192.0.2.12:80`.
    pub name: Arc<str>,
    /// Where a connection is tried.
    pub at: SocketAddr,
    node: Name,
}

/// All that decides what one l7 node wants of its kernel: tunnels, service addresses, and whom it hands packets on to.
///
/// It wants all of it at once: whoever has not been heard of yet counts as answering. Times are seconds since 1970, since what is
/// remembered outlives the process.
#[derive(Debug, Clone)]
pub struct Receiver {
    node: String,
    fleet: Arc<Fleet>,
    history: History,
    silent: Silent,
}

impl Receiver {
    /// Of this node. `kept`: what an earlier process knew.
    pub fn new(fleet: Arc<Fleet>, node: &str, kept: Option<&History>, time: u64) -> Self {
        let history = History::begin(kept, members(&fleet), node, time);
        Self { node: node.to_owned(), fleet, history, silent: Silent::new() }
    }

    /// Who is to be asked at this time whether it answers: nobody where nothing is handed on.
    pub fn others(&self, time: u64) -> Vec<Other> {
        let is_asked = is_given(&self.fleet) && has_tunnels(&self.fleet, &self.node);
        let ports = asked_at(&self.fleet);
        let others = self.history.others(&self.node, time, self.remember());
        let others = others.filter(|_| is_asked).flat_map(|member| {
            ports.iter().filter_map(move |(family, port)| {
                let at = SocketAddr::new(member.address(*family)?, *port);
                let node = member.node.clone();
                Some(Other { name: format!("{node} {at}").into(), at, node })
            })
        });
        others.collect()
    }

    /// What is to be kept for the next process.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Takes one event in.
    pub fn handle(&mut self, event: ReceiverEvent, time: u64) {
        match event {
            ReceiverEvent::Timer => {}
            ReceiverEvent::Answers { name, answers } => {
                let Some(other) = self.others(time).into_iter().find(|other| other.name == name) else {
                    return;
                };
                let place = (other.node, AddressFamily::of(other.at.ip()));
                if answers {
                    self.silent.remove(&place);
                } else {
                    self.silent.insert(place);
                }
            }
            ReceiverEvent::Fleet(fleet) => {
                self.history.take(members(&fleet), time);
                self.fleet = fleet;
            }
        }
    }

    /// What is wanted at this time. Nothing at all where the fleet has no l4 nodes.
    ///
    /// There is a tunnel for each address of each l4 node: which of them an l4 node's kernel chooses as the source is up to its
    /// routes. So it is with the other l7 nodes, and from anybody else nothing is taken.
    pub fn desired(&self, time: u64) -> Desired {
        let (fleet, node) = (&*self.fleet, self.node.as_str());
        let mut desired = Desired { hold: fleet.l4.host_hold.get(), ..Desired::default() };
        desired.ipvs.ownership = ownership();
        let Some(this) = fleet.nodes.get(node).filter(|this| this.has(Role::L7) && has_tunnels(fleet, node))
        else {
            return desired;
        };
        let addresses = Layout::of(fleet).addresses();
        let families: BTreeSet<_> = addresses.iter().map(|address| AddressFamily::of(*address)).collect();
        let mut names = BTreeSet::new();
        let mut lead_here = |remotes: &[IpAddr], wrapped: Encapsulation| {
            for remote in remotes {
                let family = AddressFamily::of(*remote);
                let Some(local) = this.address(family).filter(|_| families.contains(&family)) else {
                    continue;
                };
                let kind = kind(wrapped, family);
                let name = name(kind, *remote, &mut names);
                desired.tunnels.push(Tunnel { name, kind, local, remote: *remote });
            }
        };
        for l4 in fleet.nodes.values().filter(|node| node.has(Role::L4)) {
            lead_here(&l4.addresses, fleet.l4.tunnel);
        }
        for other in self.history.others(node, time, self.remember()).filter(|_| is_given(fleet)) {
            lead_here(&other.addresses, encapsulation(fleet));
        }
        let v4 = desired.tunnels.iter().filter(|tunnel| !tunnel.kind.is_ipv6());
        desired.sysctls = settings::l7(v4.map(|tunnel| tunnel.name.as_str()));
        // Of a time when this node was an l4 node: what the kernel went on sending away would never reach the proxy.
        desired.ipvs.ownership.addresses = addresses.iter().copied().collect();
        desired.addresses = addresses.into_iter().map(ServiceAddress).collect();
        if is_given(fleet) {
            give(&mut desired, fleet, node, self.history.spread_over(time, self.remember()), &self.silent);
        }
        desired
    }

    fn remember(&self) -> u64 {
        self.fleet.l4.second_chance.remember.as_secs()
    }
}

/// A name that stays with the other end, whoever else joins or leaves: its address in hexadecimal digits, or a hash where
/// it does not fit. Of the few that share a hash, the later ones in the file take the next number.
fn name(kind: TunnelKind, remote: IpAddr, taken: &mut BTreeSet<String>) -> String {
    let mut number = match remote {
        IpAddr::V4(address) => address.to_bits(),
        // FNV-1a.
        IpAddr::V6(address) => address
            .octets()
            .iter()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)),
    };
    loop {
        let name = format!("{}{number:08x}", kind.prefix());
        if taken.insert(name.clone()) {
            return name;
        }
        number = number.wrapping_add(1);
    }
}
