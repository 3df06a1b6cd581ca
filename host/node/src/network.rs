//! The network side of a node as the host sees it: what it wants of its sidecar, and what the sidecar says.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use weir_core::bgp::Stage;
use weir_core::desired::speaker::Wish;
use weir_core::desired::{Desired, Observed, Ways};
use weir_core::l4::Way;
use weir_probe::check::{MakeSocket, Making, Sockets};
use weir_sidecar::client::{self, Link};
use weir_sidecar::marked::{self, MarkedSocket};

/// A node's line to its sidecar. Dropped, it lets the sidecar alone, which then withdraws after the hold.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    desired: watch::Sender<Option<Arc<Desired>>>,
    ways: watch::Sender<Ways>,
    checks: Arc<Path>,
    link: watch::Receiver<Link>,
}

impl Network {
    /// Looks for the sidecar at this socket, now and whenever it is lost. To be called within a tokio runtime.
    pub(crate) fn start(socket: PathBuf) -> Self {
        let (desired, wanted) = watch::channel(None);
        let (ways, prepared) = watch::channel(Ways::default());
        let (told, link) = watch::channel(Link::default());
        let checks = marked::beside(&socket).into();
        tokio::spawn(client::keep(socket, wanted, prepared, told));
        Self { desired, ways, checks, link }
    }

    /// This is wanted, and nothing else.
    pub(crate) fn set(&self, desired: Desired) {
        self.desired.send_modify(|last| {
            let generation = last.as_ref().map_or_else(first_generation, |last| last.generation + 1);
            *last = Some(Arc::new(Desired { generation, ..desired }));
        });
    }

    /// Checks are about to go these ways.
    pub(crate) fn prepare(&self, ways: Ways) {
        self.ways.send_if_modified(|last| {
            let differs = *last != ways;
            *last = ways;
            differs
        });
    }

    /// Where a check gets its sockets that goes this way, from this address of the node.
    pub(crate) fn sockets(&self, way: Way, from: IpAddr) -> Sockets {
        let socket = MarkedSocket::new(way.mark, way.end, from);
        Sockets::Of(Arc::new(MarkedSockets { checks: Arc::clone(&self.checks), socket }))
    }

    /// What is wanted, once anything is.
    pub(crate) fn wanted(&self) -> Option<Arc<Desired>> {
        self.desired.borrow().clone()
    }

    /// What is known of the sidecar.
    pub(crate) fn link(&self) -> Link {
        self.link.borrow().clone()
    }

    /// What the sidecar announces by an earlier process's word, once it is reached; `None` where that is no longer looked for.
    pub(crate) async fn inherited(&self) -> Option<BTreeSet<IpAddr>> {
        let mut link = self.link.clone();
        let reached = link.wait_for(|link| link.announced.is_some()).await.ok()?;
        reached.announced.as_deref().cloned()
    }

    /// Whether the sidecar has carried out what is wanted now, as far as it could be.
    pub(crate) fn is_settled(&self) -> bool {
        let Some(wanted) = self.wanted() else { return false };
        let link = self.link.borrow();
        link.problem.is_none() && link.observed.as_ref().is_some_and(|o| o.generation == wanted.generation)
    }

    /// Waits until the sidecar has carried out what is wanted now, as far as it could be, for so long at most. Says whether it has.
    pub(crate) async fn settles(&self, within: Duration) -> bool {
        let Some(wanted) = self.wanted() else { return true };
        let mut link = self.link.clone();
        let is_done = |link: &Link| {
            link.problem.is_none()
                && link.observed.as_ref().is_some_and(|o| o.generation >= wanted.generation)
        };
        tokio::time::timeout(within, link.wait_for(is_done)).await.is_ok_and(|link| link.is_ok())
    }

    /// Waits until the neighbors have been left, for as long as that takes at most.
    pub(crate) async fn left(&self) {
        let Some(wanted) = self.wanted() else { return };
        let Some(speaker) = wanted.speaker.as_ref().filter(|s| s.wish == Wish::Stop) else { return };
        let patience = speaker.pauses.fade + speaker.pauses.drain + Duration::from_secs(2);
        let mut link = self.link.clone();
        let has_left =
            link.wait_for(|link| link.observed.as_deref().is_some_and(|o| is_left(o, wanted.generation)));
        if tokio::time::timeout(patience, has_left).await.is_err() {
            tracing::warn!("the neighbors are not waited for any longer");
        }
    }
}

/// Sockets that the sidecar makes.
#[derive(Debug)]
struct MarkedSockets {
    checks: Arc<Path>,
    socket: MarkedSocket,
}

impl MakeSocket for MarkedSockets {
    fn make(&self) -> Making<'_> {
        Box::pin(marked::ask(&self.checks, self.socket))
    }
}

fn is_left(observed: &Observed, generation: u64) -> bool {
    let done = observed.speaker.as_ref().is_none_or(|speaker| speaker.stage == Stage::Done);
    observed.generation >= generation && done
}

/// Larger than any of an earlier process, whose last state the sidecar may still be at work on.
fn first_generation() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs() << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_settled_when_the_sidecar_says_so_of_what_is_wanted_now() {
        let (told, link) = watch::channel(Link::default());
        let (desired, ways) = (watch::Sender::new(None), watch::Sender::new(Ways::default()));
        let network = Network { desired, ways, checks: Path::new("checks").into(), link };
        assert!(network.settles(Duration::ZERO).await, "nothing is wanted");

        network.set(Desired::default());
        let wanted = network.wanted().unwrap().generation;
        let saw = |generation| Link {
            observed: Some(Arc::new(Observed { generation, ..Observed::default() })),
            ..Link::default()
        };
        told.send_replace(saw(wanted - 1));
        assert!(!network.settles(Duration::ZERO).await, "that was the one before");
        assert!(!network.is_settled());
        told.send_replace(Link { problem: Some("gone".to_owned()), ..saw(wanted) });
        assert!(!network.settles(Duration::ZERO).await, "nobody knows what a lost sidecar does");

        let waits = tokio::spawn({
            let network = network.clone();
            async move { network.settles(Duration::from_secs(600)).await }
        });
        tokio::task::yield_now().await;
        told.send_replace(saw(wanted));
        assert!(waits.await.unwrap());
        assert!(network.is_settled());

        network.set(Desired::default());
        assert!(!network.settles(Duration::ZERO).await, "more is wanted since");
        drop(told);
        assert!(!network.settles(Duration::from_secs(600)).await, "nobody will ever say so");
    }
}
