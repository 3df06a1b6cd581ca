//! What somebody wants of the balancer: a table, and what may be done for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Key, Table};
use crate::maglev::Size;

/// How long the kernel keeps a connection that it hears nothing of, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// An established TCP connection. The kernel begins with 900.
    pub tcp: NonZeroU32,
    /// A TCP connection that a side has closed. The kernel begins with 120.
    pub tcp_fin: NonZeroU32,
    /// A UDP flow. The kernel begins with 300.
    pub udp: NonZeroU32,
}

/// What is done about a service whose destinations are not in join order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// It is restored: flows that this node scattered go where all other nodes send them. Connections stay where they are: the
    /// kernel finds a destination again that comes back at once.
    #[default]
    Restore,
    /// It is told, and left.
    Report,
}

/// Firewall marks, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// The first.
    pub first: u32,
    /// The last, which is one of them.
    pub last: u32,
}

impl Marks {
    /// Whether this is one of them.
    pub const fn has(self, mark: NonZeroU32) -> bool {
        self.first <= mark.get() && mark.get() <= self.last
    }
}

/// Which services are Weir's, beside those of its table: an owned one that is not in the table is removed, any other is left
/// alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ownership {
    /// All that there are: nobody else uses the balancer of this machine.
    pub everything: bool,
    /// Those for these addresses: the service addresses of the fleet.
    pub addresses: BTreeSet<IpAddr>,
    /// Those for these firewall marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marks>,
}

impl Ownership {
    /// Whether a service with this key is Weir's.
    pub fn includes(&self, key: &Key) -> bool {
        self.everything
            || match key {
                Key::Address { address, .. } => self.addresses.contains(address),
                Key::Mark { mark, .. } => self.marks.is_some_and(|marks| marks.has(*mark)),
            }
    }
}

/// The whole of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Services and destinations.
    pub table: Table,
    /// What else may be removed.
    pub ownership: Ownership,
    /// What is done about order.
    pub order: Order,
    /// Timeouts; where there are none, the kernel's are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Rows of the kernel's `mh` tables, for what is said of the cost.
    pub size: Size,
}
