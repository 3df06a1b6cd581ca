//! The world `agent-check`.

use super::{Exported, Instance};
use crate::agent_check::{AgentCheck, Node, Observation, Verdict};
use crate::bindings::exports::weir::policy::checking;

impl<T: AgentCheck + Instance> checking::Guest for Exported<T> {
    fn evaluate(node: Node, observation: Observation) -> Result<Verdict, String> {
        T::ask(|check| check.evaluate(&node, &observation))
            .unwrap_or_else(|| Err("asked before it was configured".into()))
    }
}

/// Exports a type that implements [`AgentCheck`](crate::agent_check::AgentCheck), as a plugin of the world `agent-check`.
#[macro_export]
macro_rules! export_agent_check {
    ($type:ty) => {
        $crate::__export!(
            $type, "agent-check", AGENT_CHECK,
            lifecycle: __export_weir_policy_lifecycle_0_1_0_cabi,
            checking: __export_weir_policy_checking_0_1_0_cabi
        );
    };
}
