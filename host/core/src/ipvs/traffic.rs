//! What has passed: the kernel's counters.

use std::net::SocketAddr;

use serde::Serialize;

use super::Key;

/// Counters since the service or destination was made. With tunnels the answers pass elsewhere, and `*_out` stay 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Connections that were scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// Of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DestinationTraffic {
    /// Which one.
    pub endpoint: SocketAddr,
    /// Connections that the kernel takes for established, now.
    pub active: u32,
    /// Other connections, now.
    pub inactive: u32,
    /// Counters.
    pub traffic: Traffic,
}

/// Of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceTraffic {
    /// Which one.
    pub key: Key,
    /// Counters.
    pub traffic: Traffic,
    /// Its destinations, the oldest first.
    pub destinations: Vec<DestinationTraffic>,
}
