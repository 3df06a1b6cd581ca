//! Messages as services, destinations and counters.
//!
//! What the kernel sends beyond what is known here is passed over: later kernels add attributes. What is missing and needed, or
//! has a size that its type cannot have, is an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};

use weir_core::ipvs::{
    Checksum, DestinationTraffic, Entry, Flags, Forwarding, Key, Name, Persistence, Protocol, Settings,
    Thresholds, Timeouts, Traffic, Tunnel,
};
use weir_core::maglev::Family;

use super::vocabulary::{PERSISTENT, checksum, destination, family, method, service, stats, top, tunnel};
use crate::kernel::netlink::Malformed;
use crate::kernel::netlink::attribute::{Attributes, be16, exactly, text, u8, u16, u32, u64};

/// A service without its destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) key: Key,
    pub(super) settings: Settings,
    pub(super) traffic: Traffic,
}

/// A destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) entry: Entry,
    active: u32,
    inactive: u32,
    traffic: Traffic,
}

impl Destination {
    /// Its counters.
    pub(super) const fn traffic(&self) -> DestinationTraffic {
        DestinationTraffic {
            endpoint: self.entry.endpoint,
            active: self.active,
            inactive: self.inactive,
            traffic: self.traffic,
        }
    }
}

/// What lies in an attribute of the command.
fn within<'a>(attributes: &'a [u8], wanted: u16, name: &'static str) -> Result<&'a [u8], Malformed> {
    for attribute in Attributes::of(attributes) {
        let (kind, value) = attribute?;
        if kind == wanted {
            return Ok(value);
        }
    }
    Err(Malformed::Lacks(name))
}

/// A service; `None` where it is of a protocol that is not known here.
pub(super) fn service(attributes: &[u8]) -> Result<Option<Service>, Malformed> {
    let (mut af, mut protocol, mut address, mut port, mut mark) = (None, None, None, None, None);
    let (mut scheduler, mut engine, mut flags, mut seconds, mut netmask) = (None, None, None, 0, None);
    let mut counters = Counters::default();
    for attribute in Attributes::of(within(attributes, top::SERVICE, "SERVICE")?) {
        let (kind, value) = attribute?;
        match kind {
            service::FAMILY => af = Some(u16(value)?),
            service::PROTOCOL => protocol = Some(u16(value)?),
            service::ADDRESS => address = Some(value),
            service::PORT => port = Some(be16(value)?),
            service::MARK => mark = Some(u32(value)?),
            service::SCHEDULER => scheduler = Some(text(value)?),
            service::ENGINE => engine = Some(text(value)?),
            // A mask follows them.
            service::FLAGS => flags = Some(*value.first_chunk().ok_or(Malformed::Value)?),
            service::TIMEOUT => seconds = u32(value)?,
            service::NETMASK => netmask = Some(exactly(value)?),
            service::STATS => counters.narrow(value)?,
            service::STATS64 => counters.wide(value)?,
            _ => {}
        }
    }
    let family = match af.ok_or(Malformed::Lacks("SVC_AF"))? {
        family::V4 => Family::V4,
        family::V6 => Family::V6,
        _ => return Ok(None),
    };
    let key = if let Some(mark) = mark {
        Key::Mark { family, mark: NonZeroU32::new(mark).ok_or(Malformed::Value)? }
    } else {
        let protocol = Protocol::from_number(protocol.ok_or(Malformed::Lacks("SVC_PROTOCOL"))?);
        let Some(protocol) = protocol else { return Ok(None) };
        let address = ip(family, address.ok_or(Malformed::Lacks("SVC_ADDR"))?)?;
        Key::Address { protocol, address, port: port.ok_or(Malformed::Lacks("SVC_PORT"))? }
    };
    let flags = u32::from_ne_bytes(flags.ok_or(Malformed::Lacks("SVC_FLAGS"))?);
    let persistent = if flags & PERSISTENT != 0 { NonZeroU32::new(seconds) } else { None };
    let netmask = netmask.ok_or(Malformed::Lacks("SVC_NETMASK"))?;
    let name = |name: &str| Name::new(name).map_err(|_| Malformed::Value);
    let settings = Settings {
        scheduler: name(scheduler.ok_or(Malformed::Lacks("SVC_SCHED_NAME"))?)?,
        flags: Flags::from_bits(flags),
        persistence: persistent.map(|seconds| Persistence { seconds, prefix: prefix(family, netmask) }),
        engine: engine.filter(|engine| !engine.is_empty()).map(name).transpose()?,
    };
    Ok(Some(Service { key, settings, traffic: counters.0 }))
}

/// A destination of a service of that family.
pub(super) fn destination(attributes: &[u8], of: Family) -> Result<Destination, Malformed> {
    let (mut af, mut address, mut port, mut weight) = (None, None, None, None);
    let (mut number, mut kind_of_tunnel, mut tunnel_port, mut sums) = (None, 0, 0, 0);
    let mut thresholds = Thresholds::default();
    let (mut active, mut inactive, mut counters) = (0, 0, Counters::default());
    for attribute in Attributes::of(within(attributes, top::DESTINATION, "DEST")?) {
        let (kind, value) = attribute?;
        match kind {
            destination::ADDRESS => address = Some(value),
            destination::PORT => port = Some(be16(value)?),
            destination::METHOD => number = Some(u32(value)? & method::MASK),
            destination::WEIGHT => weight = Some(u32(value)?),
            destination::UPPER => thresholds.upper = u32(value)?,
            destination::LOWER => thresholds.lower = u32(value)?,
            destination::ACTIVE => active = u32(value)?,
            destination::INACTIVE => inactive = u32(value)?,
            destination::FAMILY => af = Some(u16(value)?),
            destination::STATS => counters.narrow(value)?,
            destination::STATS64 => counters.wide(value)?,
            destination::TUNNEL => kind_of_tunnel = u8(value)?,
            destination::TUNNEL_PORT => tunnel_port = be16(value)?,
            destination::TUNNEL_FLAGS => sums = u16(value)?,
            _ => {}
        }
    }
    let family = match af {
        // Before Linux 3.18 there was no mixing of families.
        None => of,
        Some(family::V4) => Family::V4,
        Some(family::V6) => Family::V6,
        Some(_) => return Err(Malformed::Value),
    };
    let address = ip(family, address.ok_or(Malformed::Lacks("DEST_ADDR"))?)?;
    let endpoint = SocketAddr::new(address, port.ok_or(Malformed::Lacks("DEST_PORT"))?);
    let number = number.ok_or(Malformed::Lacks("DEST_FWD_METHOD"))?;
    let forwarding = match number {
        method::MASQUERADE => Some(Forwarding::Masquerade),
        method::LOCAL => Some(Forwarding::Local),
        method::TUNNEL => wrapping(kind_of_tunnel, tunnel_port, sums).map(Forwarding::Tunnel),
        method::ROUTE => Some(Forwarding::Route),
        method::BYPASS => Some(Forwarding::Bypass),
        _ => None,
    };
    let forwarding = forwarding.unwrap_or(Forwarding::Other { method: number, tunnel: kind_of_tunnel });
    let weight = weight.ok_or(Malformed::Lacks("DEST_WEIGHT"))?;
    let entry = Entry { endpoint, weight, forwarding, thresholds };
    Ok(Destination { entry, active, inactive, traffic: counters.0 })
}

/// Timeouts; `None` where one of them is 0, which the kernel does not do.
pub(super) fn timeouts(attributes: &[u8]) -> Result<Option<Timeouts>, Malformed> {
    let (mut tcp, mut tcp_fin, mut udp) = (None, None, None);
    for attribute in Attributes::of(attributes) {
        let (kind, value) = attribute?;
        match kind {
            top::TIMEOUT_TCP => tcp = NonZeroU32::new(u32(value)?),
            top::TIMEOUT_TCP_FIN => tcp_fin = NonZeroU32::new(u32(value)?),
            top::TIMEOUT_UDP => udp = NonZeroU32::new(u32(value)?),
            _ => {}
        }
    }
    let all = tcp.zip(tcp_fin).zip(udp);
    Ok(all.map(|((tcp, tcp_fin), udp)| Timeouts { tcp, tcp_fin, udp }))
}

fn ip(family: Family, bytes: &[u8]) -> Result<IpAddr, Malformed> {
    Ok(match family {
        Family::V4 => Ipv4Addr::from_octets(*bytes.first_chunk().ok_or(Malformed::Value)?).into(),
        Family::V6 => Ipv6Addr::from_octets(*bytes.first_chunk().ok_or(Malformed::Value)?).into(),
    })
}

/// The length of a mask; one that is none, or no mask with gaps can be asked for, so it equals nothing.
fn prefix(family: Family, bytes: [u8; 4]) -> u8 {
    let length = match family {
        Family::V6 => u32::from_ne_bytes(bytes),
        Family::V4 => {
            let mask = u32::from_be_bytes(bytes);
            let ones = mask.leading_ones();
            if mask.count_ones() == ones { ones } else { u32::MAX }
        }
    };
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn wrapping(kind: u8, port: u16, sums: u16) -> Option<Tunnel> {
    let checksum = match sums {
        checksum::ABSENT => Checksum::Absent,
        checksum::FULL => Checksum::Full,
        checksum::REMOTE => Checksum::Remote,
        _ => return None,
    };
    match kind {
        // The kernel keeps flags that mean nothing for it.
        tunnel::IPIP => Some(Tunnel::Ipip),
        tunnel::GRE => Some(Tunnel::Gre { checksum }),
        tunnel::GUE => Some(Tunnel::Gue { port: NonZeroU16::new(port)?, checksum }),
        _ => None,
    }
}

/// Counters of either kind; the wide ones count where both are there, whatever their order.
#[derive(Default)]
struct Counters(Traffic, bool);

impl Counters {
    fn wide(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.1 = true;
        self.0 = read(bytes)?;
        Ok(())
    }

    fn narrow(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if !self.1 {
            self.0 = read(bytes)?;
        }
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Result<Traffic, Malformed> {
    let mut traffic = Traffic::default();
    for attribute in Attributes::of(bytes) {
        let (kind, value) = attribute?;
        let to = match kind {
            stats::CONNECTIONS => &mut traffic.connections,
            stats::PACKETS_IN => &mut traffic.packets_in,
            stats::PACKETS_OUT => &mut traffic.packets_out,
            stats::BYTES_IN => &mut traffic.bytes_in,
            stats::BYTES_OUT => &mut traffic.bytes_out,
            _ => continue,
        };
        *to = if value.len() == 4 { u32(value)?.into() } else { u64(value)? };
    }
    Ok(traffic)
}
