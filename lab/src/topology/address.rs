//! Who has which address.
//!
//! | network | beside it | is |
//! |---|---|---|
//! | 203.0.113.0/24 | 2001:db8::203.0.113.0/120 | the users, each a host address on `lo` of one node |
//! | 198.51.100.1-4 | 2001:db8::198.51.100.1-4 | the services |
//! | 192.0.2.0/29 | 2001:db8::192.0.2.0/125 | `internet`, `users`, `dns` |
//! | 192.0.2.8 and up, /27 | /123 | `internet`, the routers |
//! | 192.0.2.128/25 | 2001:db8::192.0.2.128/121 | routers, L4 and L7 nodes from below, reflectors from above |
//! | - | 2001:db8:1::/64 | L7 nodes `:0:1::n`, servers `:0:2::n`: the servers have no IPv4 |
//!
//! The original gives 192.0.2.9 a /27, which the /29 lies in. That works, because the longer prefix wins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{CLIENTS, EDGE, INFRASTRUCTURE, Kind, SERVERS, Size};

/// Of the infrastructure network: the routers' addresses come after this one.
const FIRST: u32 = 129;
/// Of the same network: the reflectors' come before this one.
const LAST: u32 = 255;

/// The IPv6 address beside an IPv4 one.
pub(crate) fn beside(v4: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = v4.octets();
    let pair = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, pair(a, b), pair(c, d))
}

/// The address of user `number`, from 1.
pub(crate) fn user(number: u32) -> Ipv4Addr {
    within(Ipv4Addr::new(203, 0, 113, 0), number)
}

/// The address of service `number`, 1 to 4.
pub(crate) fn service(number: u32) -> Ipv4Addr {
    within(Ipv4Addr::new(198, 51, 100, 0), number)
}

/// The address of the DNS server.
pub(crate) const DNS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);

/// `internet` as its neighbours on the clients' side see it.
pub(super) const INTERNET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// `internet` as the routers see it.
pub(super) const UPSTREAM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// The node with the users.
pub(super) const USERS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// A router as `internet` sees it.
pub(super) fn router_outside(number: u32) -> Ipv4Addr {
    infrastructure_network(9 + number)
}

/// A router as the L4 and L7 nodes see it.
pub(crate) fn router(number: u32) -> Ipv4Addr {
    infrastructure_network(FIRST + number)
}

/// A reflector.
pub(crate) fn reflector(number: u32) -> Ipv4Addr {
    infrastructure_network(LAST - number)
}

/// An L4 node.
pub(crate) fn l4(size: Size, number: u32) -> Ipv4Addr {
    infrastructure_network(FIRST + size.routers + number)
}

/// An L7 node on the side of the infrastructure.
pub(crate) fn l7(size: Size, number: u32) -> Ipv4Addr {
    infrastructure_network(FIRST + size.routers + size.l4 + number)
}

/// An L7 node on the side of the servers.
pub(super) fn l7_inside(number: u32) -> Ipv6Addr {
    numbered(1, number)
}

/// A server.
pub(crate) fn server(number: u32) -> Ipv6Addr {
    numbered(2, number)
}

/// The addresses on the interface of a node that is plugged into `segment`.
pub(super) fn of(size: Size, kind: Kind, number: u32, segment: &str) -> Vec<(IpAddr, u8)> {
    let both = |v4: Ipv4Addr, length: u8| vec![(IpAddr::V4(v4), length), (beside(v4).into(), length + 96)];
    let inside = |v6: Ipv6Addr| vec![(IpAddr::V6(v6), 64)];
    match (kind, segment) {
        (Kind::Users, CLIENTS) => both(USERS, 29),
        (Kind::Dns, CLIENTS) => both(DNS, 29),
        (Kind::Internet, CLIENTS) => both(INTERNET, 29),
        (Kind::Internet, EDGE) => both(UPSTREAM, 27),
        (Kind::Router, EDGE) => both(router_outside(number), 27),
        (Kind::Router, INFRASTRUCTURE) => both(router(number), 25),
        (Kind::Reflector, INFRASTRUCTURE) => both(reflector(number), 25),
        (Kind::L4, INFRASTRUCTURE) => both(l4(size, number), 25),
        (Kind::L7, INFRASTRUCTURE) => both(l7(size, number), 25),
        (Kind::L7, SERVERS) => inside(l7_inside(number)),
        (Kind::Server, SERVERS) => inside(server(number)),
        _ => Vec::new(),
    }
}

fn infrastructure_network(host: u32) -> Ipv4Addr {
    within(Ipv4Addr::new(192, 0, 2, 0), host)
}

fn within(network: Ipv4Addr, host: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network) + host)
}

/// The original writes the number in decimal behind the `::`, so it is read as hexadecimal: server 10 is `::10`.
fn numbered(group: u16, number: u32) -> Ipv6Addr {
    let digit = |place: u32| (number / 10_u32.pow(place) % 10) << (4 * place);
    let read = (0..4).map(digit).fold(0, |sum, digit| sum | digit);
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, group, 0, 0, u16::try_from(read).unwrap_or(u16::MAX))
}
