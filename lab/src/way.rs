//! A request's way through the tiers, from what the nodes counted and noted, never from what was configured.
//!
//! | tier | seen by |
//! |---|---|
//! | router | the one whose counter of packets from the world went up |
//! | L4 node | the one whose IPVS table has the connection |
//! | L7 node | where that entry sends it |
//! | server | its name in the answer |

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::ask::Questions;
use crate::topology::{Kind, address};
use crate::world::World;

/// Requests of one connection: enough packets to stand out from whatever else passes a router.
const REQUESTS: u32 = 20;

/// The way of one connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Way {
    /// The user's address.
    pub(crate) user: IpAddr,
    /// The service that was asked.
    pub(crate) service: IpAddr,
    /// The edge router that its packets came in by.
    pub(crate) router: String,
    /// The L4 node.
    pub(crate) l4: String,
    /// The L7 node.
    pub(crate) l7: String,
    /// Who answered its requests, in order.
    pub(crate) servers: Vec<String>,
}

/// The ways from each of these users, by number, to two services of each family.
pub(crate) fn ways(world: &World, users: &[u32]) -> Result<Vec<Way>> {
    let services = world.topology().services();
    // The first `mh` and the first `sh` service of each family.
    let asked: Vec<IpAddr> = [0, 2, 4, 6].iter().filter_map(|&place| services.get(place).copied()).collect();
    let mut ways = Vec::new();
    for &user in users {
        let v4 = address::user(user);
        for &service in &asked {
            let from = if service.is_ipv4() { v4.into() } else { address::beside(v4).into() };
            ways.push(way(world, from, (service, crate::topology::SERVICE_PORT).into())?);
        }
    }
    Ok(ways)
}

fn way(world: &World, user: IpAddr, service: SocketAddr) -> Result<Way> {
    let before = counters(world)?;
    let wish =
        Questions { from: vec![user], to: vec![service], path: "/".into(), times: REQUESTS, within: 10 };
    let asked = world.ask("users", &wish)?.into_iter().next().context("nothing was asked")?;
    let after = counters(world)?;
    if let Some(failure) = asked.failure {
        anyhow::bail!("{service} does not answer {user}: {failure}");
    }
    let client = asked.from.context("a connection without a source address")?;
    let counted = before.iter().zip(&after).map(|((name, old), (_, new))| (new.saturating_sub(*old), name));
    let router = counted.max().map(|(_, name)| name.clone()).context("there is no router")?;
    let (l4, l7) = scheduled(world, client, service)?;
    Ok(Way { user, service: service.ip(), router, l4, l7, servers: asked.answers })
}

/// Packets that each router has had from the world.
fn counters(world: &World) -> Result<Vec<(String, u64)>> {
    let routers = world.topology().of(Kind::Router);
    routers.map(|node| Ok((node.name.clone(), world.received(&node.name, "veth0")?))).collect()
}

/// Which L4 node has the connection, and where it sends it.
fn scheduled(world: &World, client: SocketAddr, service: SocketAddr) -> Result<(String, String)> {
    for node in world.topology().of(Kind::L4) {
        let entries = world.connections(&node.name)?;
        let entry = entries.iter().find(|entry| entry.client == client && entry.service == service);
        if let Some(entry) = entry {
            let mut nodes = world.topology().nodes.iter();
            let l7 = nodes.find(|node| {
                let mut addresses = node.interfaces.iter().flat_map(|wire| &wire.addresses);
                addresses.any(|(address, _)| *address == entry.node)
            });
            return Ok((
                node.name.clone(),
                l7.map_or_else(|| entry.node.to_string(), |node| node.name.clone()),
            ));
        }
    }
    anyhow::bail!("no L4 node has the connection from {client} to {service}, though it was answered")
}
