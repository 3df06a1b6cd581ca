//! BFD: small packets all the time, in a thread of its own, so that nothing that BGP is busy with makes a neighbor believe that we
//! are gone.
//!
//! One hop only (RFC 5881): a packet that was forwarded by anybody has fewer than 255 hops left, and is not read.

pub(super) mod packet;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use socket2::Socket;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use weir_core::bfd::{Action, Control, Diagnostic, Event, Session, Settings, State};
use weir_core::desired::speaker::Neighbor;
use weir_core::time::Moment;

use super::board::{self, Board};
use super::clock::Clock;
use super::dice::Dice;
use super::{dial, options};

/// Packets read at once before time is let pass.
const BACKLOG: usize = 4096;
/// Ports that packets come from (RFC 5881 §4).
const PORTS: std::ops::Range<u64> = 49152..65536;
/// Tries to find a free one of them.
const TRIES: usize = 32;

/// Who is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    address: IpAddr,
    port: u16,
    local: Option<IpAddr>,
    settings: Settings,
}

impl Peer {
    /// The one that this neighbor is to be watched as.
    pub(super) fn of(neighbor: &Neighbor) -> Option<Self> {
        let bfd = neighbor.bfd?;
        Some(Self { address: neighbor.address, port: bfd.port, local: neighbor.local, settings: bfd.into() })
    }

    /// Whether one session serves both; how it is run can be changed.
    fn is_same(&self, other: &Self) -> bool {
        (self.address, self.port, self.local) == (other.address, other.port, other.local)
    }
}

/// Which packets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Those that the runtime was told of.
    AsTold,
    /// All, by asking the kernel itself. After the process was stopped (SIGSTOP, a frozen cgroup, a debugger) the runtime finds timers
    /// that are over before it has asked for news of sockets, and takes them for empty.
    Anyway,
}

/// A neighbor came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) address: IpAddr,
    /// Why it is down; `None`: it is up.
    pub(super) down: Option<Diagnostic>,
}

/// All sessions, and the sockets that they share.
pub(super) struct Watch {
    clock: Clock,
    board: Board,
    dice: Dice,
    reports: mpsc::UnboundedSender<Report>,
    sockets: Vec<(SocketAddr, UdpSocket)>,
    sessions: BTreeMap<IpAddr, Watched>,
    /// Those that are not wanted any more, and whose neighbors may not know it yet.
    leaving: Vec<Watched>,
}

struct Watched {
    peer: Peer,
    session: Session,
    /// Made with the first packet, and again after a failure: the address at our end may not be there yet.
    socket: Option<Socket>,
    state: (State, Moment),
    downs: u64,
    received: u64,
    /// Packets from this address that came from too far away or made no sense.
    odd: u64,
}

/// What the thread is told, at once: a packet that came between the two would be nobody's.
#[derive(Debug)]
pub(super) struct Order {
    /// Receive at these addresses.
    pub(super) listen: Vec<SocketAddr>,
    /// Watch these neighbors.
    pub(super) watch: Vec<Peer>,
}

impl Watch {
    pub(super) fn new(clock: Clock, board: Board, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            clock,
            board,
            dice: Dice::new(),
            reports,
            sockets: Vec::new(),
            sessions: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    /// Until nobody is there any more to give orders. Sessions end then as by an operator's will, and their neighbors know it.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut ends = false;
        while !(ends && self.leaving.is_empty()) {
            let deadline = self.sessions.values().chain(&self.leaving).filter_map(Watched::deadline).min();
            tokio::select! {
                biased;
                order = orders.recv(), if !ends => match order {
                    Some(Order { listen, watch }) => {
                        self.listen(&listen);
                        self.watch(watch);
                    }
                    None => {
                        ends = true;
                        self.watch(Vec::new());
                    }
                },
                () = self.clock.reach(deadline) => self.let_time_pass(),
                () = readable(&self.sockets) => self.read(Reading::AsTold),
            }
        }
    }

    /// A process that was held up must not take its own absence for the neighbor's: what waits is read first.
    fn let_time_pass(&mut self) {
        self.read(Reading::Anyway);
        self.tick();
    }

    fn listen(&mut self, addresses: &[SocketAddr]) {
        self.sockets.retain(|(address, _)| addresses.contains(address));
        for address in addresses {
            if self.sockets.iter().any(|(known, _)| known == address) {
                continue;
            }
            let socket = dial::bind_bfd(*address).and_then(|socket| UdpSocket::from_std(socket.into()));
            self.board.set_listener(*address, socket.as_ref().err().map(ToString::to_string));
            match socket {
                Ok(socket) => self.sockets.push((*address, socket)),
                Err(error) => tracing::warn!(%address, %error, "cannot receive BFD packets here"),
            }
        }
    }

    fn watch(&mut self, peers: Vec<Peer>) {
        let now = self.clock.now();
        let stays = |one: &Watched| peers.iter().any(|peer| peer.is_same(&one.peer));
        let gone: Vec<IpAddr> =
            self.sessions.iter().filter(|(_, one)| !stays(one)).map(|(address, _)| *address).collect();
        for address in gone {
            // So that the neighbor does not take it for a failure.
            self.tell(address, Event::Disable);
            self.leaving.extend(self.sessions.remove(&address).filter(|one| one.session.told_at().is_some()));
            self.board.forget_bfd(address);
        }
        for peer in peers {
            let address = peer.address;
            // One that is back begins anew, and is not contradicted.
            self.leaving.retain(|one| one.peer.address != address);
            if let Some(watched) = self.sessions.get_mut(&address) {
                let settings = peer.settings;
                if std::mem::replace(&mut watched.peer, peer).settings != settings {
                    self.tell(address, Event::Configure(settings));
                }
            } else {
                let session = Session::new(peer.settings, self.discriminator(), now);
                let state = (session.state(), now);
                let watched = Watched { peer, session, socket: None, state, downs: 0, received: 0, odd: 0 };
                watched.write_down(&self.board);
                self.sessions.insert(address, watched);
            }
        }
    }

    /// A number that no session has, and none had before a restart, as far as chance can tell.
    fn discriminator(&mut self) -> u32 {
        // The upper half.
        ((self.dice.number() >> 32) as u32).max(1)
    }

    /// Reads all that waits.
    fn read(&mut self, reading: Reading) {
        let mut packets = Vec::new();
        for (_, socket) in &self.sockets {
            for _ in 0..BACKLOG {
                let mut bytes = [0; packet::MAX];
                let mut receive = || options::receive(socket, &mut bytes);
                let packet = match reading {
                    Reading::AsTold => socket.try_io(Interest::READABLE, receive),
                    Reading::Anyway => receive(),
                };
                match packet {
                    Ok(packet) => {
                        let control = bytes.get(..packet.length).and_then(packet::decode);
                        let near = packet.hops == Some(options::FULL);
                        packets.push((packet.from.ip(), control.filter(|_| near)));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Of a packet that was sent before; told here, and no reason not to read on.
                    Err(_) => {}
                }
            }
        }
        for (from, control) in packets {
            let Some(watched) = self.sessions.get_mut(&from) else { continue };
            match control {
                Some(control) => {
                    watched.received += 1;
                    self.tell(from, Event::Received(control));
                }
                None => watched.odd += 1,
            }
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        let due = |one: &Watched| one.session.deadline().is_some_and(|at| at <= now);
        let due: Vec<IpAddr> =
            self.sessions.iter().filter(|(_, one)| due(one)).map(|(address, _)| *address).collect();
        for address in due {
            self.tell(address, Event::Tick);
        }
        self.leaving.retain(|one| one.session.told_at().is_some_and(|at| at > now));
        for one in &mut self.leaving {
            if one.session.deadline().is_some_and(|at| at <= now) {
                for action in one.session.handle(Event::Tick, self.dice.share(), now) {
                    if let Action::Send(control) = action {
                        one.send(&control, &mut self.dice);
                    }
                }
            }
        }
    }

    fn tell(&mut self, address: IpAddr, event: Event) {
        let now = self.clock.now();
        let Some(watched) = self.sessions.get_mut(&address) else { return };
        let mut reports = Vec::new();
        for action in watched.session.handle(event, self.dice.share(), now) {
            match action {
                Action::Send(control) => watched.send(&control, &mut self.dice),
                Action::Up => reports.push(Report { address, down: None }),
                Action::Down(why) => {
                    watched.downs += 1;
                    reports.push(Report { address, down: Some(why) });
                }
            }
        }
        if watched.session.state() != watched.state.0 {
            watched.state = (watched.session.state(), now);
        }
        // Written down first: whoever acts on a report may look, and must not find how it was before.
        watched.write_down(&self.board);
        for report in reports {
            // Nobody listens any more at the end.
            let _ = self.reports.send(report);
        }
    }
}

impl Watched {
    /// When it has something to do, or is over.
    fn deadline(&self) -> Option<Moment> {
        self.session.deadline().into_iter().chain(self.session.told_at()).min()
    }

    /// A packet that cannot be sent is lost, as any packet may be.
    fn send(&mut self, control: &Control, dice: &mut Dice) {
        if self.socket.is_none() {
            let peer = SocketAddr::new(self.peer.address, self.peer.port);
            let port = |dice: &mut Dice| (PORTS.start + dice.number() % (PORTS.end - PORTS.start)) as u16;
            self.socket = (0..TRIES).find_map(|_| dial::dial_bfd(self.peer.local, peer, port(dice)).ok());
        }
        let Some(socket) = &self.socket else { return };
        match socket.send(&packet::encode(control)) {
            // Refused is what the neighbor said of the packet before: it does not listen yet.
            Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => self.socket = None,
            _ => {}
        }
    }

    fn write_down(&self, board: &Board) {
        board.set_bfd(
            self.peer.address,
            board::Bfd {
                state: self.state.0,
                since: self.state.1,
                detection: self.session.detection_time(),
                diagnostic: self.session.diagnostic().number(),
                downs: self.downs,
                received: self.received,
                refused: self.odd + self.session.refused(),
            },
        );
    }
}

/// Until one of them has something to read.
async fn readable(sockets: &[(SocketAddr, UdpSocket)]) {
    std::future::poll_fn(|context| {
        let ready =
            |socket: &UdpSocket, context: &mut Context<'_>| socket.poll_recv_ready(context).is_ready();
        // All of them, so that each of them wakes.
        let count = sockets.iter().filter(|(_, socket)| ready(socket, context)).count();
        if count > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
