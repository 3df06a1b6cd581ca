//! A node's addresses, tunnels and routes as lines for `ip -batch`: one process for each node instead of hundreds.
//!
//! Addresses are added with `nodad`. Nobody else has them, and looking for somebody who does takes a second.

use std::net::IpAddr;

use super::address::{self, beside};
use super::{Kind, Node, SERVICES, Size};

/// The lines for a node. Tunnels and service addresses are left out where its own programs make them.
pub(super) fn of(size: Size, node: &Node, makes_its_own: bool) -> String {
    let mut lines = Lines(String::new());
    lines.add("link set lo up");
    for interface in &node.interfaces {
        lines.add(format!("link set {} up", interface.name));
        for &(address, length) in &interface.addresses {
            lines.address(address, length, interface.name);
        }
    }
    match node.kind {
        Kind::Users => {
            for user in (1..=size.users).map(address::user) {
                lines.hosts(user, "lo", None);
            }
            lines.outwards(address::INTERNET);
        }
        Kind::Dns => lines.outwards(address::INTERNET),
        Kind::Internet => {
            lines.route("203.0.113.0/24", "2001:db8::203.0.113.0/120", &[address::USERS]);
            // Static, as in the original: what is between the world and the edge routers is not under trial.
            let routers: Vec<_> = (1..=size.routers).map(address::router_outside).collect();
            lines.route("198.51.100.0/24", "2001:db8::198.51.100.0/120", &routers);
        }
        Kind::Router => {
            lines.outwards(address::UPSTREAM);
            lines.route("192.0.2.0/29", "2001:db8::192.0.2.0/125", &[address::UPSTREAM]);
        }
        Kind::L4 => {
            let routers = routers(size);
            // Only for somebody who looks around, and in the original with a slip: the IPv6 route leads to the services
            // where the users were meant, so an L4 node cannot tell an IPv6 client that a packet was too big.
            let users = if makes_its_own { "203.0.113.0" } else { "198.51.100.0" };
            lines.route("203.0.113.0/24", &format!("2001:db8::{users}/120"), &routers);
            lines.route("192.0.2.0/29", "2001:db8::192.0.2.0/125", &routers);
            for number in (1..=SERVICES).filter(|_| !makes_its_own) {
                lines.hosts(address::service(number), "lo", Some(&format!("lo:v4-{number}")));
            }
        }
        Kind::L7 => {
            let routers = routers(size);
            lines.route("203.0.113.0/24", "2001:db8::203.0.113.0/120", &routers);
            lines.route("192.0.2.0/29", "2001:db8::192.0.2.0/125", &routers);
            if makes_its_own {
                return lines.0;
            }
            let own = address::l7(size, node.number);
            lines.add(format!("link add tunlv4 type ipip local {own}"));
            lines.add(format!("link add tunlv6 type ip6tnl mode ip6ip6 local {}", beside(own)));
            for (device, version) in [("tunlv4", 4), ("tunlv6", 6)] {
                lines.add(format!("link set {device} up"));
                for service in (1..=SERVICES).map(address::service) {
                    match version {
                        4 => lines.address(service.into(), 32, device),
                        _ => lines.address(beside(service).into(), 128, device),
                    }
                }
            }
        }
        Kind::Reflector | Kind::Server => {}
    }
    lines.0
}

fn routers(size: Size) -> Vec<std::net::Ipv4Addr> {
    (1..=size.routers).map(address::router).collect()
}

struct Lines(String);

impl Lines {
    fn add(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn address(&mut self, address: IpAddr, length: u8, device: &str) {
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        self.add(format!("addr add {address}/{length} dev {device}{nodad}"));
    }

    /// A host address of each family.
    fn hosts(&mut self, v4: std::net::Ipv4Addr, device: &str, label: Option<&str>) {
        let label = label.map(|label| format!(" label {label}")).unwrap_or_default();
        self.add(format!("addr add {v4}/32 dev {device}{label}"));
        self.address(beside(v4).into(), 128, device);
    }

    /// Whatever has no other route goes there.
    fn outwards(&mut self, gateway: std::net::Ipv4Addr) {
        self.route("default", "::/0", &[gateway]);
    }

    /// A route of each family over the same gateways.
    fn route(&mut self, v4: &str, v6: &str, gateways: &[std::net::Ipv4Addr]) {
        let over = |gateways: Vec<IpAddr>| {
            let mut text = String::new();
            match gateways.as_slice() {
                [only] => text.push_str(&format!(" via {only}")),
                many => many.iter().for_each(|each| text.push_str(&format!(" nexthop via {each}"))),
            }
            text
        };
        let four = over(gateways.iter().map(|&each| each.into()).collect());
        let six = over(gateways.iter().map(|&each| beside(each).into()).collect());
        self.add(format!("route add {v4}{four}"));
        self.add(format!("route add {v6}{six}"));
    }
}
