//! What came of the steps: by phase, as it is written to the result file of a run.

use serde::{Deserialize, Serialize};

use crate::clients::Damage;
use crate::tiers::Shape;

/// A run of the matrix: one world, one step after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Topology and stacks.
    pub(crate) shape: Shape,
    /// Which kernel carried it: `own` or `uml`.
    pub(crate) kernel: String,
    /// Connections that the clients kept up.
    pub(crate) connections: usize,
    /// Of the clients' choices.
    pub(crate) seed: u64,
    /// Seconds until the world was whole at the beginning.
    pub(crate) up_seconds: f64,
    /// In the order in which they were done.
    pub(crate) steps: Vec<Done>,
}

/// A step that was done, or tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The step's name.
    pub(crate) step: String,
    /// Its phases.
    pub(crate) phases: Vec<Phase>,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) failed: Option<String>,
}

/// One phase of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Phase {
    /// What was done.
    pub(crate) what: String,
    /// To which node.
    pub(crate) node: String,
    /// Connections that the node had when it was done, where it is an L7 node that is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) had: Option<u64>,
    /// Seconds that doing it took.
    pub(crate) took: f64,
    /// Seconds for which the clients were watched, from the beginning of the phase.
    pub(crate) watched: f64,
    /// Seconds from the beginning until connections were spread over the L7 nodes as they should be, and stayed so; 0 where
    /// they never were otherwise, `None` where they were not at the end.
    pub(crate) balanced: Option<f64>,
    /// What the clients saw.
    pub(crate) damage: Damage,
}
