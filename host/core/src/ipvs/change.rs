//! One command to the kernel.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use super::{Entry, Key, Settings, Timeouts};

/// One command, one object of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// `SET_CONFIG`.
    SetTimeouts(Timeouts),
    /// `NEW_SERVICE`: without destinations yet.
    AddService {
        /// Which one.
        key: Key,
        /// How.
        settings: Settings,
    },
    /// `SET_SERVICE`: destinations stay.
    SetService {
        /// Which one.
        key: Key,
        /// How.
        settings: Settings,
    },
    /// `DEL_SERVICE`, with all its destinations.
    RemoveService {
        /// Which one.
        key: Key,
    },
    /// `NEW_DEST`: to the head of the list.
    AddDestination {
        /// Its service.
        service: Key,
        /// The destination.
        entry: Entry,
    },
    /// `SET_DEST`: where it is in the list.
    SetDestination {
        /// Its service.
        service: Key,
        /// The destination.
        entry: Entry,
    },
    /// `DEL_DEST`.
    RemoveDestination {
        /// Its service.
        service: Key,
        /// The destination.
        endpoint: SocketAddr,
    },
}

impl Change {
    /// The service that it is about.
    pub const fn service(&self) -> Option<&Key> {
        match self {
            Self::SetTimeouts(_) => None,
            Self::AddService { key, .. } | Self::SetService { key, .. } | Self::RemoveService { key } => {
                Some(key)
            }
            Self::AddDestination { service, .. }
            | Self::SetDestination { service, .. }
            | Self::RemoveDestination { service, .. } => Some(service),
        }
    }

    /// Whether it takes something away. What comes before such a change must have been done before it is asked for.
    pub const fn removes(&self) -> bool {
        matches!(self, Self::RemoveService { .. } | Self::RemoveDestination { .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetTimeouts(Timeouts { tcp, tcp_fin, udp }) => {
                write!(f, "timeouts: tcp {tcp} s, tcp-fin {tcp_fin} s, udp {udp} s")
            }
            Self::AddService { key, settings } => write!(f, "{key}: add, scheduler {}", settings.scheduler),
            Self::SetService { key, settings } => {
                write!(f, "{key}: change, scheduler {}", settings.scheduler)
            }
            Self::RemoveService { key } => write!(f, "{key}: remove"),
            Self::AddDestination { service, entry } => {
                write!(f, "{service}: add {} with weight {}", entry.endpoint, entry.weight)
            }
            Self::SetDestination { service, entry } => {
                write!(f, "{service}: change {} to weight {}", entry.endpoint, entry.weight)
            }
            Self::RemoveDestination { service, endpoint } => write!(f, "{service}: remove {endpoint}"),
        }
    }
}
