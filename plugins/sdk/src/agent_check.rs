//! What an observation of a server means: `wit/agent-check.wit`.
//!
//! ```
//! use weir_plugin::agent_check::{AgentCheck, Node, Observation, Verdict};
//! use weir_plugin::{ConfigError, Description, Plugin};
//!
//! /// Up while it answers anything at all.
//! struct Answers;
//!
//! impl Plugin for Answers {
//!     fn describe() -> Description {
//!         weir_plugin::describe!()
//!     }
//!
//!     fn configure(_config: &str) -> Result<Self, ConfigError> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl AgentCheck for Answers {
//!     fn evaluate(&mut self, _node: &Node, observation: &Observation) -> Result<Verdict, String> {
//!         match observation {
//!             Observation::Failed(why) => Err(why.clone()),
//!             Observation::Tick => Ok(Verdict::NONE),
//!             _ => Ok(Verdict::UP),
//!         }
//!     }
//! }
//!
//! weir_plugin::export_agent_check!(Answers);
//!
//! # fn main() {
//! use weir_plugin::harness::Checked;
//! let mut server = Checked::<Answers>::new("").unwrap();
//! assert_eq!(server.http(503, ""), Ok(Verdict::UP));
//! # }
//! ```
//!
//! A verdict holds at once. An error is weaker: the state stays as it is, and it counts as one failed check, of which it takes
//! the pool's `fall` to take a server out. So a plugin has three answers to a bad observation: [`Verdict::down`], an error, or
//! [`Verdict::NONE`] for what does not matter.

use crate::Plugin;
pub use crate::bindings::exports::weir::policy::checking::{
    Admin, Health, HttpResponse, Node, Observation, Verdict, Weight,
};
use crate::lifecycle::State;

/// Judges health checks and agent lines.
pub trait AgentCheck: Plugin {
    /// What this observation of `node` means. It may take 50 ms.
    ///
    /// There is one instance for all servers of a pool, so what is remembered of a server belongs under its `node.id`.
    ///
    /// # Errors
    /// The observation means nothing: the state stays as it is, and it counts as a failed check. The text is shown.
    fn evaluate(&mut self, node: &Node, observation: &Observation) -> Result<Verdict, String>;
}

impl Verdict {
    /// The verdict that changes nothing; to be filled in.
    pub const NONE: Self =
        Self { health: None, admin: None, weight: None, max_in_flight: None, reason: None };

    /// Fit, and nothing else.
    pub const UP: Self = Self { health: Some(Health::Up), ..Self::NONE };

    /// Unfit, for a reason that operators are shown.
    pub fn down(reason: impl Into<String>) -> Self {
        Self { health: Some(Health::Down), reason: Some(reason.into()), ..Self::NONE }
    }

    /// The same with this percentage of the configured weight; 0 drains.
    #[must_use]
    pub fn at_percent(self, percent: u32) -> Self {
        Self { weight: Some(Weight::Percent(percent)), ..self }
    }
}

impl Node {
    /// A server that is up and was looked at once, for tests.
    pub fn up(id: u32, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), current: State::Up, streak: 1, labels: Vec::new() }
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl HttpResponse {
    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}
