//! A service address as an L4 or L7 node carries it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Fault;

/// One address that clients connect to, with the full prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceAddress(pub IpAddr);

impl ServiceAddress {
    /// Whether routers can be told of it.
    ///
    /// # Errors
    /// It is none that is routed to a single machine.
    pub fn check(&self) -> Result<(), Fault> {
        let ip = self.0;
        let link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
        };
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local {
            return Err(Fault::Address { address: ip });
        }
        Ok(())
    }
}
