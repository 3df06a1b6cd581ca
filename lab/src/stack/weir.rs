//! Weir on the L4 nodes, in place of keepalived and ExaBGP, on the L7 nodes, in place of HAProxy and socat, on the servers, in
//! place of socat, and on the DNS server, in place of gdnsd: see [`dns`]. All have the same fleet file.
//!
//! Checks, times and health are HAProxy's of the original: a TCP check with a PROXY line every two seconds, an agent
//! check, fifty seconds for a client or a server that says nothing.

mod dns;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::Serialize;

use super::{AGENT_FILE, Choice, Outfit, Stack, Turn};
use crate::topology::address::{beside, l4, l7, reflector, router, server, service};
use crate::topology::{AGENT_PORT, Kind, SERVER_PORT, SERVICE_PORT, SERVICES, Size, Topology};

/// The fleet file, read again at SIGHUP.
pub(crate) const FILE: &str = "/etc/weir/fleet.toml";
const PLUGINS: &str = "/etc/weir/plugins";
const STATE: &str = "/run/weir-state";
const RUN: &str = "/run/weir";
/// The one AS of the original.
const AS: u32 = 65000;

pub(super) fn outfit(
    outfit: &mut Outfit,
    topology: &Topology,
    choice: Choice,
    node: &crate::topology::Node,
    weir: &Path,
) {
    // The spare L7 node has a file in which it takes part.
    let known = if node.kind == Kind::L7 { node.number.max(topology.size.l7) } else { topology.size.l7 };
    outfit.file(FILE, fleet(topology, choice, known));
    // A folder is made by a file in it, and what is no plugin is left alone.
    outfit.file("/etc/weir/plugins/README", "Plugins go here.\n".into());
    if node.kind == Kind::Dns {
        dns::outfit(outfit);
    }
    let weir = weir.display().to_string();
    let argv = [weir.as_str(), "run", "--fleet", FILE, "--node", &node.name];
    if node.kind == Kind::L4 {
        outfit.speaker("weir", Turn::First, &argv);
    } else {
        outfit.program("weir", Turn::First, &argv);
    }
}

/// The fleet file of a topology in which the first `known` L7 nodes take connections.
pub(crate) fn fleet(topology: &Topology, choice: Choice, known: u32) -> String {
    let size = topology.size;
    let by_weir = choice.l4 == Stack::Weir;
    let names_by_weir = choice.dns == Stack::Weir;
    let nodes = topology.nodes.iter().filter_map(|node| {
        let role = match node.kind {
            Kind::L4 if by_weir => "l4",
            // L4 nodes check every L7 node that there is, also those that run something else.
            Kind::L7 if by_weir && node.number <= known => "l7",
            Kind::L7 if !by_weir && choice.l7 == Stack::Weir => "l7",
            Kind::Server if choice.l7 == Stack::Weir => "agent",
            Kind::Dns if choice.dns == Stack::Weir => "dns",
            _ => return None,
        };
        let takes_part = by_weir && matches!(role, "l4" | "l7");
        let own = match node.kind {
            Kind::L4 => l4(size, node.number),
            _ => l7(size, node.number),
        };
        let section = Node {
            roles: [role],
            workers: 1,
            addresses: if takes_part { vec![own.into(), beside(own).into()] } else { Vec::new() },
            join: (takes_part && role == "l7").then_some(node.number),
        };
        Some((node.name.clone(), section))
    });
    let servers = (1..=size.servers)
        .map(|number| Server {
            name: format!("web{number}"),
            address: SocketAddr::new(server(number).into(), SERVER_PORT),
        })
        .collect();
    let pool = Pool {
        send_proxy: true,
        check: Check { kind: "tcp" },
        agent_check: Agent { port: AGENT_PORT },
        servers,
    };
    let mut four: Vec<_> = (1..=SERVICES).map(service).collect();
    if !by_weir {
        // And each node's own addresses, for whoever checks it.
        four.extend((1..=size.l7 + 1).map(|number| l7(size, number)));
    }
    let addresses = four.into_iter().flat_map(|v4| [v4.to_string(), beside(v4).to_string()]).collect();
    let fleet = Fleet {
        version: 1,
        paths: Paths { plugins: PLUGINS, state: STATE, run: RUN },
        agent: AgentServer { listen: format!("[::]:{AGENT_PORT}"), file: AGENT_FILE },
        nodes: nodes.collect(),
        bgp: by_weir.then(|| bgp(size)),
        plugins: if names_by_weir { dns::plugins() } else { BTreeMap::new() },
        dns: names_by_weir.then(dns::section),
        pools: BTreeMap::from([("servers", pool)]),
        services: BTreeMap::from([("vips", Service { port: SERVICE_PORT, pool: "servers", addresses })]),
    };
    // Plain maps, texts and numbers: TOML has a form for all of it.
    toml::to_string(&fleet).unwrap_or_default()
}

/// A session to each reflector over each family, as the original has them, and one to each router, which BFD watches.
fn bgp(size: Size) -> Bgp {
    let both = |name: String, v4: Ipv4Addr, bfd: Option<Bfd>| {
        [(4, IpAddr::V4(v4)), (6, beside(v4).into())].map(|(version, address)| Neighbor {
            name: format!("{name}-v{version}"),
            address,
            autonomous_system: AS,
            bfd,
        })
    };
    let watched = Some(Bfd { interval: "100ms", multiplier: 3 });
    let reflectors =
        (1..=size.reflectors).flat_map(|number| both(format!("RR{number}"), reflector(number), None));
    let routers = (1..=size.routers).flat_map(|number| both(format!("R{number}"), router(number), watched));
    Bgp { autonomous_system: AS, hold: "6s", neighbors: reflectors.chain(routers).collect() }
}

#[derive(Serialize)]
struct Fleet {
    version: u32,
    paths: Paths,
    agent: AgentServer,
    nodes: BTreeMap<String, Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bgp: Option<Bgp>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    plugins: BTreeMap<&'static str, dns::Plugin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<dns::Dns>,
    pools: BTreeMap<&'static str, Pool>,
    services: BTreeMap<&'static str, Service>,
}

#[derive(Serialize)]
struct Paths {
    plugins: &'static str,
    state: &'static str,
    run: &'static str,
}

#[derive(Serialize)]
struct AgentServer {
    listen: String,
    file: &'static str,
}

#[derive(Serialize)]
struct Node {
    roles: [&'static str; 1],
    workers: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<u32>,
}

#[derive(Serialize)]
struct Bgp {
    #[serde(rename = "as")]
    autonomous_system: u32,
    hold: &'static str,
    neighbors: Vec<Neighbor>,
}

#[derive(Serialize)]
struct Neighbor {
    name: String,
    address: IpAddr,
    #[serde(rename = "as")]
    autonomous_system: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    bfd: Option<Bfd>,
}

#[derive(Clone, Copy, Serialize)]
struct Bfd {
    interval: &'static str,
    multiplier: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Pool {
    send_proxy: bool,
    check: Check,
    agent_check: Agent,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Check {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Agent {
    port: u16,
}

#[derive(Serialize)]
struct Server {
    name: String,
    address: SocketAddr,
}

#[derive(Serialize)]
struct Service {
    port: u16,
    pool: &'static str,
    addresses: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_has_every_l7_node_the_spare_one_too_and_every_server_as_agent() {
        let behind_classic = Choice { l4: Stack::Classic, ..Choice::WEIR };
        let file = fleet(&Topology::new(Size::full()).unwrap(), behind_classic, 13);
        let file: toml::Table = file.parse().unwrap();
        let nodes = file["nodes"].as_table().unwrap();
        assert_eq!(nodes.len(), 14 + 10 + 1);
        assert_eq!(nodes["dns"]["roles"][0].as_str(), Some("dns"));
        assert_eq!(nodes["LB7-14"]["roles"][0].as_str(), Some("l7"));
        assert_eq!(nodes["S10"]["roles"][0].as_str(), Some("agent"));
        let pool = &file["pools"]["servers"];
        assert_eq!(pool["send-proxy"].as_bool(), Some(true));
        assert_eq!(pool["servers"][9]["address"].as_str(), Some("[2001:db8:1:0:2::10]:88"));
        let addresses = file["services"]["vips"]["addresses"].as_array().unwrap();
        assert!(addresses.iter().any(|each| each.as_str() == Some("2001:db8::c633:6404")));
        assert!(addresses.iter().any(|each| each.as_str() == Some("192.0.2.152")));
    }

    #[test]
    fn the_dns_server_asks_the_plugin_of_its_policies_and_is_left_out_where_it_is_not_weirs() {
        let topology = Topology::new(Size::small()).unwrap();
        let file: toml::Table = fleet(&topology, Choice::WEIR, 2).parse().unwrap();
        let policies = file["dns"]["policies"].as_table().unwrap();
        for policy in policies.values() {
            assert!(file["plugins"].get(policy["plugin"].as_str().unwrap()).is_some());
            assert_eq!(policy["addresses"].as_array().unwrap().len(), 4);
        }
        let classic = Choice { dns: Stack::Classic, ..Choice::WEIR };
        let file: toml::Table = fleet(&topology, classic, 2).parse().unwrap();
        assert!(file.get("dns").is_none() && file.get("plugins").is_none());
        assert!(file["nodes"].get("dns").is_none());
    }

    #[test]
    fn l4_nodes_know_the_l7_nodes_that_they_are_told_of_and_speak_to_every_reflector_and_router() {
        let topology = Topology::new(Size::small()).unwrap();
        for known in [2, 3] {
            let file: toml::Table = fleet(&topology, Choice::WEIR, known).parse().unwrap();
            let nodes = file["nodes"].as_table().unwrap();
            assert_eq!(nodes.keys().filter(|name| name.starts_with("LB7-")).count(), known as usize);
            assert_eq!(nodes["LB7-2"]["join"].as_integer(), Some(2));
            assert_eq!(nodes["LB4-1"]["addresses"][0].as_str(), Some("192.0.2.132"));
            let neighbors = file["bgp"]["neighbors"].as_array().unwrap();
            assert_eq!(neighbors.len(), 8);
            assert_eq!(neighbors.iter().filter(|one| one.get("bfd").is_some()).count(), 4);
            assert_eq!(file["services"]["vips"]["addresses"].as_array().unwrap().len(), 8);
        }
    }
}
