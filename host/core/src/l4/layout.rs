//! What follows from the fleet file alone: which targets are checked, and who is behind which service.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::way::Way;
use crate::config::{AddressFamily, CheckType, Fleet, Name, Node, Role, Service, Through};

/// Something that is checked of an l7 node. Services that cannot differ in the outcome share a target, so that a node with a
/// thousand services is not asked a thousand times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Unique in a fleet; changes with whatever is asked. For people: `l7-1 192.0.2.11:80 /healthcheck`.
    pub name: Arc<str>,
    /// The l7 node.
    pub node: Name,
    /// Where the check connects to: the node's own address, or a service address.
    pub to: SocketAddr,
    /// The way through the tunnel that leads there, where it is a service address.
    pub way: Option<Way>,
    /// What is asked for over HTTP; `None`: a connection is enough.
    pub path: Option<String>,
    /// Which service it is asked for, in a header [`SERVICE_HEADER`]: where several have the port, and so the node's own address. `None`: the
    /// first one there, or whatever is at a service address.
    pub service: Option<Name>,
}

/// In which header a check at an l7 node's own address says which service it is about. Others than Weir do not mind it.
pub const SERVICE_HEADER: &str = "weir-service";

/// An l7 node behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The l7 node.
    pub(super) node: Name,
    /// Its end of the tunnel, and the port of the service: what the kernel hashes.
    pub(super) endpoint: SocketAddr,
    /// Its place in [`Layout::targets`].
    pub(super) target: usize,
    /// Its share by the fleet file.
    pub(super) weight: u16,
}

/// A service address with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The service.
    pub(super) service: Name,
    /// What clients connect to.
    pub(super) at: SocketAddr,
    /// In join order.
    pub(super) members: Vec<Member>,
}

/// All targets, services and members of a fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    pub(super) targets: Vec<Target>,
    pub(super) rows: Vec<Row>,
    index: HashMap<Arc<str>, usize>,
    /// For each target the rows that it is behind: what is decided anew when something happens to it.
    rows_of: Vec<Vec<usize>>,
}

impl Layout {
    /// Of this fleet.
    pub fn of(fleet: &Fleet) -> Self {
        let mut layout = Self::default();
        let nodes = in_join_order(fleet);
        // Two targets of different places may be asked the same, so a name may come up often; a place only once.
        for (service_name, service) in &fleet.services {
            let asked = Asked::of(fleet, service);
            for address in &service.addresses {
                let family = AddressFamily::of(*address);
                let at = SocketAddr::new(*address, service.port);
                let member = |(name, node): &(&Name, &Node)| {
                    let own = node.address(family)?;
                    let target = target(fleet, &asked, at, (name, node.join.unwrap_or_default()), own);
                    Some(((*name).clone(), node.weight, SocketAddr::new(own, service.port), target))
                };
                let members: Vec<_> = nodes.iter().filter_map(member).collect();
                let row = layout.rows.len();
                let members = members
                    .into_iter()
                    .map(|(node, weight, endpoint, target)| {
                        let target = layout.place(target, row);
                        Member { node, endpoint, target, weight }
                    })
                    .collect();
                layout.rows.push(Row { service: service_name.clone(), at, members });
            }
        }
        layout
    }

    /// What is to be checked.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The targets of one l7 node: an operator's word about the node is said of each.
    pub fn of_node(&self, node: &str) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(move |target| target.node.as_str() == node)
    }

    /// The place of the target of this name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Every service address, once, in order.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.rows.iter().map(|row| row.at.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The rows that a target is behind.
    pub(super) fn rows_of(&self, target: usize) -> impl Iterator<Item = &Row> {
        let places = self.rows_of.get(target).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.rows.get(*place))
    }

    /// The place of a target that is behind this row.
    fn place(&mut self, target: Target, row: usize) -> usize {
        let next = self.targets.len();
        let place = *self.index.entry(Arc::clone(&target.name)).or_insert(next);
        if place == next {
            self.targets.push(target);
            self.rows_of.push(Vec::new());
        }
        if let Some(rows) = self.rows_of.get_mut(place) {
            rows.push(row);
        }
        place
    }
}

/// The l7 nodes, the oldest first. All l4 nodes add destinations in this order, so that all kernels have the same list.
pub(super) fn in_join_order(fleet: &Fleet) -> Vec<(&Name, &Node)> {
    let mut nodes: Vec<_> = fleet.nodes.iter().filter(|(_, node)| node.has(Role::L7)).collect();
    nodes.sort_by_key(|(_, node)| node.join);
    nodes
}

/// What every l7 node is asked of a service.
struct Asked {
    path: Option<String>,
    service: Option<Name>,
}

impl Asked {
    fn of(fleet: &Fleet, service: &Service) -> Self {
        let check = &fleet.l4.check;
        let path = match check.kind {
            CheckType::Tcp => return Self { path: None, service: None },
            CheckType::Http => check.path.as_deref().or(service.healthcheck.path()).unwrap_or("/"),
        };
        let service = match check.through {
            Through::Node => named(fleet, service),
            Through::Tunnel => None,
        };
        Self { path: Some(path.to_owned()), service }
    }
}

/// By which name an l7 node is asked for this service at its own address: that of the first one whose answer cannot be another one. Where that
/// is the first one of the port it answers anyway.
fn named(fleet: &Fleet, service: &Service) -> Option<Name> {
    let same_answer =
        |other: &Service| other.pool == service.pool && other.healthcheck == service.healthcheck;
    let mut on_port = fleet.services.iter().filter(|(_, other)| other.port == service.port);
    if on_port.next().is_none_or(|(_, first)| same_answer(first)) {
        return None;
    }
    on_port.find(|(_, other)| same_answer(other)).map(|(name, _)| name.clone())
}

fn target(fleet: &Fleet, asked: &Asked, at: SocketAddr, (node, join): (&Name, u32), own: IpAddr) -> Target {
    let (to, way) = match fleet.l4.check.through {
        Through::Node => (SocketAddr::new(own, at.port()), None),
        Through::Tunnel => (at, Way::new(own, join)),
    };
    let Asked { path, service } = asked;
    let mut name = format!("{node} {to}");
    if let Some(Way { end, .. }) = way {
        let _ = write!(name, " via {end}");
    }
    if let Some(path) = path {
        name.push(' ');
        name.push_str(path);
    }
    if let Some(service) = service {
        let _ = write!(name, " for {service}");
    }
    Target { name: name.into(), node: node.clone(), to, way, path: path.clone(), service: service.clone() }
}
