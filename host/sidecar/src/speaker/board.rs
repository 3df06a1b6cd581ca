//! What all parts of the speaker write down and anybody may read at any time, whatever the speaker is busy with.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_core::bgp::{Received, Stage, State};
use weir_core::desired::speaker::{BfdStatus, Listener, NeighborStatus, Session, Status};
use weir_core::time::Moment;
use weir_core::{bfd, bgp};

use super::clock::Clock;

/// An `OPEN` comes a round trip after the connection; RFC 4271 waits for it for minutes, an operator should know sooner.
const OPEN_COMES: Duration = Duration::from_secs(5);

/// Copies are the same board.
#[derive(Debug, Clone)]
pub(super) struct Board {
    clock: Clock,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    stage: Option<Stage>,
    listeners: BTreeMap<SocketAddr, Option<String>>,
    neighbors: BTreeMap<String, Neighbor>,
    bfd: BTreeMap<IpAddr, Bfd>,
    strangers: u64,
}

/// A neighbor as its task writes it down.
#[derive(Debug, Clone)]
pub(super) struct Neighbor {
    pub(super) address: IpAddr,
    pub(super) peer_as: u32,
    pub(super) state: State,
    pub(super) since: Moment,
    pub(super) session: Option<Session>,
    pub(super) ups: u64,
    pub(super) downs: u64,
    pub(super) received: Received,
    /// Of each family.
    pub(super) announced: [usize; 2],
    pub(super) last_error: Option<String>,
    /// What the kernel drops without a word, to be named where nothing is heard.
    pub(super) unseen: &'static str,
}

impl Neighbor {
    /// Why the last session or attempt ended, or what keeps this one from getting any further.
    fn last_error(&self, now: Moment) -> Option<String> {
        if self.state == State::OpenSent && now.since(self.since) >= OPEN_COMES {
            return Some(format!("connected, and the neighbor says nothing{}", self.unseen));
        }
        self.last_error.clone()
    }
}

/// A BFD session as its thread writes it down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bfd {
    pub(super) state: bfd::State,
    pub(super) since: Moment,
    pub(super) detection: Option<Duration>,
    pub(super) diagnostic: u8,
    pub(super) downs: u64,
    pub(super) received: u64,
    pub(super) refused: u64,
}

impl Board {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, notes: Arc::default() }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Notes are replaced whole; one that somebody broke off writing is an old one.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        self.notes().stage = Some(stage);
    }

    pub(super) fn set_listener(&self, address: SocketAddr, error: Option<String>) {
        self.notes().listeners.insert(address, error);
    }

    /// Only these are left.
    pub(super) fn keep_listeners(&self, addresses: &[SocketAddr]) {
        self.notes().listeners.retain(|address, _| addresses.contains(address));
    }

    pub(super) fn count_stranger(&self) {
        let mut notes = self.notes();
        notes.strangers = notes.strangers.saturating_add(1);
    }

    pub(super) fn set_neighbor(&self, name: &str, neighbor: Neighbor) {
        let mut notes = self.notes();
        match notes.neighbors.get_mut(name) {
            Some(known) => *known = neighbor,
            None => drop(notes.neighbors.insert(name.to_owned(), neighbor)),
        }
    }

    pub(super) fn forget_neighbor(&self, name: &str) {
        self.notes().neighbors.remove(name);
    }

    pub(super) fn set_bfd(&self, address: IpAddr, bfd: Bfd) {
        self.notes().bfd.insert(address, bfd);
    }

    pub(super) fn forget_bfd(&self, address: IpAddr) {
        self.notes().bfd.remove(&address);
    }

    /// All of it, as of now.
    pub(super) fn status(&self) -> Status {
        let now = self.clock.now();
        let notes = self.notes();
        let listeners = notes.listeners.iter();
        let bfd = |bfd: &Bfd| BfdStatus {
            state: bfd.state,
            state_for: now.since(bfd.since),
            detection: bfd.detection,
            diagnostic: bfd.diagnostic,
            downs: bfd.downs,
            received: bfd.received,
            refused: bfd.refused,
        };
        let neighbors = notes.neighbors.iter().map(|(name, one)| NeighborStatus {
            name: name.clone(),
            address: one.address,
            peer_as: one.peer_as,
            state: one.state,
            state_for: now.since(one.since),
            session: one.session.clone(),
            ups: one.ups,
            downs: one.downs,
            received: one.received,
            announced_v4: one.announced[0],
            announced_v6: one.announced[1],
            last_error: one.last_error(now),
            bfd: notes.bfd.get(&one.address).map(bfd),
        });
        Status {
            stage: notes.stage.unwrap_or(Stage::Withdrawn),
            listeners: listeners
                .map(|(address, error)| Listener { address: *address, error: error.clone() })
                .collect(),
            neighbors: neighbors.collect(),
            strangers: notes.strangers,
        }
    }
}

/// What both ends agreed on, in the words of the status.
pub(super) fn session(agreed: &bgp::Negotiated, side: bgp::Side) -> Session {
    Session {
        peer_id: agreed.peer_id,
        hold: agreed.hold,
        families: agreed.families.clone(),
        lacking: agreed.lacking.clone(),
        four_octet_as: agreed.four_octet_as,
        incoming: side == bgp::Side::Incoming,
    }
}
