//! What nodes say of themselves. Read from outside, through /proc of whoever holds the node, so that a look costs no
//! process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::World;
use crate::topology::{Kind, SERVICE_PORT};

/// An entry of the connection table of an L4 node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheduled {
    /// The client.
    pub(crate) client: SocketAddr,
    /// What it connected to.
    pub(crate) service: SocketAddr,
    /// The L7 node that gets its packets.
    pub(crate) node: IpAddr,
}

/// A weight that nobody wants.
const MEDDLED: &str = "77";

/// Destinations of each service of an L4 node that have a weight.
pub(crate) type Destinations = BTreeMap<SocketAddr, BTreeSet<IpAddr>>;

impl World {
    /// The connection table of an L4 node.
    pub(crate) fn connections(&self, node: &str) -> Result<Vec<Scheduled>> {
        Ok(self.proc(node, "net/ip_vs_conn")?.lines().filter_map(scheduled).collect())
    }

    /// What an L4 node would send new connections to. Not from /proc/net/ip_vs: where several nodes share a kernel, that
    /// file leaves out services as soon as it is read in more than one piece.
    pub(crate) fn destinations(&self, node: &str) -> Result<Destinations> {
        Ok(destinations(&self.fabric.run(node, &["/usr/sbin/ipvsadm", "--list", "--numeric"])?))
    }

    /// What an L4 node has, weights and all, as `ipvsadm` prints it for itself.
    fn table(&self, node: &str) -> Result<String> {
        self.fabric.run(node, &["/usr/sbin/ipvsadm", "--save", "--numeric"])
    }

    /// How many services for firewall marks an L4 node has.
    pub(crate) fn marked_services(&self, node: &str) -> Result<usize> {
        Ok(self.table(node)?.lines().filter(|line| line.starts_with("-A -f ")).count())
    }

    /// How many packets an L7 node has handed on to others.
    pub(crate) fn handed_on(&self, node: &str) -> Result<u64> {
        let text =
            self.fabric.run(node, &["/usr/sbin/ipvsadm", "--list", "--numeric", "--stats", "--exact"])?;
        Ok(marked_packets(&text))
    }

    /// Whether an L4 node sends to the L7 nodes that it should send to, each with the weight of all.
    pub(crate) fn table_is_right(&self, node: &str) -> Result<bool> {
        let table = self.table(node)?;
        let weights = table.lines().filter_map(|line| Some(line.split_once(" -w ")?.1));
        let own = weights.clone().all(|weight| Some(weight) == weights.clone().next());
        Ok(own && !table.contains(&format!("-w {MEDDLED}")) && self.ipvs_lacks(node)?.is_none())
    }

    /// Somebody with `ipvsadm` changes the weight of an L7 node behind a service. No connection that stands minds it.
    pub(crate) fn meddle(&self, node: &str) -> Result<()> {
        let table = self.destinations(node)?;
        let (service, nodes) = table.iter().next().context("a table without services")?;
        let first = nodes.iter().next().context("a service without destinations")?;
        let (service, first) = (service.to_string(), SocketAddr::new(*first, SERVICE_PORT).to_string());
        let arguments = ["--edit-server", "-t", &service, "-r", &first, "-i", "-w", MEDDLED];
        let argv: Vec<&str> = ["/usr/sbin/ipvsadm"].into_iter().chain(arguments).collect();
        self.fabric.run(node, &argv).map(drop)
    }

    /// Established connections of clients, by L7 node, the spare one among them.
    pub(crate) fn open_by_l7(&self) -> Result<BTreeMap<String, u64>> {
        let services = self.topology.services();
        let mut open = BTreeMap::new();
        for node in self.topology.nodes.iter().filter(|node| node.kind == Kind::L7) {
            let mut count = 0;
            for table in ["net/tcp", "net/tcp6"] {
                let text = self.proc(&node.name, table)?;
                let local = text.lines().filter_map(established);
                count += local.filter(|at| at.port() == SERVICE_PORT && services.contains(&at.ip())).count();
            }
            open.insert(node.name.clone(), u64::try_from(count)?);
        }
        Ok(open)
    }

    /// The gateways over which a router sends what is for the first service, of one family.
    pub(crate) fn gateways(&self, router: &str, v6: bool) -> Result<BTreeSet<IpAddr>> {
        let service = self.topology.services().into_iter().find(|each| each.is_ipv6() == v6);
        let service = service.context("a topology without services")?.to_string();
        let family = if v6 { "-6" } else { "-4" };
        let text = self.fabric.run(router, &["ip", family, "-json", "route", "show", "exact", &service])?;
        gateways(&text).with_context(|| format!("node {router}: `ip {family} route` prints {text}"))
    }

    /// Packets that an interface of a node has received.
    pub(crate) fn received(&self, node: &str, interface: &str) -> Result<u64> {
        let text = self.proc(node, "net/dev")?;
        counter(&text, interface, RECEIVED_PACKETS)
            .with_context(|| format!("node {node} has no interface {interface}"))
    }

    /// Bytes that an interface of a node has sent.
    pub(crate) fn sent_bytes(&self, node: &str, interface: &str) -> Result<u64> {
        let text = self.proc(node, "net/dev")?;
        counter(&text, interface, SENT_BYTES)
            .with_context(|| format!("node {node} has no interface {interface}"))
    }

    /// A file of the network namespace of a node.
    fn proc(&self, node: &str, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.fabric.pid(node)?);
        std::fs::read_to_string(&path).with_context(|| format!("node {node}: cannot read {path}"))
    }
}

/// A line such as `TCP CB007101 B0B2 C6336401 0050 C000028B 0050 ESTABLISHED 899`.
fn scheduled(line: &str) -> Option<Scheduled> {
    let mut fields = line.split_ascii_whitespace();
    if fields.next()? != "TCP" {
        return None;
    }
    let mut next = || {
        Some(SocketAddr::new(table_address(fields.next()?)?, u16::from_str_radix(fields.next()?, 16).ok()?))
    };
    Some(Scheduled { client: next()?, service: next()?, node: next()?.ip() })
}

/// An address as IPVS prints it: eight digits, or eight groups between colons.
fn table_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    u32::from_str_radix(text, 16).ok().map(|number| IpAddr::V4(Ipv4Addr::from(number)))
}

/// Packets to services for marks, of lines such as `FWM  1464205392  7  40  0  2400  0` and `FWM  1464205392 IPv6  7 40 ...`.
fn marked_packets(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.strip_prefix("FWM"));
    let count = |line: &str| {
        let mut fields =
            line.split_ascii_whitespace().skip(1).skip_while(|field| field.parse::<u64>().is_err());
        fields.nth(1)?.parse::<u64>().ok()
    };
    lines.filter_map(count).sum()
}

/// Lines such as `TCP  198.51.100.1:80 mh (mh-port)`, each followed by `-> 192.0.2.139:80 Tunnel 1 0 0` lines.
fn destinations(text: &str) -> Destinations {
    let mut all = Destinations::new();
    let mut service = None;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields.as_slice() {
            ["TCP", address, ..] => {
                service = address.parse::<SocketAddr>().ok();
                if let Some(service) = service {
                    all.entry(service).or_default();
                }
            }
            ["FWM", ..] => service = None,
            ["->", address, _, weight, ..] => {
                if let (Some(service), Some(node)) = (service, address.parse::<SocketAddr>().ok())
                    && *weight != "0"
                {
                    all.entry(service).or_default().insert(node.ip());
                }
            }
            _ => {}
        }
    }
    all
}

/// The local address of a line of /proc/net/tcp or tcp6, where its connection is established.
fn established(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace();
    let (local, state) = (fields.nth(1)?, fields.nth(1)?);
    if state != "01" {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each word of four bytes is printed as a number of this machine.
    let mut octets = Vec::new();
    for start in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(start..start + 8)?, 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    let address = match octets.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(address, port))
}

#[derive(Deserialize)]
struct Route {
    gateway: Option<IpAddr>,
    #[serde(default)]
    nexthops: Vec<Hop>,
}

#[derive(Deserialize)]
struct Hop {
    gateway: IpAddr,
}

fn gateways(text: &str) -> Result<BTreeSet<IpAddr>> {
    if text.trim().is_empty() {
        return Ok(BTreeSet::new());
    }
    let routes: Vec<Route> = serde_json::from_str(text)?;
    let all = routes
        .into_iter()
        .flat_map(|route| route.gateway.into_iter().chain(route.nexthops.into_iter().map(|hop| hop.gateway)));
    Ok(all.collect())
}

/// Columns of /proc/net/dev behind the name.
const RECEIVED_PACKETS: usize = 1;
const SENT_BYTES: usize = 8;

fn counter(text: &str, interface: &str, column: usize) -> Option<u64> {
    let counters = text.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
    counters.split_ascii_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_to_services_for_marks_are_added_up_whatever_else_is_listed() {
        let text = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  198.51.100.1:80                    900     1000        0    12345        0
FWM  1464205392                           7       40        0     2400        0
  -> 192.0.2.140:80                       7       40        0     2400        0
FWM  1464205392 IPv6                      5       41        0     2400        0
  -> [2001:db8::192.0.2.140]:80           5       40        0     2400        0
";
        assert_eq!(marked_packets(text), 81);
        assert_eq!(marked_packets(""), 0);
    }

    #[test]
    fn connection_tables_of_both_families_are_read() {
        let v4 = scheduled("TCP CB007101 B0B2 C6336401 0050 C000028B 0050 ESTABLISHED     899").unwrap();
        assert_eq!(v4.client.to_string(), "203.0.113.1:45234");
        assert_eq!(v4.service.to_string(), "198.51.100.1:80");
        assert_eq!(v4.node.to_string(), "192.0.2.139");
        let v6 = scheduled(
            "TCP 2001:0db8:0000:0000:0000:0000:cb00:7101 B0B2 2001:0db8:0000:0000:0000:0000:c633:6401 0050 \
             2001:0db8:0000:0000:0000:0000:c000:028b 0050 ESTABLISHED     899",
        );
        assert_eq!(v6.unwrap().node.to_string(), "2001:db8::c000:28b");
        assert_eq!(
            scheduled("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData"),
            None
        );
    }

    #[test]
    fn a_destination_without_weight_gets_nothing_new() {
        let text = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  198.51.100.1:80 mh (mh-port)
  -> 192.0.2.140:80               Tunnel  1      0          0
  -> 192.0.2.139:80               Tunnel  0      0          0
TCP  [2001:db8::c633:6401]:80 mh (mh-port)
  -> [2001:db8::c000:28b]:80      Tunnel  1      0          0
";
        let all = destinations(text);
        let of = |service: &str| {
            all[&service.parse::<SocketAddr>().unwrap()].iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("198.51.100.1:80"), ["192.0.2.140"]);
        assert_eq!(of("[2001:db8::c633:6401]:80"), ["2001:db8::c000:28b"]);
    }

    #[test]
    fn established_sockets_are_known_by_their_local_address_also_where_ipv4_is_inside_ipv6() {
        let v4 =
            "   1: 016433C6:0050 017100CB:B0B2 01 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert_eq!(established(v4).unwrap().to_string(), "198.51.100.1:80");
        let mapped =
            "   1: 0000000000000000FFFF0000016433C6:0050 0000000000000000FFFF0000017100CB:B0B2 01 0 0";
        assert_eq!(established(mapped).unwrap().to_string(), "198.51.100.1:80");
        let v6 = "   1: B80D012000000000000000000164 33C6:0050 x 01";
        assert_eq!(established(v6), None);
        assert_eq!(established(&v4.replace(" 01 ", " 0A ")), None);
    }

    #[test]
    fn routes_have_one_gateway_or_many() {
        let many = r#"[{"dst":"198.51.100.1","protocol":"bird","nexthops":[{"gateway":"192.0.2.132","dev":"veth1","weight":1,"flags":[]},{"gateway":"192.0.2.133","dev":"veth1","weight":1,"flags":[]}]}]"#;
        assert_eq!(gateways(many).unwrap().len(), 2);
        let one = r#"[{"dst":"2001:db8::c633:6401","gateway":"2001:db8::c000:284","dev":"veth1"}]"#;
        assert_eq!(gateways(one).unwrap().len(), 1);
        for none in ["", "[]", "[{}]"] {
            assert!(gateways(none).unwrap().is_empty());
        }
    }

    #[test]
    fn counters_are_found_by_the_name_of_the_interface() {
        let text =
            "Inter-|   Receive\n face |bytes    packets\n    lo: 1 2 0\n veth0: 9 77 0 0\nveth01: 9 78 0\n";
        assert_eq!(counter(text, "veth0", RECEIVED_PACKETS), Some(77));
        assert_eq!(counter(text, "veth1", RECEIVED_PACKETS), None);
    }
}
