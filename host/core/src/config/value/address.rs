//! Addresses, with a port and without. Only read by these types; sections hold the standard library's.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

use super::written_as_text;

/// An address with a port, as text.
pub(in crate::config) struct Endpoint(SocketAddr);

/// Reads an address with a port, for `deserialize_with`.
pub(in crate::config) fn endpoint<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    Endpoint::deserialize(from).map(|endpoint| endpoint.0)
}

/// Reads a list of addresses with ports, for `deserialize_with`.
pub(in crate::config) fn endpoints<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<SocketAddr>, D::Error> {
    Ok(Vec::<Endpoint>::deserialize(from)?.into_iter().map(|endpoint| endpoint.0).collect())
}

impl FromStr for Endpoint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        if text.parse::<IpAddr>().is_ok() {
            let address = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
            return Err(format!("`{text}` has no port: write \"{address}:80\""));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok() => {
                Err(format!("`{text}` is ambiguous: write \"[{host}]:{port}\""))
            }
            _ => Err(format!(
                "`{text}` is no address with a port such as \"192.0.2.1:80\" or \"[2001:db8::1]:80\"; names are not looked up"
            )),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

written_as_text!(Endpoint, "an address with a port such as \"192.0.2.1:80\"", ":[0-9]+$");

/// The address of one machine, as text.
pub(in crate::config) struct Host(IpAddr);

/// Reads the address of a machine, for `deserialize_with`.
pub(in crate::config) fn host<'de, D: serde::Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    Host::deserialize(from).map(|host| host.0)
}

/// Reads a list of addresses of machines, for `deserialize_with`.
pub(in crate::config) fn hosts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    Ok(Vec::<Host>::deserialize(from)?.into_iter().map(|host| host.0).collect())
}

impl FromStr for Host {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<IpAddr>() {
            Ok(address) if address.to_canonical() != address => Err(format!(
                "`{text}` is an IPv4 address in IPv6 writing: write \"{}\"",
                address.to_canonical()
            )),
            Ok(address) if address.is_unspecified() || address.is_multicast() => {
                Err(format!("`{text}` is not the address of one machine"))
            }
            Ok(address) => Ok(Self(address)),
            Err(_) if text.parse::<SocketAddr>().is_ok() => {
                Err(format!("`{text}` has a port: write the address alone"))
            }
            Err(_) => Err(format!(
                "`{text}` is no address such as \"192.0.2.11\" or \"2001:db8::11\"; names are not looked up"
            )),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

written_as_text!(Host, "an address such as \"192.0.2.11\"", "^[0-9A-Fa-f:.]+$");

/// An address without a port, as text.
pub(in crate::config) struct Address(IpAddr);

/// Reads an address, for `deserialize_with`.
pub(in crate::config) fn address<'de, D: serde::Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    Address::deserialize(from).map(|address| address.0)
}

/// Reads a list of addresses, for `deserialize_with`.
pub(in crate::config) fn addresses<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<IpAddr>, D::Error> {
    Ok(Vec::<Address>::deserialize(from)?.into_iter().map(|address| address.0).collect())
}

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<IpAddr>();
        match parsed {
            Ok(address) if address.to_canonical() != address => Err(format!(
                "`{text}` is an IPv4 address in IPv6 writing: write \"{}\"",
                address.to_canonical()
            )),
            Ok(address) if address.is_unspecified() => Err(format!(
                "`{text}` is no address that clients connect to: leave `addresses` out for any address"
            )),
            Ok(address) if address.is_multicast() => Err(format!("`{text}` is a multicast address")),
            Ok(address) => Ok(Self(address)),
            Err(_) if text.parse::<SocketAddr>().is_ok() => {
                Err(format!("`{text}` has a port: write the address alone, the port stands in `port`"))
            }
            Err(_) => Err(format!(
                "`{text}` is no address such as \"198.51.100.1\" or \"2001:db8::1\"; names are not looked up"
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

written_as_text!(Address, "an address such as \"198.51.100.1\"", "^[0-9A-Fa-f:.]+$");
