//! The worlds `scheduler` and `scheduler-with-feedback`.

use super::{Exported, Instance};
use crate::bindings::exports::weir::policy::{feedback, scheduling};
use crate::scheduler::{Choice, Feedback, Outcome, Plan, Request, Scheduler, Server};

#[cfg(not(target_arch = "wasm32"))]
use crate::harness::fake::HostLoad;

/// Loads, from the host.
#[cfg(target_arch = "wasm32")]
#[derive(Debug)]
pub struct HostLoad;

#[cfg(target_arch = "wasm32")]
impl crate::scheduler::Load for HostLoad {
    fn in_flight(&self, server: u32) -> u32 {
        crate::bindings::weir::policy::load::in_flight(server)
    }

    fn in_flight_pair(&self, a: u32, b: u32) -> (u32, u32) {
        crate::bindings::weir::policy::load::in_flight_pair(a, b)
    }

    fn in_flight_all(&self) -> Vec<u32> {
        crate::bindings::weir::policy::load::in_flight_all()
    }

    fn latency_us(&self, server: u32) -> u32 {
        crate::bindings::weir::policy::load::latency_us(server)
    }

    fn latency_us_all(&self) -> Vec<u32> {
        crate::bindings::weir::policy::load::latency_us_all()
    }
}

impl<T: Scheduler + Instance> scheduling::Guest for Exported<T> {
    fn update(servers: Vec<Server>) -> Plan {
        T::ask(|scheduler| scheduler.update(&servers)).unwrap_or(Plan::Fallback)
    }

    fn pick(request: Request) -> Choice {
        T::ask(|scheduler| scheduler.pick(request, &HostLoad)).unwrap_or(Choice::Fallback)
    }
}

impl<T: Feedback + Instance> feedback::Guest for Exported<T> {
    fn on_result(server: u32, outcome: Outcome, latency_us: u32) {
        T::ask(|scheduler| scheduler.on_result(server, outcome, latency_us));
    }
}

/// Exports a type that implements [`Scheduler`](crate::scheduler::Scheduler), as a plugin of the world `scheduler`.
#[macro_export]
macro_rules! export_scheduler {
    ($type:ty) => {
        $crate::__export!(
            $type, "scheduler", SCHEDULER,
            lifecycle: __export_weir_policy_lifecycle_0_1_0_cabi,
            scheduling: __export_weir_policy_scheduling_0_1_0_cabi
        );
    };
}

/// Exports a type that implements [`Feedback`](crate::scheduler::Feedback), as a plugin of the world
/// `scheduler-with-feedback`.
#[macro_export]
macro_rules! export_scheduler_with_feedback {
    ($type:ty) => {
        $crate::__export!(
            $type, "scheduler-with-feedback", SCHEDULER_WITH_FEEDBACK,
            lifecycle: __export_weir_policy_lifecycle_0_1_0_cabi,
            scheduling: __export_weir_policy_scheduling_0_1_0_cabi,
            feedback: __export_weir_policy_feedback_0_1_0_cabi
        );
    };
}
