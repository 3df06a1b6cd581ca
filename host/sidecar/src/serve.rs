//! The sidecar's loop: the host's word, the kernel's worker and the speaker, and what happens when the host is silent.
//!
//! The host speaks over one connection; a new one takes the place of the old one, so that a host that was restarted does
//! not wait for its predecessor's to be noticed. As long as the host speaks, its word is carried out. When it is silent for
//! longer than the hold (it has died, or it hangs), the announcements are withdrawn and forwarding goes on, for there may be
//! connections; when it speaks again, they are announced again. A host that has begun anew speaks only once it has decided: that it
//! lives is no reason to announce what its predecessor wanted. A sidecar that was never told anything touches nothing.
//!
//! An address that nobody wants any more is withdrawn at once and served for a while longer: routers take their time.

mod session;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use weir_core::bgp::Stage;
use weir_core::desired::speaker::{Config, Status, Wish};
use weir_core::desired::{Counters, Desired, Misfit, Observed, Part, Ways};

use crate::client::ALIVE_EVERY;
use crate::kernel::{Cause, Looked, Worker};
use crate::protocol::{FrameError, Order};
use crate::speaker::Speaker;
use session::{Greeted, Told};

/// How often the speaker is asked how it is, and how old a report may be.
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// Orders that may wait; who sends one more waits itself.
const ORDERS: usize = 8;

/// How often a listening address is tried that could not be had: another program may have let go of it.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);

/// Who announces.
pub trait Announcer {
    /// All that it shall do.
    fn set(&mut self, config: Config);
    /// How it is.
    fn status(&self) -> Status;
    /// Ends, once those that do not know it yet were told why. Blocks for a few seconds at most.
    fn stop(self, why: &str);
}

impl Announcer for Speaker {
    fn set(&mut self, config: Config) {
        // Its faults were looked for when the host sent it.
        if let Err(error) = Self::set(self, config) {
            tracing::error!(%error, "the announcements stay as they were");
        }
    }

    fn status(&self) -> Status {
        Self::status(self)
    }

    fn stop(self, why: &str) {
        Self::stop(self, why);
    }
}

/// What comes from connections.
enum Heard {
    /// Somebody speaks this protocol, and is the host from now on. Who only looks whether somebody listens here is none.
    Host(Greeted),
    /// An order, and whose connection it came over.
    Order(u64, Result<Order, FrameError>),
}

/// Addresses that are not wanted any more, and that the kernel serves for a while longer.
struct Departing {
    addresses: BTreeSet<IpAddr>,
    /// The state that has what is served there.
    before: Arc<Desired>,
    until: Instant,
}

/// The sidecar.
pub struct Sidecar<A> {
    allowed: BTreeSet<u32>,
    observe_only: bool,
    worker: Worker,
    speaker: A,
    desired: Option<Arc<Desired>>,
    /// What the speaker was told last.
    announced: Option<Config>,
    /// When a host was heard last that had decided.
    heard: Instant,
    /// The host of this connection has said what it wants.
    has_decided: bool,
    withdrawn: bool,
    /// What checks need beside what was wanted before, until somebody says what is wanted.
    ways: Option<Ways>,
    departing: Option<Departing>,
    listened: Instant,
    observed: watch::Sender<Arc<Observed>>,
    /// The generation that the kernel's worker has finished, and whether all that is announced is served.
    ready: Option<(u64, bool)>,
    counters: Counters,
    connection: u64,
    refused: mpsc::Sender<String>,
    /// To ask the host of this connection for the whole state.
    again: Arc<Notify>,
}

impl<A: Announcer> Sidecar<A> {
    /// One that has been told nothing yet. Of the users of this machine, `allowed` may speak to it.
    pub fn new(
        allowed: impl IntoIterator<Item = u32>,
        observe_only: bool,
        worker: Worker,
        speaker: A,
    ) -> Self {
        let observed = Observed { observe_only, ..Observed::default() };
        Self {
            allowed: allowed.into_iter().collect(),
            observe_only,
            worker,
            speaker,
            desired: None,
            announced: None,
            heard: Instant::now(),
            has_decided: false,
            withdrawn: false,
            ways: None,
            departing: None,
            listened: Instant::now(),
            observed: watch::channel(Arc::new(observed)).0,
            ready: None,
            counters: Counters::default(),
            connection: 0,
            refused: mpsc::channel(1).0,
            again: Arc::new(Notify::new()),
        }
    }

    /// Serves until `stop` is done.
    pub async fn serve(mut self, listener: UnixListener, stop: impl Future<Output = ()>) {
        let (to_us, mut heard) = mpsc::channel(ORDERS);
        let mut status = tokio::time::interval(STATUS_EVERY);
        tokio::pin!(stop);
        loop {
            let (expires, departs) =
                (self.expires(), self.departing.as_ref().map(|departing| departing.until));
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.connected(stream, &to_us),
                    // Out of descriptors, most likely; the queue does not run away.
                    Err(error) => {
                        tracing::error!(%error, "the host cannot be answered");
                        tokio::time::sleep(STATUS_EVERY).await;
                    }
                },
                Some(heard) = heard.recv() => match heard {
                    Heard::Host(host) => self.greeted(host, &to_us),
                    Heard::Order(connection, order) => self.ordered(connection, order),
                },
                Some(looked) = self.worker.looked.recv() => self.looked(looked),
                () = tokio::time::sleep_until(expires.unwrap_or_else(Instant::now)), if expires.is_some() => self.expired(),
                () = tokio::time::sleep_until(departs.unwrap_or_else(Instant::now)), if departs.is_some() => self.departed(),
                _ = status.tick() => self.report(),
                () = &mut stop => break,
            }
        }
        self.end().await;
    }

    /// When the host has been silent for too long.
    fn expires(&self) -> Option<Instant> {
        let desired = self.desired.as_ref().filter(|_| !self.withdrawn)?;
        // A shorter one would be over between two signs of life.
        Some(self.heard + desired.hold.max(4 * ALIVE_EVERY))
    }

    fn connected(&self, stream: UnixStream, to_us: &mpsc::Sender<Heard>) {
        let peer = match stream.peer_cred() {
            Ok(peer) => peer,
            Err(error) => return tracing::warn!(%error, "a connection from nobody"),
        };
        if !self.allowed.contains(&peer.uid()) {
            return tracing::warn!(
                uid = peer.uid(),
                pid = peer.pid(),
                "a user that may not speak to this sidecar"
            );
        }
        tokio::spawn(session::greet(stream, peer.pid(), to_us.clone()));
    }

    /// This is the host from now on. The one before is told so, and hung up on.
    fn greeted(&mut self, host: Greeted, to_us: &mpsc::Sender<Heard>) {
        self.connection += 1;
        self.has_decided = false;
        let (refusals, refused) = mpsc::channel(1);
        self.refused = refusals;
        self.again = Arc::new(Notify::new());
        tracing::info!(pid = host.pid, "a host has connected");
        let told = Told {
            announced: self.supported(),
            observed: self.observed.subscribe(),
            refused,
            again: Arc::clone(&self.again),
        };
        tokio::spawn(session::run(host, self.connection, to_us.clone(), told));
    }

    /// The addresses that are announced, or would be if nobody had taken this node out.
    fn supported(&self) -> BTreeSet<IpAddr> {
        let announced = self.announced.iter().filter(|config| !self.withdrawn && config.wish != Wish::Stop);
        announced.flat_map(|config| &config.routes).map(|route| route.prefix.address()).collect()
    }

    fn ordered(&mut self, connection: u64, order: Result<Order, FrameError>) {
        if connection != self.connection {
            return;
        }
        match order {
            Ok(Order::Alive) => self.hear(),
            Ok(Order::Prepare(ways)) => match ways.check() {
                Ok(()) => self.prepare(*ways),
                Err(fault) => {
                    tracing::error!(%fault, "the ways of checks are refused");
                    let _ = self.refused.try_send(fault.to_string());
                }
            },
            Ok(Order::Set(desired)) => {
                let checked = desired.check().map_err(Misfit::Fault);
                self.taken(checked.map(|()| *desired));
            }
            Ok(Order::Change(delta)) => {
                let none = Desired::default();
                let taken = delta.apply(self.desired.as_deref().unwrap_or(&none));
                self.taken(taken);
            }
            Err(error) => tracing::warn!(%error, "the host is gone"),
        }
    }

    fn taken(&mut self, desired: Result<Desired, Misfit>) {
        match desired {
            Ok(desired) => {
                self.has_decided = true;
                self.heard = Instant::now();
                if std::mem::take(&mut self.withdrawn) {
                    tracing::info!("somebody decides again");
                }
                // Announces what is wanted now, and never what was wanted before.
                self.set(Arc::new(desired));
            }
            Err(Misfit::Fault(fault)) => {
                tracing::error!(%fault, "the desired state is refused, the old one stays in force");
                let _ = self.refused.try_send(fault.to_string());
            }
            Err(misfit) => {
                tracing::warn!(%misfit, "the host is asked for the whole desired state");
                self.again.notify_one();
            }
        }
    }

    /// A sign of life. From a host that has decided nothing yet it says nothing: it may die before it does, each time anew.
    fn hear(&mut self) {
        if !self.has_decided {
            return;
        }
        self.heard = Instant::now();
        if std::mem::take(&mut self.withdrawn) {
            tracing::info!("the host is back");
            self.announce();
        }
    }

    /// Makes ways beside what was wanted before, which may have been another host's word. What is wanted stays what it was.
    fn prepare(&mut self, ways: Ways) {
        self.hear();
        if self.desired.is_none() {
            self.worker.ways.send_replace(Some(Arc::new(ways)));
            return;
        }
        self.ways = Some(ways);
        self.tell_kernel();
    }

    fn set(&mut self, desired: Arc<Desired>) {
        self.depart(&desired);
        self.ways = None;
        self.desired = Some(desired);
        // What is not wanted any more is withdrawn before the kernel stops to serve it; what is new waits for the kernel.
        self.announce();
        self.tell_kernel();
    }

    /// What the kernel is told: what is wanted, what departs, and what checks need.
    fn tell_kernel(&self) {
        let Some(desired) = &self.desired else { return };
        let mut told = Arc::clone(desired);
        if let Some(departing) = &self.departing {
            told = Arc::new(told.with_departing(&departing.before, &departing.addresses));
        }
        if let Some(ways) = &self.ways {
            told = Arc::new(ways.beside(&told));
        }
        self.worker.desired.send_replace(Some(told));
    }

    /// Notes which addresses go that routers know: they are served until those have found another way.
    fn depart(&mut self, desired: &Desired) {
        let Some(before) = self.worker.desired.borrow().clone() else { return };
        let addresses = desired.gone_since(&before);
        let announced = self.announced.as_ref().filter(|announced| announced.wish != Wish::Stop);
        let are_known = announced.filter(|announced| {
            announced.routes.iter().any(|route| addresses.contains(&route.prefix.address()))
        });
        let until = match (are_known, self.departing.take()) {
            (Some(announced), _) => Instant::now() + announced.pauses.fade + announced.pauses.drain,
            // Those that depart already keep their time.
            (None, Some(departing)) => departing.until,
            (None, None) => return,
        };
        self.departing = (!addresses.is_empty()).then_some(Departing { addresses, before, until });
    }

    fn departed(&mut self) {
        self.departing = None;
        self.tell_kernel();
    }

    fn looked(&mut self, looked: Looked) {
        let served = |part: Part| !matches!(part, Part::Address | Part::Ipvs);
        self.ready = Some((looked.generation, looked.differences.iter().all(|d| served(d.part))));
        self.counters.reconciled += 1;
        self.counters.refused += looked.refused;
        self.counters.handed_on = looked.handed_on.unwrap_or(self.counters.handed_on);
        match looked.cause {
            Cause::Wanted => self.counters.changed += looked.done,
            Cause::Looked => self.counters.corrected += looked.done,
        }
        self.announce();
        let differences = looked.differences;
        self.observed.send_if_modified(|observed| {
            let next = Observed {
                generation: looked.generation,
                differences,
                counters: self.counters.clone(),
                ..(**observed).clone()
            };
            let differs = **observed != next;
            *observed = Arc::new(next);
            differs
        });
    }

    /// Tells the speaker what it may announce now.
    fn announce(&mut self) {
        let Some(wanted) = self.desired.as_ref().and_then(|d| d.speaker.as_ref().map(|s| (d.generation, s)))
        else {
            if let Some(last) = self.announced.take() {
                self.speaker.set(Config { wish: Wish::Stop, ..last });
            }
            return;
        };
        if self.observe_only {
            return;
        }
        let mut config = wanted.1.clone();
        if self.withdrawn && config.wish == Wish::Announce {
            config.wish = Wish::Leave;
        }
        if self.ready != Some((wanted.0, true)) {
            let before = self.announced.as_ref().map(|a| a.routes.as_slice()).unwrap_or_default();
            config.routes.retain(|route| before.iter().any(|b| b.prefix == route.prefix));
        }
        if self.announced.as_ref() != Some(&config) {
            self.speaker.set(config.clone());
            self.announced = Some(config);
        }
    }

    fn expired(&mut self) {
        tracing::error!("nobody decides any more: announcements are withdrawn, forwarding goes on");
        self.withdrawn = true;
        self.announce();
        self.report();
    }

    fn report(&mut self) {
        let status = self.announced.is_some().then(|| self.speaker.status());
        if let (Some(status), Some(announced)) = (&status, &self.announced)
            && status.listeners.iter().any(|listener| listener.error.is_some())
            && self.listened.elapsed() >= LISTEN_AGAIN
        {
            self.listened = Instant::now();
            self.speaker.set(announced.clone());
        }
        self.observed.send_if_modified(|observed| {
            let differs = observed.speaker != status || observed.host_is_silent != self.withdrawn;
            if differs {
                let next =
                    Observed { speaker: status, host_is_silent: self.withdrawn, ..(**observed).clone() };
                *observed = Arc::new(next);
            }
            differs
        });
    }

    /// Ends the sessions with a word to the neighbors. What the kernel was told stays.
    async fn end(mut self) {
        let Some(last) = self.announced.take() else { return self.speaker.stop("") };
        let (pauses, why) = (last.pauses, last.reason.clone());
        self.speaker.set(Config { wish: Wish::Stop, ..last });
        let end = Instant::now() + pauses.fade + pauses.drain + STATUS_EVERY;
        while self.speaker.status().stage != Stage::Done && Instant::now() < end {
            tokio::time::sleep(STATUS_EVERY / 10).await;
        }
        // The last words are on their way, and BFD's have to be said more than once. Nobody else is served here any more.
        self.speaker.stop(&why);
        tracing::info!("stopped; the kernel goes on forwarding");
    }
}

#[cfg(test)]
mod tests;
