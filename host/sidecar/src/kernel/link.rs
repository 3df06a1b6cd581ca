//! Network devices: tunnels, and the dummy that carries the service addresses.
//!
//! A device is Weir's if its name begins with [`PREFIX`]: that is all that `ip link` shows to whoever wonders, and it
//! survives a restart of everything. No other device is looked at twice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::IpProtocol;
use rtnetlink::packet_route::link::{
    InfoData, InfoGre, InfoGre6, InfoIpTunnel, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{Handle, LinkDummy, LinkGre, LinkGre6, LinkIp6Tnl, LinkIpIp, LinkUnspec};
use weir_core::desired::network::{Device, DeviceKind};
use weir_core::desired::{PREFIX, SERVICE_DEVICE, Tunnel, TunnelKind};

use super::RouteError;

/// A device and the number that the kernel has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) index: u32,
    pub(super) device: Device,
}

/// All devices that are Weir's, by name.
pub(super) async fn observe(handle: &Handle) -> Result<BTreeMap<String, Found>, RouteError> {
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    Ok(links.iter().filter_map(ours).collect())
}

/// The kernel's number of a device, now: it is another one after the device was made anew.
pub(super) async fn index(handle: &Handle, name: &str) -> Result<u32, RouteError> {
    let found = handle.link().get().match_name(name.to_owned()).execute().try_next().await?;
    found.map(|link| link.header.index).ok_or(RouteError::NoDevice)
}

/// A device that is Weir's, and its name.
pub(super) fn ours(link: &LinkMessage) -> Option<(String, Found)> {
    let name = link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })?;
    if !name.starts_with(PREFIX) {
        return None;
    }
    let up = link.header.flags.contains(LinkFlags::Up);
    let device = Device { up, kind: kind(name, link) };
    Some((name.to_owned(), Found { index: link.header.index, device }))
}

fn kind(name: &str, link: &LinkMessage) -> DeviceKind {
    let infos = link.attributes.iter().find_map(|a| match a {
        LinkAttribute::LinkInfo(infos) => Some(infos.as_slice()),
        _ => None,
    });
    let infos = infos.unwrap_or_default();
    let Some(word) = infos.iter().find_map(|i| match i {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    }) else {
        return DeviceKind::Other("physical".to_owned());
    };
    let data = infos.iter().find_map(|i| match i {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    });
    let (kind, (local, remote)) = match (word, data) {
        (InfoKind::Dummy, _) => return DeviceKind::Dummy,
        (InfoKind::IpIp, Some(InfoData::IpTunnel(data))) => (TunnelKind::Ipip, ip_ends(data)),
        (InfoKind::Ip6Tnl, Some(InfoData::IpTunnel(data))) => (TunnelKind::Ip6tnl, ip_ends(data)),
        (InfoKind::GreTun, Some(InfoData::GreTun(data))) => (TunnelKind::Gre, gre_ends(data)),
        (InfoKind::GreTun6, Some(InfoData::GreTun6(data))) => (TunnelKind::Ip6gre, gre6_ends(data)),
        _ => return DeviceKind::Other(word.to_string()),
    };
    match (local, remote) {
        (Some(local), Some(remote)) => {
            DeviceKind::Tunnel(Tunnel { name: name.to_owned(), kind, local, remote })
        }
        _ => DeviceKind::Other(format!("{word} without ends")),
    }
}

type Ends = (Option<IpAddr>, Option<IpAddr>);

fn ip_ends(data: &[InfoIpTunnel]) -> Ends {
    let local = data.iter().find_map(|d| if let InfoIpTunnel::Local(ip) = d { Some(*ip) } else { None });
    let remote = data.iter().find_map(|d| if let InfoIpTunnel::Remote(ip) = d { Some(*ip) } else { None });
    (local, remote)
}

fn gre_ends(data: &[InfoGre]) -> Ends {
    let local = data.iter().find_map(|d| if let InfoGre::Local(ip) = d { Some((*ip).into()) } else { None });
    let remote =
        data.iter().find_map(|d| if let InfoGre::Remote(ip) = d { Some((*ip).into()) } else { None });
    (local, remote)
}

fn gre6_ends(data: &[InfoGre6]) -> Ends {
    let local = data.iter().find_map(|d| if let InfoGre6::Local(ip) = d { Some((*ip).into()) } else { None });
    let remote =
        data.iter().find_map(|d| if let InfoGre6::Remote(ip) = d { Some((*ip).into()) } else { None });
    (local, remote)
}

/// Adds the dummy that carries the service addresses, down.
pub(super) async fn add_service_device(handle: &Handle) -> Result<(), RouteError> {
    Ok(handle.link().add(LinkDummy::new(SERVICE_DEVICE).build()).execute().await?)
}

/// Adds a tunnel, down. It takes packets of its family only, and only from its peer.
pub(super) async fn add_tunnel(handle: &Handle, tunnel: &Tunnel) -> Result<(), RouteError> {
    let name = tunnel.name.as_str();
    let link = match (tunnel.kind, tunnel.local, tunnel.remote) {
        (TunnelKind::Ipip, IpAddr::V4(local), IpAddr::V4(remote)) => {
            LinkIpIp::new(name).protocol(IpProtocol::Ipip).local(local).remote(remote).build()
        }
        (TunnelKind::Ip6tnl, IpAddr::V6(local), IpAddr::V6(remote)) => {
            LinkIp6Tnl::new(name).protocol(IpProtocol::Ipv6).local(local).remote(remote).build()
        }
        (TunnelKind::Gre, IpAddr::V4(local), IpAddr::V4(remote)) => {
            LinkGre::new(name).local(local).remote(remote).build()
        }
        (TunnelKind::Ip6gre, IpAddr::V6(local), IpAddr::V6(remote)) => {
            LinkGre6::new(name).local(local).remote(remote).build()
        }
        _ => return Err(RouteError::Ends),
    };
    Ok(handle.link().add(link).execute().await?)
}

/// Lets packets through a device.
pub(super) async fn up(handle: &Handle, index: u32) -> Result<(), RouteError> {
    Ok(handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?)
}

/// Removes a device and all addresses on it.
pub(super) async fn remove(handle: &Handle, index: u32) -> Result<(), RouteError> {
    Ok(handle.link().del(index).execute().await?)
}
