//! Weir on the L7 nodes, in place of HAProxy and socat, and on the servers, in place of socat. All have the same fleet
//! file.
//!
//! Checks, times and health are HAProxy's of the original: a TCP check with a PROXY line every two seconds, an agent
//! check, fifty seconds for a client or a server that says nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use super::{AGENT_FILE, Outfit, Turn};
use crate::topology::address::{beside, l7, server, service};
use crate::topology::{AGENT_PORT, Kind, SERVER_PORT, SERVICE_PORT, SERVICES, Topology};

const FILE: &str = "/etc/weir/fleet.toml";
const PLUGINS: &str = "/etc/weir/plugins";
const STATE: &str = "/run/weir-state";
const RUN: &str = "/run/weir";

pub(super) fn outfit(outfit: &mut Outfit, topology: &Topology, name: &str, weir: &Path) {
    outfit.file(FILE, fleet(topology));
    // A folder is made by a file in it, and what is no plugin is left alone.
    outfit.file("/etc/weir/plugins/README", "Plugins go here.\n".into());
    let weir = weir.display().to_string();
    outfit.program("weir", Turn::First, &[&weir, "run", "--fleet", FILE, "--node", name]);
}

fn fleet(topology: &Topology) -> String {
    let size = topology.size;
    let role = |kind| match kind {
        Kind::L7 => Some("l7"),
        Kind::Server => Some("agent"),
        _ => None,
    };
    let nodes = topology
        .nodes
        .iter()
        .filter_map(|node| Some((node.name.clone(), Node { roles: [role(node.kind)?], workers: 1 })))
        .collect();
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
    // The services, and each node's own addresses for whoever checks it.
    let four = (1..=SERVICES).map(service).chain((1..=size.l7 + 1).map(|number| l7(size, number)));
    let addresses = four.flat_map(|v4| [v4.to_string(), beside(v4).to_string()]).collect();
    let fleet = Fleet {
        version: 1,
        paths: Paths { plugins: PLUGINS, state: STATE, run: RUN },
        agent: AgentServer { listen: format!("[::]:{AGENT_PORT}"), file: AGENT_FILE },
        nodes,
        pools: BTreeMap::from([("servers", pool)]),
        services: BTreeMap::from([("vips", Service { port: SERVICE_PORT, pool: "servers", addresses })]),
    };
    // Plain maps, texts and numbers: TOML has a form for all of it.
    toml::to_string(&fleet).unwrap_or_default()
}

#[derive(Serialize)]
struct Fleet {
    version: u32,
    paths: Paths,
    agent: AgentServer,
    nodes: BTreeMap<String, Node>,
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
    use crate::topology::Size;

    #[test]
    fn the_fleet_has_every_l7_node_the_spare_one_too_and_every_server_as_agent() {
        let file = fleet(&Topology::new(Size::full()).unwrap());
        let file: toml::Table = file.parse().unwrap();
        let nodes = file["nodes"].as_table().unwrap();
        assert_eq!(nodes.len(), 14 + 10);
        assert_eq!(nodes["LB7-14"]["roles"][0].as_str(), Some("l7"));
        assert_eq!(nodes["S10"]["roles"][0].as_str(), Some("agent"));
        let pool = &file["pools"]["servers"];
        assert_eq!(pool["send-proxy"].as_bool(), Some(true));
        assert_eq!(pool["servers"][9]["address"].as_str(), Some("[2001:db8:1:0:2::10]:88"));
        let addresses = file["services"]["vips"]["addresses"].as_array().unwrap();
        assert!(addresses.iter().any(|each| each.as_str() == Some("2001:db8::c633:6404")));
        assert!(addresses.iter().any(|each| each.as_str() == Some("192.0.2.152")));
    }
}
