//! What the kernel of a node is told.

use super::Kind;

/// Settings below `net.` of a node, as the original has them, its faults among them. Those of IPVS are left out where the node's own
/// programs make them.
pub(crate) fn of(kind: Kind, makes_its_own: bool) -> Vec<(&'static str, &'static str)> {
    let mut settings = Vec::new();
    let forwards = matches!(kind, Kind::Internet | Kind::Router | Kind::L4);
    if forwards {
        settings.push(("net.ipv4.ip_forward", "1"));
        settings.push(("net.ipv6.conf.all.forwarding", "1"));
    }
    // `internet` is left as kernels come: it spreads by source and destination address, so that a client's packets to a
    // service all pass one router, those of ICMP too. The others spread by five tuples, IPv4 only: there is a setting of
    // its own for IPv6, which the original leaves alone.
    if matches!(kind, Kind::Router | Kind::L4 | Kind::L7) {
        settings.push(("net.ipv4.fib_multipath_use_neigh", "1"));
        settings.push(("net.ipv4.fib_multipath_hash_policy", "1"));
    }
    if kind == Kind::L4 && !makes_its_own {
        settings.extend(IPVS);
    }
    if matches!(kind, Kind::L7 | Kind::Server) {
        settings.extend(SMALL_BUFFERS);
    }
    settings
}

/// Clients of the lab read slowly, so each new connection first fills every buffer on its way. With those that kernels grow by themselves
/// those are some hundred kilobytes, and where dozens come back at once, the one CPU of all nodes carries nothing else for many seconds: no check, no
/// new connection. Nodes with a CPU of their own have no such thing.
const SMALL_BUFFERS: [(&str, &str); 2] =
    [("net.ipv4.tcp_wmem", "4096 16384 32768"), ("net.ipv4.tcp_rmem", "4096 16384 32768")];

/// IPVS as the original sets it.
const IPVS: [(&str, &str); 5] = [
    // Packets of connections that another L4 node scheduled are taken in: the base of it all.
    ("net.ipv4.vs.sloppy_tcp", "1"),
    // Fault: what does not fit the tunnel is cut in pieces without a word to the client.
    ("net.ipv4.vs.pmtu_disc", "0"),
    // Fault: meant to drain an L7 node. But keepalived removes a node that fails its check, and packets of connections to
    // a removed node vanish, so its clients hang until they give up.
    ("net.ipv4.vs.expire_nodest_conn", "0"),
    ("net.ipv4.vs.expire_quiescent_template", "0"),
    // Fault: not set in the original, and 0 is what kernels come with. ICMP errors that a router sends to an L4 node
    // without the connection are lost.
    ("net.ipv4.vs.schedule_icmp", "0"),
];
