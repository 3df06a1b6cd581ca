//! The kernel's side of a node: what is there, and the changes that make it what shall be there.
//!
//! Order, so that every prefix of the work is safe: tunnel, address, service, destination, marks; in reverse when they go. A step that
//! the kernel refuses is reported and does not keep the others from being tried. A sidecar that starts anew begins with what is
//! there, and takes over what its predecessor left. From then on what this process did is known, and what others did is seen at the
//! next look on the timer: so one destination that fails is one command, however large the table is.

mod address;
#[cfg(test)]
mod hostile;
pub mod ipvs;
mod link;
pub mod netlink;
mod redirect;
mod sysctl;
mod worker;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rtnetlink::Handle;
use weir_core::desired::network::{self, Change, Network};
use weir_core::desired::{Desired, Difference, Part, SERVICE_DEVICE, Ways};
use weir_core::ipvs::{Key, Plan, Wanted};
use weir_core::l4::{MARKS, REDIRECT_MARKS};

use ipvs::{Balancer, IpvsError};
use link::Found;
use redirect::Redirects;
use sysctl::Sysctls;

pub use worker::Worker;

/// The most changes of the balancer that are told one by one.
const SHOWN: usize = 100;

/// Why something about devices and addresses was not done.
#[derive(Debug, thiserror::Error)]
enum RouteError {
    #[error("{0}")]
    Netlink(#[from] rtnetlink::Error),
    #[error("the device is not there")]
    NoDevice,
    #[error("the ends are of another family than the tunnel")]
    Ends,
}

/// Why the kernel is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cause {
    /// The desired state is new: what differs is to be expected.
    #[default]
    Wanted,
    /// Time has passed: what differs was changed by somebody else.
    Looked,
}

/// What one look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// The generation of the desired state that the kernel was compared with.
    pub generation: u64,
    /// Why it was looked at.
    pub cause: Cause,
    /// What is still otherwise.
    pub differences: Vec<Difference>,
    /// Changes that the kernel took.
    pub done: u64,
    /// Changes that the kernel refused.
    pub refused: u64,
    /// Packets that were handed on, where it was looked for.
    pub handed_on: Option<u64>,
}

impl Looked {
    fn differs(&mut self, part: Part, what: impl Into<String>) {
        self.differences.push(Difference { part, what: what.into() });
    }
}

/// The kernel of this network namespace.
pub struct Kernel {
    observe_only: bool,
    routes: Result<Handle, String>,
    /// Opened when something is wanted of it for the first time.
    balancer: Option<Balancer>,
    sysctls: Sysctls,
    redirects: Redirects,
    /// Devices, addresses and settings were found to be as this wants them.
    agreed: Option<Arc<Desired>>,
}

/// A connection to the kernel's devices and addresses.
fn connect() -> Result<Handle, String> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(handle)
}

impl Kernel {
    /// Opens the sockets. What cannot be opened is reported with each look. To be called on a tokio runtime.
    pub fn open(observe_only: bool) -> Self {
        Self {
            observe_only,
            routes: connect(),
            balancer: None,
            sysctls: Sysctls::new(),
            redirects: Redirects::new(),
            agreed: None,
        }
    }

    /// Compares the kernel with `desired` and makes it so, as far as it lets itself be made. A look on the timer at a large table is
    /// broken off where `stop` says so, with `None`; the next one goes on from there.
    pub async fn reconcile(
        &mut self,
        desired: &Arc<Desired>,
        cause: Cause,
        stop: impl FnMut() -> bool,
    ) -> Option<Looked> {
        let mut looked = Looked { generation: desired.generation, cause, ..Looked::default() };
        let remove = if self.has_network_of(desired, cause) {
            Vec::new()
        } else {
            self.make_network_and_settings(desired, cause, &mut looked).await
        };
        match self.balance(&desired.ipvs, cause, stop, &mut looked) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                looked.refused += 1;
                looked.differs(Part::Ipvs, error.to_string());
            }
        }
        // Only an l7 node has any, and only it has tunnels.
        if !desired.tunnels.is_empty() || self.redirects.are_there() {
            self.redirects.look(&desired.redirects, cause, self.observe_only, &mut looked).await;
            if cause == Cause::Looked && !desired.redirects.is_empty() {
                looked.handed_on = self.handed_on();
            }
        }
        self.carry_out(&remove, cause, &mut looked).await;
        let of_network = |part| matches!(part, Part::Sysctl | Part::Tunnel | Part::Address);
        let agrees = !looked.differences.iter().any(|one| of_network(one.part));
        self.agreed = agrees.then(|| Arc::clone(desired));
        Some(looked)
    }

    /// Looks whether a flood of connections has begun or ended. What is wanted has to be compared again then.
    pub fn flood_changes(&mut self) -> bool {
        self.redirects.flood_changes()
    }

    /// Adds what checks need to what is there. Nothing else is touched, and nothing where only is observed.
    ///
    /// # Errors
    /// Where there is no balancer, or it refuses.
    pub fn prepare(&mut self, ways: &Ways) -> Result<(), IpvsError> {
        if self.observe_only || *ways == Ways::default() {
            return Ok(());
        }
        for difference in self.sysctls.look(&ways.sysctls, false).differences {
            tracing::warn!(%difference, "checks through tunnels may fail");
        }
        let balancer = match &mut self.balancer {
            Some(balancer) => balancer,
            none => none.insert(Balancer::open()?),
        };
        let wanted = Wanted { table: ways.services.clone(), ..Wanted::default() };
        balancer.settle(&wanted, |plan| log(plan, Cause::Wanted)).map(drop)
    }

    /// The services for marks of checks that the balancer is known to have, and where each leads.
    pub fn ways(&self) -> BTreeMap<Key, IpAddr> {
        let services = self.balancer.iter().flat_map(|balancer| &balancer.memory().known().services);
        let ways = services.filter(|(key, _)| matches!(key, Key::Mark { mark, .. } if MARKS.has(*mark)));
        ways.filter_map(|(key, service)| Some((*key, service.destinations.first()?.entry.endpoint.ip())))
            .collect()
    }

    /// How many packets services for marks of a second chance have had; `None` where it cannot be seen.
    fn handed_on(&mut self) -> Option<u64> {
        let services = self.balancer.as_mut()?.traffic().ok()?;
        let of_redirect = |key: &Key| matches!(key, Key::Mark { mark, .. } if REDIRECT_MARKS.has(*mark));
        let services = services.iter().filter(|service| of_redirect(&service.key));
        Some(services.map(|service| service.traffic.packets_in).sum())
    }

    /// Whether a look at the timer that was broken off is to be gone on with.
    pub fn is_looking(&self) -> bool {
        self.balancer.as_ref().is_some_and(Balancer::is_looking)
    }

    /// Whether nothing of devices, addresses and settings is wanted otherwise than when they were looked at last.
    fn has_network_of(&self, desired: &Desired, cause: Cause) -> bool {
        let same = |agreed: &Arc<Desired>| {
            agreed.tunnels == desired.tunnels
                && agreed.addresses == desired.addresses
                && agreed.sysctls == desired.sysctls
        };
        cause == Cause::Wanted && self.agreed.as_ref().is_some_and(same)
    }

    async fn make_network_and_settings(
        &mut self,
        desired: &Desired,
        cause: Cause,
        looked: &mut Looked,
    ) -> Vec<Change> {
        let remove = self.make_network(desired, cause, looked).await;
        // Some are of devices that were just made.
        let settings = self.sysctls.look(&desired.sysctls, self.observe_only);
        looked.done += settings.changed;
        for what in settings.differences {
            looked.differs(Part::Sysctl, what);
        }
        remove
    }

    /// Services and destinations. Says whether all was looked at that was to be.
    fn balance(
        &mut self,
        wanted: &Wanted,
        cause: Cause,
        stop: impl FnMut() -> bool,
        looked: &mut Looked,
    ) -> Result<bool, IpvsError> {
        let balancer = match &mut self.balancer {
            // Most nodes are no L4 nodes, and their kernel may have no balancer.
            None if *wanted == Wanted::default() => return Ok(true),
            Some(balancer) => {
                // What this process did is known; what others did is seen.
                if self.observe_only {
                    balancer.look()?;
                } else if cause == Cause::Looked && !balancer.look_until(stop)? {
                    return Ok(false);
                }
                balancer
            }
            none => match Balancer::open() {
                Ok(balancer) => none.insert(balancer),
                // Nothing can be there that is not wanted.
                Err(_) if wanted.table.is_empty() => return Ok(true),
                Err(error) => return Err(error),
            },
        };
        if self.observe_only {
            let plan = balancer.plan(wanted);
            for change in plan.changes.iter().take(SHOWN) {
                looked.differs(Part::Ipvs, change.to_string());
            }
            if let Some(more) = plan.changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                looked.differs(Part::Ipvs, format!("and {more} more changes"));
            }
            return Ok(true);
        }
        let plan = balancer.settle(wanted, |plan| log(plan, cause))?;
        looked.done += plan.changes.len() as u64;
        Ok(true)
    }

    /// Devices and addresses that are missing. Returns what is to be removed later.
    async fn make_network(&mut self, desired: &Desired, cause: Cause, looked: &mut Looked) -> Vec<Change> {
        let there = match self.network().await {
            Ok(there) => there,
            // Who wants nothing of devices does not mind that they cannot be seen.
            Err(_) if desired.tunnels.is_empty() && desired.addresses.is_empty() => return Vec::new(),
            Err(error) => {
                // Unless it is seen that the addresses are there, none of them may be announced.
                let part = if desired.addresses.is_empty() { Part::Tunnel } else { Part::Address };
                looked.differs(part, format!("devices and addresses cannot be seen: {error}"));
                // A connection that has failed stays so; the next look has another one.
                self.routes = connect();
                return Vec::new();
            }
        };
        let changes = network::changes(desired, &there);
        self.carry_out(&changes.make, cause, looked).await;
        changes.remove
    }

    async fn network(&self) -> Result<Network, String> {
        let handle = self.routes.as_ref().map_err(Clone::clone)?;
        let found = link::observe(handle).await.map_err(|e| e.to_string())?;
        let addresses = match found.get(SERVICE_DEVICE) {
            Some(Found { index, .. }) => address::observe(handle, *index).await.map_err(|e| e.to_string())?,
            None => Default::default(),
        };
        let devices: BTreeMap<_, _> = found.into_iter().map(|(name, found)| (name, found.device)).collect();
        Ok(Network { devices, addresses })
    }

    async fn carry_out(&self, changes: &[Change], cause: Cause, looked: &mut Looked) {
        for change in changes {
            let part = if change.is_address() { Part::Address } else { Part::Tunnel };
            if self.observe_only {
                looked.differs(part, change.to_string());
                continue;
            }
            match self.change(change).await {
                Ok(()) => {
                    looked.done += 1;
                    match cause {
                        Cause::Wanted => tracing::info!(part = part.as_str(), "changed: {change}"),
                        Cause::Looked => {
                            tracing::warn!(part = part.as_str(), "somebody else's change undone: {change}");
                        }
                    }
                }
                Err(error) => {
                    looked.refused += 1;
                    looked.differs(part, format!("{change}, and cannot be changed: {error}"));
                }
            }
        }
    }

    async fn change(&self, change: &Change) -> Result<(), RouteError> {
        let Ok(handle) = &self.routes else { return Err(RouteError::NoDevice) };
        match change {
            Change::AddServiceDevice => link::add_service_device(handle).await,
            Change::AddTunnel(tunnel) => {
                link::add_tunnel(handle, tunnel).await?;
                if let Err(error) = sysctl::loosen_source_check(&tunnel.name) {
                    tracing::warn!(device = tunnel.name, %error, "packets from this tunnel may be dropped: rp_filter");
                }
                Ok(())
            }
            Change::Up(name) => link::up(handle, link::index(handle, name).await?).await,
            Change::RemoveDevice(name) => link::remove(handle, link::index(handle, name).await?).await,
            Change::AddAddress(ip) => {
                address::add(handle, link::index(handle, SERVICE_DEVICE).await?, *ip).await
            }
            Change::RemoveAddress(ip) => {
                address::remove(handle, link::index(handle, SERVICE_DEVICE).await?, *ip).await
            }
        }
    }
}

/// Says what is about to be done to the balancer, and what it costs.
fn log(plan: &Plan, cause: Cause) {
    for disorder in &plan.disorder {
        let (readded, moved, rows) = (disorder.readded, disorder.moved, disorder.rows);
        tracing::warn!(service = %disorder.service, readded, ?moved, rows, "destinations are not in join order");
    }
    let changes = plan.changes.len();
    match (cause, plan.changes.as_slice()) {
        (Cause::Wanted, [change]) => tracing::info!(part = "ipvs", "{change}"),
        (Cause::Wanted, _) => tracing::info!(part = "ipvs", changes, restated = plan.restated, "changed"),
        (Cause::Looked, changed) => {
            let first = changed.first().map(ToString::to_string);
            tracing::warn!(part = "ipvs", changes, first, "somebody else's changes undone");
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_core::desired::ServiceAddress;

    use super::*;

    #[tokio::test]
    async fn an_address_that_cannot_be_seen_is_not_served_and_the_next_look_has_another_connection() {
        let mut kernel = Kernel::open(true);
        kernel.routes = Err("it has failed".to_owned());
        let address = ServiceAddress([198, 51, 100, 1].into());
        let desired = Arc::new(Desired { addresses: vec![address], ..Desired::default() });
        let looked = kernel.reconcile(&desired, Cause::Wanted, || false).await.unwrap();
        let parts: Vec<Part> = looked.differences.iter().map(|one| one.part).collect();
        assert_eq!(parts, [Part::Address], "{:?}", looked.differences);
        assert!(kernel.routes.is_ok());
    }
}
