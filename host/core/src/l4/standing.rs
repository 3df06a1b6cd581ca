//! What is known of a target, reduced to what decides.

use crate::health::{Admin, CheckHealth, Status};
use crate::model::State;

/// What is known of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// There was an opinion: a check has ended, or somebody took the node out.
    pub(super) known: bool,
    /// It takes new connections.
    pub(super) taking: bool,
    /// Somebody (operator, agent, fleet file) wants it to take none: not to be overruled when all others fail.
    pub(super) taken_out: bool,
    /// Its share; shapes the table whether it takes connections or not. 0: nothing was said, the fleet file counts.
    pub(super) weight: u16,
}

impl Standing {
    /// Of a health machine.
    pub(super) fn of(status: &Status) -> Self {
        let bits = &status.bits;
        // Not the state alone: of a node that is down and drained it says only that it is down.
        let taken_out = bits.operator.admin != Admin::Ready
            || bits.agent_admin != Admin::Ready
            || matches!(status.state, State::Maint | State::Drain);
        Self {
            known: status.state == State::Maint || bits.check != Some(CheckHealth::Unknown),
            taking: status.state == State::Up && status.weight > 0,
            taken_out,
            weight: status.weight,
        }
    }

    /// This, unless nothing is known yet: then what was known before goes on to count. Whoever edits a check must not take every node
    /// out until the first check of the new kind has ended.
    pub(super) fn after(self, before: Self) -> Self {
        if self.known || !before.known {
            return self;
        }
        Self { weight: self.weight, ..before }
    }
}
