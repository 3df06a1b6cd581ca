//! Why a desired state is refused.

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::{MAX_ENTRIES, PREFIX, speaker};
use crate::bgp::Prefix;
use crate::ipvs::Key;

/// A desired state that no healthy host sends. All of it is refused; what was in force stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A service that is no way of a check.
    #[error("service {service} is no way of a check: those are for marks of checks only")]
    NoWay {
        /// The service.
        service: Key,
    },
    /// More of one kind than any fleet has.
    #[error("{count} entries of one kind; at most {MAX_ENTRIES} are taken")]
    TooMany {
        /// So many.
        count: usize,
    },
    /// A device that is not Weir's.
    #[error(
        "`{name}` is no device of Weir: it begins with `{PREFIX}` and has at most 15 letters, digits, `-` and `_`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two devices of one name.
    #[error("there are two tunnels `{name}`")]
    Twice {
        /// The name.
        name: String,
    },
    /// Ends that no packet of this tunnel can have.
    #[error(
        "tunnel `{name}` cannot lead from {remote} to {local}: both must be single addresses of the tunnel's family"
    )]
    Ends {
        /// The tunnel.
        name: String,
        /// This node's end.
        local: IpAddr,
        /// The other node's end.
        remote: IpAddr,
    },
    /// An address that no service can have.
    #[error("{address} cannot be a service address: it must be a single address that is routed")]
    Address {
        /// The address.
        address: IpAddr,
    },
    /// A kernel setting that is none of Weir's business.
    #[error("`{name}` is no setting that may be asked for, or `{value}` is no value for it")]
    Sysctl {
        /// The setting.
        name: String,
        /// The value.
        value: String,
    },
    /// A firewall mark that others may use.
    #[error("packets are marked for a second chance only, and {mark} is no mark for that")]
    Mark {
        /// The mark.
        mark: NonZeroU32,
    },
    /// A service of the balancer for something that is no service address and no mark of Weir's.
    #[error("service {service} is for no service address of this node and for no mark of Weir's")]
    ForeignService {
        /// The service.
        service: Key,
    },
    /// Services of others would be removed.
    #[error(
        "services of the balancer that may be others' are claimed: of addresses that this node has none of, of marks, or all"
    )]
    ForeignServices,
    /// A route that leads to more than this node serves.
    #[error("{prefix} is announced, and is no service address of this node")]
    ForeignRoute {
        /// The prefix.
        prefix: Prefix,
    },
    /// Something about neighbors and routes.
    #[error(transparent)]
    Speaker(#[from] speaker::Fault),
}
