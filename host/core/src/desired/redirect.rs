//! Packets that come out of a tunnel and belong to no connection of this node.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Fault, TunnelKind};
use crate::l4::REDIRECT_MARKS;

/// TCP packets out of tunnels of one kind to one port that belong to no connection of this node and begin none are marked. Who has a
/// service of the balancer for that mark sends them on to the node that knows them.
///
/// What begins a connection is none of it, nor what ends one in anger (RST), which the balancer takes for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The kind of tunnel that they come out of.
    pub from: TunnelKind,
    /// The port that they are for.
    pub port: u16,
    /// The firewall mark that they get: one of [`REDIRECT_MARKS`].
    pub mark: NonZeroU32,
}

impl Redirect {
    pub(super) fn check(&self) -> Result<(), Fault> {
        if REDIRECT_MARKS.has(self.mark) { Ok(()) } else { Err(Fault::Mark { mark: self.mark }) }
    }
}
