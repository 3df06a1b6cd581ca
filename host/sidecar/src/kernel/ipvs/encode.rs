//! Changes as messages.

use std::net::{IpAddr, SocketAddr};

use weir_core::ipvs::{Change, Checksum, Entry, Forwarding, Key, Persistence, Settings, Timeouts, Tunnel};
use weir_core::maglev::Family;

use super::vocabulary::{
    PERSISTENT, VERSION, checksum, command, destination, family, method, service, top, tunnel,
};
use crate::kernel::netlink::Requests;
use crate::kernel::netlink::attribute::{nest, put};

/// Appends the request for a change.
pub(super) fn change(to: &mut Requests, family: u16, change: &Change) {
    let number = match change {
        Change::SetTimeouts(_) => command::SET_CONFIG,
        Change::AddService { .. } => command::NEW_SERVICE,
        Change::SetService { .. } => command::SET_SERVICE,
        Change::RemoveService { .. } => command::DEL_SERVICE,
        Change::AddDestination { .. } => command::NEW_DESTINATION,
        Change::SetDestination { .. } => command::SET_DESTINATION,
        Change::RemoveDestination { .. } => command::DEL_DESTINATION,
    };
    to.push(family, number, VERSION, |to| match change {
        Change::SetTimeouts(Timeouts { tcp, tcp_fin, udp }) => {
            for (kind, value) in
                [(top::TIMEOUT_TCP, tcp), (top::TIMEOUT_TCP_FIN, tcp_fin), (top::TIMEOUT_UDP, udp)]
            {
                put(to, kind, &value.get().to_ne_bytes());
            }
        }
        Change::AddService { key, settings } | Change::SetService { key, settings } => {
            nest(to, top::SERVICE, |to| {
                identity(to, key);
                how(to, key, settings);
            });
        }
        Change::RemoveService { key } => service(to, key),
        Change::AddDestination { service: key, entry } | Change::SetDestination { service: key, entry } => {
            service(to, key);
            nest(to, top::DESTINATION, |to| {
                endpoint(to, entry.endpoint);
                what(to, entry);
            });
        }
        Change::RemoveDestination { service: key, endpoint: at } => {
            service(to, key);
            nest(to, top::DESTINATION, |to| endpoint(to, *at));
        }
    });
}

/// Which service a request is about.
pub(super) fn service(to: &mut Vec<u8>, key: &Key) {
    nest(to, top::SERVICE, |to| identity(to, key));
}

fn identity(to: &mut Vec<u8>, key: &Key) {
    let number = match key.family() {
        Family::V4 => family::V4,
        Family::V6 => family::V6,
    };
    put(to, service::FAMILY, &number.to_ne_bytes());
    match key {
        Key::Address { protocol, address: ip, port } => {
            put(to, service::PROTOCOL, &protocol.number().to_ne_bytes());
            address(to, service::ADDRESS, *ip);
            put(to, service::PORT, &port.to_be_bytes());
        }
        Key::Mark { mark, .. } => put(to, service::MARK, &mark.get().to_ne_bytes()),
    }
}

/// An address in the 16 bytes of the kernel's union.
fn address(to: &mut Vec<u8>, kind: u16, ip: IpAddr) {
    nest(to, kind, |to| match ip {
        IpAddr::V4(ip) => {
            to.extend_from_slice(&ip.octets());
            to.extend_from_slice(&[0; 12]);
        }
        IpAddr::V6(ip) => to.extend_from_slice(&ip.octets()),
    });
}

fn how(to: &mut Vec<u8>, key: &Key, settings: &Settings) {
    let name = |to: &mut Vec<u8>, kind, name: &str| {
        nest(to, kind, |to| {
            to.extend_from_slice(name.as_bytes());
            to.push(0);
        });
    };
    name(to, service::SCHEDULER, settings.scheduler.as_str());
    if let Some(engine) = &settings.engine {
        name(to, service::ENGINE, engine.as_str());
    }
    let persistent = if settings.persistence.is_some() { PERSISTENT } else { 0 };
    nest(to, service::FLAGS, |to| {
        to.extend_from_slice(&(settings.flags.bits() | persistent).to_ne_bytes());
        // All bits are meant, also those that are not set.
        to.extend_from_slice(&u32::MAX.to_ne_bytes());
    });
    let whole = if key.family() == Family::V4 { 32 } else { 128 };
    let (seconds, prefix) =
        settings.persistence.map_or((0, whole), |Persistence { seconds, prefix }| (seconds.get(), prefix));
    put(to, service::TIMEOUT, &seconds.to_ne_bytes());
    // A mask in the network's order, or a number.
    let netmask = match key.family() {
        Family::V4 => u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0).to_be_bytes(),
        Family::V6 => u32::from(prefix).to_ne_bytes(),
    };
    put(to, service::NETMASK, &netmask);
}

fn endpoint(to: &mut Vec<u8>, at: SocketAddr) {
    let number = if at.is_ipv4() { family::V4 } else { family::V6 };
    put(to, destination::FAMILY, &number.to_ne_bytes());
    address(to, destination::ADDRESS, at.ip());
    put(to, destination::PORT, &at.port().to_be_bytes());
}

fn what(to: &mut Vec<u8>, entry: &Entry) {
    let (number, wrapped) = match entry.forwarding {
        Forwarding::Masquerade => (method::MASQUERADE, None),
        Forwarding::Local => (method::LOCAL, None),
        Forwarding::Tunnel(tunnel) => (method::TUNNEL, Some(tunnel)),
        Forwarding::Route => (method::ROUTE, None),
        Forwarding::Bypass => (method::BYPASS, None),
        // Nobody asks for it; the kernel would say what it thinks of it.
        Forwarding::Other { method, .. } => (method, None),
    };
    put(to, destination::METHOD, &number.to_ne_bytes());
    put(to, destination::WEIGHT, &entry.weight.to_ne_bytes());
    put(to, destination::UPPER, &entry.thresholds.upper.to_ne_bytes());
    put(to, destination::LOWER, &entry.thresholds.lower.to_ne_bytes());
    let (kind, port, flags) = match wrapped {
        None => return,
        Some(Tunnel::Ipip) => (tunnel::IPIP, 0, checksum::ABSENT),
        Some(Tunnel::Gre { checksum }) => (tunnel::GRE, 0, sum(checksum)),
        Some(Tunnel::Gue { port, checksum }) => (tunnel::GUE, port.get(), sum(checksum)),
    };
    put(to, destination::TUNNEL, &[kind]);
    put(to, destination::TUNNEL_PORT, &port.to_be_bytes());
    put(to, destination::TUNNEL_FLAGS, &flags.to_ne_bytes());
}

const fn sum(kind: Checksum) -> u16 {
    match kind {
        Checksum::Absent => checksum::ABSENT,
        Checksum::Full => checksum::FULL,
        Checksum::Remote => checksum::REMOTE,
    }
}
