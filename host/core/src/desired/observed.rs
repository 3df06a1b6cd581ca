//! What the sidecar saw and did, as it tells the host.

use serde::{Deserialize, Serialize};

use super::speaker;

/// What the sidecar saw and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The generation of the desired state that this is about; 0 before the first.
    pub generation: u64,
    /// Nothing is changed, differences are only reported.
    pub observe_only: bool,
    /// What is otherwise than desired, after all that could be done was done. Empty: all is as it shall be.
    pub differences: Vec<Difference>,
    /// The host was silent for longer than the hold, and the announcements are withdrawn.
    pub host_is_silent: bool,
    /// Neighbors and sessions; `None` where nobody is to be told anything.
    pub speaker: Option<speaker::Status>,
    /// What was counted since the sidecar started.
    pub counters: Counters,
}

/// One thing that is otherwise than desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Of which part.
    pub part: Part,
    /// What it is, what it should be, and why it is not, as a sentence for the operator.
    pub what: String,
}

/// A part of a node's network side, in the order in which they are made so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Settings of the kernel.
    Sysctl,
    /// Tunnels.
    Tunnel,
    /// Service addresses.
    Address,
    /// Services and destinations of the kernel's balancer.
    Ipvs,
    /// Packets that get a second chance.
    Redirect,
    /// Announcements to neighbors.
    Speaker,
}

impl Part {
    /// The word for it in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sysctl => "sysctl",
            Self::Tunnel => "tunnel",
            Self::Address => "address",
            Self::Ipvs => "ipvs",
            Self::Redirect => "redirect",
            Self::Speaker => "speaker",
        }
    }
}

/// What was counted since the sidecar started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Comparisons of what is with what shall be.
    pub reconciled: u64,
    /// Changes made because the host wanted something else.
    pub changed: u64,
    /// Changes made because somebody else had changed something.
    pub corrected: u64,
    /// Changes that the kernel refused.
    pub refused: u64,
    /// Packets that the kernel has handed on to other l7 nodes, since the services for that were made.
    pub handed_on: u64,
}
