//! The kernel's balancer (IPVS), over generic netlink: what `weir_core::ipvs` decides is done here, and seen here.
//!
//! [`Balancer`] is for whoever wants a state; [`Ipvs`] is the kernel's interface below it. Both are of the network namespace of
//! the thread that opened them.
//!
//! | module | is |
//! |---|---|
//! | [`balancer`] | the kernel's table kept as somebody wants it |
//! | `encode` | changes as messages |
//! | `decode` | messages as services, destinations and counters |
//! | `vocabulary` | the kernel's numbers |

pub mod balancer;
mod decode;
mod encode;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
mod vocabulary;

use rustix::io::Errno;
use weir_core::ipvs::{
    Change, Key, ObservedDestination, ObservedService, ServiceTraffic, Settings, Timeouts,
};

pub use balancer::Balancer;

use super::netlink::{Malformed, NetlinkError, Requests, Socket};
use decode::{Destination, Service};
use vocabulary::{VERSION, command};

/// Requests in one datagram. The kernel holds its lock for each of them alone, and the answers to as many refusals fit in a
/// socket's default room.
const BATCH: u32 = 128;

/// What went wrong with the balancer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpvsError {
    /// Nothing can be asked or told, or it is not known what became of it.
    #[error("balancer: {0}")]
    Netlink(#[from] NetlinkError),
    /// The kernel refused a change. Those before it are done, those after the batch that it was in are not.
    #[error("balancer: {change}: {}", explained(change, *.error))]
    Refused {
        /// The first one that was refused.
        change: Box<Change>,
        /// Why.
        error: Errno,
        /// How many more of the same batch were refused.
        more: usize,
    },
}

impl From<Malformed> for IpvsError {
    fn from(malformed: Malformed) -> Self {
        Self::Netlink(malformed.into())
    }
}

/// What an error of the kernel means and what to do.
fn explained(change: &Change, error: Errno) -> String {
    let what = match (error, change) {
        (Errno::NOENT, Change::AddService { settings, .. } | Change::SetService { settings, .. }) => {
            return format!(
                "the kernel has no scheduler {0}; load its module (modprobe ip_vs_{0})",
                settings.scheduler
            );
        }
        (Errno::PERM, _) => "CAP_NET_ADMIN is needed in this network namespace",
        (Errno::EXIST, _) => "it is there already: somebody else changes the table",
        (Errno::SRCH, _) => "the service is gone: somebody else changes the table",
        (Errno::NOENT, _) => "the destination is gone: somebody else changes the table",
        (Errno::INVAL, Change::AddDestination { .. }) => "the kernel takes no destination with this address",
        (Errno::OPNOTSUPP | Errno::AFNOSUPPORT, _) => "the kernel was built without this address family",
        _ => return error.to_string(),
    };
    what.to_owned()
}

/// The kernel's balancer.
#[derive(Debug)]
pub struct Ipvs {
    socket: Socket,
    family: u16,
    requests: Requests,
}

impl Ipvs {
    /// Finds it.
    ///
    /// # Errors
    /// Where the kernel has none.
    pub fn open() -> Result<Self, IpvsError> {
        let mut socket = Socket::open()?;
        let family = socket.family("IPVS", "ip_vs")?;
        Ok(Self { socket, family, requests: Requests::new() })
    }

    /// All services. Those of protocols that Weir does not know are left out: they are somebody else's.
    ///
    /// # Errors
    /// Where they could not be read whole.
    pub fn list(&mut self) -> Result<Vec<(Key, Settings)>, IpvsError> {
        Ok(self.services()?.into_iter().map(|service| (service.key, service.settings)).collect())
    }

    /// A service whose settings were seen, with its destinations; `None`: it is gone since.
    ///
    /// # Errors
    /// Where they could not be read whole.
    pub fn filled(&mut self, key: &Key, settings: Settings) -> Result<Option<ObservedService>, IpvsError> {
        let Some(destinations) = self.destinations(key)? else { return Ok(None) };
        let destinations = destinations.iter().map(|one| ObservedDestination::dumped(one.entry)).collect();
        Ok(Some(ObservedService { settings, destinations }))
    }

    /// The counters of all services and destinations.
    ///
    /// # Errors
    /// Where they could not be read whole.
    pub fn traffic(&mut self) -> Result<Vec<ServiceTraffic>, IpvsError> {
        let mut all = Vec::new();
        for Service { key, traffic, .. } in self.services()? {
            let Some(destinations) = self.destinations(&key)? else { continue };
            let destinations = destinations.iter().map(Destination::traffic).collect();
            all.push(ServiceTraffic { key, traffic, destinations });
        }
        Ok(all)
    }

    /// How long connections are kept.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn timeouts(&mut self) -> Result<Option<Timeouts>, IpvsError> {
        self.requests.clear();
        self.requests.push(self.family, command::GET_CONFIG, VERSION, |_| {});
        let mut timeouts = None;
        let refused = self.socket.tell(&mut self.requests, |_, attributes| {
            timeouts = decode::timeouts(attributes)?;
            Ok(())
        })?;
        match refused.first() {
            Some(refused) => Err(NetlinkError::Refused(refused.error).into()),
            None => Ok(timeouts),
        }
    }

    /// Makes changes in order, many in one datagram. `done` is told each that the kernel has made. After a batch in which one was
    /// refused no other is sent; and a batch that takes something away begins only when all before it is done, so what is safe
    /// for every prefix of the changes stays safe.
    ///
    /// # Errors
    /// [`IpvsError::Refused`], or where it is not known what the kernel has done.
    pub fn apply(&mut self, changes: &[Change], mut done: impl FnMut(&Change)) -> Result<(), IpvsError> {
        let mut rest = changes;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at_checked(batch(rest)).unwrap_or((rest, &[]));
            rest = later;
            self.requests.clear();
            for change in batch {
                encode::change(&mut self.requests, self.family, change);
            }
            let refused = self.socket.tell(&mut self.requests, |_, _| Ok(()))?;
            for (at, change) in batch.iter().enumerate() {
                if refused.iter().all(|refused| refused.request != at) {
                    done(change);
                }
            }
            if let Some(first) = refused.iter().min_by_key(|refused| refused.request)
                && let Some(change) = batch.get(first.request)
            {
                let change = Box::new(change.clone());
                return Err(IpvsError::Refused { change, error: first.error, more: refused.len() - 1 });
            }
        }
        Ok(())
    }

    fn services(&mut self) -> Result<Vec<Service>, IpvsError> {
        let mut request = Requests::dump(self.family, command::GET_SERVICE, VERSION, |_| {});
        let services = self.socket.dump(&mut request, Vec::new, |all, _, attributes| {
            all.extend(decode::service(attributes)?);
            Ok(())
        })?;
        Ok(services)
    }

    /// Destinations of a service, the oldest first; `None` where there is no such service.
    fn destinations(&mut self, key: &Key) -> Result<Option<Vec<Destination>>, IpvsError> {
        let ask = |to: &mut Vec<u8>| encode::service(to, key);
        let mut request = Requests::dump(self.family, command::GET_DESTINATION, VERSION, ask);
        let family = key.family();
        let newest_first = self.socket.dump(&mut request, Vec::new, |all, _, attributes| {
            all.push(decode::destination(attributes, family)?);
            Ok(())
        });
        match newest_first {
            Ok(mut all) => {
                all.reverse();
                Ok(Some(all))
            }
            Err(NetlinkError::Refused(Errno::SRCH)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// How many of these may go in one datagram: none that takes something away after one that does not.
fn batch(changes: &[Change]) -> usize {
    let cut = |pair: &[Change]| matches!(pair, [before, after] if !before.removes() && after.removes());
    let uncut = changes.windows(2).position(cut).map_or(changes.len(), |at| at + 1);
    uncut.min(BATCH as usize)
}
