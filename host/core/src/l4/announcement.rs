//! What routers are told, and how they are reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::bgp::{Family, NextHops, Prefix, Wish};
use crate::config::{AddressFamily, Bgp, Fleet, Name, Neighbor, Node};
use crate::desired::speaker::{BGP_PORT, Bfd, Config, Distance, Key, Neighbor as Told, Route};

/// What the password files of neighbors say, by the neighbor's name.
pub type Keys = BTreeMap<Name, Key>;

/// The speaker of a node; `None` where nobody is to be told anything.
pub(super) fn speaker(
    fleet: &Fleet,
    node: &str,
    keys: &Keys,
    announced: impl Iterator<Item = IpAddr>,
    wish: Wish,
) -> Option<Config> {
    let bgp = fleet.bgp.as_ref()?;
    let this = fleet.nodes.get(node)?;
    let neighbors: Vec<_> = bgp
        .neighbors
        .iter()
        .filter(|neighbor| neighbor.is_of(node) && lacks_key(neighbor, keys).is_none())
        .map(|neighbor| told(bgp, this, neighbor, keys))
        .collect();
    let mut listen: Vec<SocketAddr> =
        neighbors.iter().filter_map(|neighbor| Some(SocketAddr::new(neighbor.local?, BGP_PORT))).collect();
    listen.sort_unstable();
    listen.dedup();
    Some(Config {
        listen,
        neighbors,
        routes: announced.filter_map(|address| route(bgp, address)).collect(),
        wish,
        pauses: bgp.pauses(),
        ..Config::new(bgp.autonomous_system, this.router_id()?)
    })
}

/// The name of a neighbor whose secret is not there. It is left out: a session without the secret that both ends agreed on is none.
pub(super) fn lacks_key<'f>(neighbor: &'f Neighbor, keys: &Keys) -> Option<&'f Name> {
    (neighbor.password_file.is_some() && !keys.contains_key(&neighbor.name)).then_some(&neighbor.name)
}

fn told(bgp: &Bgp, this: &Node, neighbor: &Neighbor, keys: &Keys) -> Told {
    let family = |family: &AddressFamily| match family {
        AddressFamily::Ipv4 => Family::Ipv4,
        AddressFamily::Ipv6 => Family::Ipv6,
    };
    let is_external = neighbor.autonomous_system != bgp.autonomous_system;
    let distance = match (neighbor.gtsm, neighbor.multihop) {
        (true, hops) => Distance::Secured(hops.unwrap_or(1)),
        (false, Some(hops)) => Distance::Hops(hops),
        (false, None) if is_external => Distance::Hops(1),
        (false, None) => Distance::Any,
    };
    let bfd = neighbor.bfd.map(|bfd| Bfd {
        send_every: bfd.interval.get(),
        receive_every: bfd.interval.get(),
        multiplier: bfd.multiplier,
        ..Bfd::default()
    });
    Told {
        port: neighbor.port,
        local: this.address(AddressFamily::of(neighbor.address)),
        hold: bgp.hold.get(),
        passive: neighbor.passive,
        families: neighbor.families().iter().map(family).collect(),
        next_hop: next_hops(this),
        key: keys.get(&neighbor.name).filter(|_| neighbor.password_file.is_some()).cloned(),
        distance,
        bfd,
        ..Told::new(neighbor.name.as_str(), neighbor.address, neighbor.autonomous_system)
    }
}

fn next_hops(this: &Node) -> NextHops {
    let v4 = match this.address(AddressFamily::Ipv4) {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    };
    let v6 = match this.address(AddressFamily::Ipv6) {
        Some(IpAddr::V6(address)) => Some(address),
        _ => None,
    };
    NextHops { v4, v6, link_local: None }
}

fn route(bgp: &Bgp, address: IpAddr) -> Option<Route> {
    let length = if address.is_ipv4() { 32 } else { 128 };
    let prefix = Prefix::new(address, length).ok()?;
    Some(Route {
        med: bgp.med,
        local_preference: Some(bgp.local_preference),
        communities: bgp.communities.iter().map(|community| community.0).collect(),
        large_communities: bgp.large_communities.iter().map(|community| community.0).collect(),
        ..Route::of(prefix)
    })
}
