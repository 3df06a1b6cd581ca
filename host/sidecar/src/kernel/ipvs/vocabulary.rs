//! The numbers of `include/uapi/linux/ip_vs.h`.

/// Version of the family.
pub(super) const VERSION: u8 = 1;

/// Commands.
pub(super) mod command {
    pub(in super::super) const NEW_SERVICE: u8 = 1;
    pub(in super::super) const SET_SERVICE: u8 = 2;
    pub(in super::super) const DEL_SERVICE: u8 = 3;
    pub(in super::super) const GET_SERVICE: u8 = 4;
    pub(in super::super) const NEW_DESTINATION: u8 = 5;
    pub(in super::super) const SET_DESTINATION: u8 = 6;
    pub(in super::super) const DEL_DESTINATION: u8 = 7;
    pub(in super::super) const GET_DESTINATION: u8 = 8;
    pub(in super::super) const SET_CONFIG: u8 = 12;
    pub(in super::super) const GET_CONFIG: u8 = 13;
}

/// Attributes of a command.
pub(super) mod top {
    pub(in super::super) const SERVICE: u16 = 1;
    pub(in super::super) const DESTINATION: u16 = 2;
    pub(in super::super) const TIMEOUT_TCP: u16 = 4;
    pub(in super::super) const TIMEOUT_TCP_FIN: u16 = 5;
    pub(in super::super) const TIMEOUT_UDP: u16 = 6;
}

/// Attributes of a service.
pub(super) mod service {
    pub(in super::super) const FAMILY: u16 = 1;
    pub(in super::super) const PROTOCOL: u16 = 2;
    pub(in super::super) const ADDRESS: u16 = 3;
    pub(in super::super) const PORT: u16 = 4;
    pub(in super::super) const MARK: u16 = 5;
    pub(in super::super) const SCHEDULER: u16 = 6;
    pub(in super::super) const FLAGS: u16 = 7;
    pub(in super::super) const TIMEOUT: u16 = 8;
    pub(in super::super) const NETMASK: u16 = 9;
    pub(in super::super) const STATS: u16 = 10;
    pub(in super::super) const ENGINE: u16 = 11;
    pub(in super::super) const STATS64: u16 = 12;
}

/// Attributes of a destination.
pub(super) mod destination {
    pub(in super::super) const ADDRESS: u16 = 1;
    pub(in super::super) const PORT: u16 = 2;
    pub(in super::super) const METHOD: u16 = 3;
    pub(in super::super) const WEIGHT: u16 = 4;
    pub(in super::super) const UPPER: u16 = 5;
    pub(in super::super) const LOWER: u16 = 6;
    pub(in super::super) const ACTIVE: u16 = 7;
    pub(in super::super) const INACTIVE: u16 = 8;
    pub(in super::super) const STATS: u16 = 10;
    pub(in super::super) const FAMILY: u16 = 11;
    pub(in super::super) const STATS64: u16 = 12;
    pub(in super::super) const TUNNEL: u16 = 13;
    pub(in super::super) const TUNNEL_PORT: u16 = 14;
    pub(in super::super) const TUNNEL_FLAGS: u16 = 15;
}

/// Attributes of counters: 32 bits wide for the first kind of counters, except for bytes, and 64 for the second.
pub(super) mod stats {
    pub(in super::super) const CONNECTIONS: u16 = 1;
    pub(in super::super) const PACKETS_IN: u16 = 2;
    pub(in super::super) const PACKETS_OUT: u16 = 3;
    pub(in super::super) const BYTES_IN: u16 = 4;
    pub(in super::super) const BYTES_OUT: u16 = 5;
}

/// Address families.
pub(super) mod family {
    pub(in super::super) const V4: u16 = 2;
    pub(in super::super) const V6: u16 = 10;
}

/// Ways to forward.
pub(super) mod method {
    /// The bits of the method; the others are the kernel's own.
    pub(in super::super) const MASK: u32 = 0x7;
    pub(in super::super) const MASQUERADE: u32 = 0;
    pub(in super::super) const LOCAL: u32 = 1;
    pub(in super::super) const TUNNEL: u32 = 2;
    pub(in super::super) const ROUTE: u32 = 3;
    pub(in super::super) const BYPASS: u32 = 4;
}

/// Types of tunnels.
pub(super) mod tunnel {
    pub(in super::super) const IPIP: u8 = 0;
    pub(in super::super) const GUE: u8 = 1;
    pub(in super::super) const GRE: u8 = 2;
}

/// Checksums of tunnels.
pub(super) mod checksum {
    pub(in super::super) const ABSENT: u16 = 0;
    pub(in super::super) const FULL: u16 = 1;
    pub(in super::super) const REMOTE: u16 = 2;
}

/// The flag of a service that says that its clients are remembered.
pub(super) const PERSISTENT: u32 = 0x1;
