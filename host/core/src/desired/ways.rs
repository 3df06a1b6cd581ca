//! What checks through tunnels need, before whoever decides can say what it wants.

use serde::{Deserialize, Serialize};

use super::{Desired, Fault, Sysctl};
use crate::ipvs::{Key, Table};
use crate::l4::MARKS;

/// Services for firewall marks, and settings of the kernel. They are added to what is there, and take nothing away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ways {
    /// Each leads into the tunnel to one node.
    pub services: Table,
    /// What the kernel needs for the answers.
    pub sysctls: Vec<Sysctl>,
}

impl Ways {
    /// Whether they may be made by somebody who must not trust their sender.
    ///
    /// # Errors
    /// The first service that is for no mark of a check, or the first setting that is none of a balancer's.
    pub fn check(&self) -> Result<(), Fault> {
        let is_way = |key: &Key| matches!(key, Key::Mark { mark, .. } if MARKS.has(*mark));
        if let Some(service) = self.services.iter().map(|service| service.key).find(|key| !is_way(key)) {
            return Err(Fault::NoWay { service });
        }
        self.sysctls.iter().try_for_each(Sysctl::check)
    }

    /// What was wanted before, with these: for as long as whoever began anew has not said what it wants.
    #[must_use]
    pub fn beside(&self, desired: &Desired) -> Desired {
        let mut desired = desired.clone();
        for service in self.services.iter() {
            // A table of services that were let in each.
            let _ = desired.ipvs.table.put(service.clone());
        }
        for sysctl in &self.sysctls {
            if !desired.sysctls.iter().any(|one| one.name == sysctl.name) {
                desired.sysctls.push(sysctl.clone());
            }
        }
        desired
    }
}
