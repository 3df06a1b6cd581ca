//! A scheduler as pools see it.

use std::sync::Arc;

use weir_core::model::Server;
use weir_core::schedule::{Failure, Plan, Policy, PolicySource, Request};

use super::{HostedScheduler, Seat, lock};

impl PolicySource for HostedScheduler {
    fn plan(&self, servers: &Arc<[Server]>) -> Plan {
        *lock(&self.front.known.servers) = Arc::clone(servers);
        let mut planner = lock(&self.front.planner);
        let Some((instance, issue)) = planner.as_mut() else { return Plan::Fallback };
        match instance.update(servers) {
            Ok(plan) => {
                self.front.meter.plan(&plan);
                plan
            }
            Err(failure) => {
                let issue = *issue;
                if failure.poisons() {
                    *planner = None;
                }
                drop(planner);
                self.front.meter.plan(&Plan::Fallback);
                self.report(Seat::Planner, issue, "update", &failure);
                Plan::Fallback
            }
        }
    }

    fn generation(&self) -> u64 {
        self.issue()
    }

    fn instance(&self, worker: usize) -> Option<Box<dyn Policy>> {
        Some(Box::new(self.take(worker)?))
    }

    fn failed(&self, worker: usize, generation: u64, hook: &'static str, failure: &Failure) {
        self.worker_failed(worker, generation, hook, failure);
    }

    fn seen(&self, worker: usize, request: Request) {
        if let Some(ring) = self.front.known.rings.get(worker) {
            ring.push(request);
        }
    }
}
