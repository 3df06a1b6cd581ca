//! What is asked of the kernels of the two tiers.

use super::way;
use crate::config::NodeCheck;
use crate::desired::Sysctl;

/// Of an l4 node.
const L4: &[(&str, &str)] = &[
    // Packets of a connection that another l4 node scheduled are taken in: the base of a tier without shared state.
    ("net/ipv4/vs/sloppy_tcp", "1"),
    // An ICMP error for a connection that another l4 node scheduled finds its l7 node.
    ("net/ipv4/vs/schedule_icmp", "1"),
    // What does not fit a tunnel is answered, so that the client sends less, instead of being cut in pieces or lost.
    ("net/ipv4/vs/pmtu_disc", "1"),
    // Packets of a connection to an l7 node that left the fleet are scheduled anew; 0 would drop them without a word.
    ("net/ipv4/vs/expire_nodest_conn", "1"),
    // A client's port that is used again is a new connection, also while the old one is still closing: answers are not seen here.
    ("net/ipv4/vs/conn_reuse_mode", "3"),
    // The kernel's other connection table would be a second one to fill.
    ("net/ipv4/vs/conntrack", "0"),
];

/// Of both: a service address is on many nodes of one link, and none of them may claim it there.
const SHARED_ADDRESS: &[(&str, &str)] =
    &[("net/ipv4/conf/all/arp_ignore", "1"), ("net/ipv4/conf/all/arp_announce", "2")];

/// What an l4 node relies on.
pub(super) fn l4(check: &NodeCheck) -> Vec<Sysctl> {
    let all = L4.iter().chain(SHARED_ADDRESS);
    all.map(|(name, value)| Sysctl::new(*name, *value)).chain(way::sysctls(check)).collect()
}

/// What an l7 node relies on, with the IPv4 tunnels of these names.
pub(super) fn l7<'n>(tunnels: impl Iterator<Item = &'n str>) -> Vec<Sysctl> {
    // Clients' packets come out of a tunnel, and the way back to them leads elsewhere. The larger of `all` and the device
    // counts, and any but 0 drops what comes out of a device that has no address.
    let filters = ["all"].into_iter().chain(tunnels);
    let filters = filters.map(|device| Sysctl::new(format!("net/ipv4/conf/{device}/rp_filter"), "0"));
    filters.chain(SHARED_ADDRESS.iter().map(|(name, value)| Sysctl::new(*name, *value))).collect()
}
