//! What an observation of a server means: `wit/agent-check.wit`.

use crate::Plugin;
pub use crate::bindings::exports::weir::policy::checking::{
    Admin, Health, HttpResponse, Node, Observation, Verdict, Weight,
};

/// Judges health checks and agent lines.
pub trait AgentCheck: Plugin {
    /// What this observation of `node` means. It may take 50 ms.
    ///
    /// # Errors
    /// The observation means nothing: the state stays as it is, and it counts as a failed check. The text is shown.
    fn evaluate(&mut self, node: &Node, observation: &Observation) -> Result<Verdict, String>;
}

impl Verdict {
    /// The verdict that changes nothing; to be filled in.
    pub const NONE: Self =
        Self { health: None, admin: None, weight: None, max_in_flight: None, reason: None };
}
