//! Service addresses on their device.
//!
//! An IPv6 one is *deprecated* from the start: it answers whoever asks it, and the kernel never picks it as the source of a
//! connection that this node opens. It needs no duplicate detection: the same address is meant to be on every node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo};
use weir_core::desired::ServiceAddress;

use super::RouteError;

/// The addresses on the device, without those that the kernel puts on every device.
pub(super) async fn observe(handle: &Handle, index: u32) -> Result<BTreeSet<ServiceAddress>, RouteError> {
    let found: Vec<AddressMessage> =
        handle.address().get().set_link_index_filter(index).execute().try_collect().await?;
    Ok(found.iter().filter_map(address).filter(|a| !is_link_local(a.0)).collect())
}

/// The address that a message is about.
pub(super) fn address(message: &AddressMessage) -> Option<ServiceAddress> {
    message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Address(ip) => Some(ServiceAddress(*ip)),
        _ => None,
    })
}

const fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Makes an address local.
pub(super) async fn add(handle: &Handle, index: u32, address: ServiceAddress) -> Result<(), RouteError> {
    let mut request = handle.address().add(index, address.0, full(address.0));
    if address.0.is_ipv6() {
        let message = request.message_mut();
        message.header.flags = AddressHeaderFlags::Nodad;
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_preferred = 0;
        lifetime.ifa_valid = u32::MAX;
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
    Ok(request.execute().await?)
}

/// Makes an address no longer local.
pub(super) async fn remove(handle: &Handle, index: u32, address: ServiceAddress) -> Result<(), RouteError> {
    // Built as for adding: the kernel finds an address by device, length and value.
    let message = handle.address().add(index, address.0, full(address.0)).message_mut().clone();
    Ok(handle.address().del(message).execute().await?)
}

const fn full(ip: IpAddr) -> u8 {
    if ip.is_ipv6() { 128 } else { 32 }
}
