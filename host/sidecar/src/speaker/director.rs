//! What spans all neighbors: the configuration and its differences, the stages of a leave, what BFD means for BGP.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::Socket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use weir_core::bfd::Diagnostic;
use weir_core::bgp::{self, Adverts, Cease, Maintenance, Notification, Stage};
use weir_core::desired::speaker::{Config, Neighbor};

use super::bfd;
use super::board::Board;
use super::clock::Clock;
use super::dice::Dice;
use super::doors::{Doors, Guests};
use super::neighbor::{Order, Task};

/// Connections of one neighbor that wait to be looked at. It opens one.
const WAITING: usize = 4;

/// What the speaker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Do this, with these new listening sockets.
    Set(Box<Config>, Vec<(SocketAddr, io::Result<Socket>)>),
    /// End all sessions, with this text for the neighbors; answer when they were told.
    Stop(String, oneshot::Sender<()>),
}

/// One for each speaker.
pub(super) struct Director {
    clock: Clock,
    board: Board,
    dice: Dice,
    doors: Doors,
    guests: Guests,
    bfd: mpsc::UnboundedSender<bfd::Order>,
    maintenance: Maintenance,
    config: Option<Config>,
    adverts: Adverts,
    neighbors: BTreeMap<String, Handle>,
    /// Tasks that were told to end, by address.
    leaving: Vec<(String, IpAddr, JoinHandle<()>)>,
}

/// A neighbor's task, from outside.
#[derive(Debug)]
struct Handle {
    neighbor: Neighbor,
    settings: bgp::Settings,
    orders: mpsc::UnboundedSender<Order>,
    guests: mpsc::Sender<tokio::net::TcpStream>,
    task: JoinHandle<()>,
}

impl Handle {
    /// A task that is gone needs no orders.
    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}

impl Director {
    pub(super) fn new(clock: Clock, board: Board, bfd: mpsc::UnboundedSender<bfd::Order>) -> Self {
        let guests = Guests::default();
        Self {
            clock,
            doors: Doors::new(guests.clone(), board.clone()),
            board,
            dice: Dice::new(),
            guests,
            bfd,
            maintenance: Maintenance::new(bgp::Pauses::default()),
            config: None,
            adverts: Adverts::default(),
            neighbors: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    /// Until it is told to stop, or nobody is there any more who could.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut reports: mpsc::UnboundedReceiver<bfd::Report>,
    ) {
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Set(config, bound)) => self.set(*config, bound),
                    Some(Command::Stop(text, done)) => {
                        self.end(&text).await;
                        // Whoever asked may have lost patience.
                        let _ = done.send(());
                        return;
                    }
                    None => return self.end("").await,
                },
                () = self.clock.reach(self.maintenance.deadline()) => {
                    let before = self.maintenance.stage();
                    self.maintenance.tick(self.clock.now());
                    self.follow(before);
                }
                Some(report) = reports.recv() => self.heed(&report),
            }
        }
    }

    fn set(&mut self, config: Config, bound: Vec<(SocketAddr, io::Result<Socket>)>) {
        let Ok(adverts) = config.adverts() else {
            // Who sends it has checked it.
            tracing::error!("a configuration of the speaker that was not checked; it is ignored");
            return;
        };
        let before = self.maintenance.stage();
        self.maintenance.set_pauses(config.pauses);
        self.maintenance.wish(config.wish, self.clock.now());
        let changed = self.adverts != adverts;
        self.adverts = adverts;
        self.end_changed(&config);
        self.doors.set(&config.listen, bound, &config.neighbors);
        for neighbor in &config.neighbors {
            self.begin(&config, neighbor);
        }
        self.guests
            .set(self.neighbors.values().map(|one| (one.neighbor.address, one.guests.clone())).collect());
        let watch: Vec<bfd::Peer> = config.neighbors.iter().filter_map(bfd::Peer::of).collect();
        let listen = if watch.is_empty() { Vec::new() } else { config.bfd_listen.clone() };
        self.board.keep_listeners(&[config.listen.as_slice(), &listen].concat());
        // BFD's thread lives as long as this one.
        let _ = self.bfd.send(bfd::Order { listen, watch });
        self.config = Some(config);
        if changed {
            self.announce();
        }
        self.follow(before);
    }

    /// Ends the tasks of neighbors that are gone or are to be talked to otherwise.
    fn end_changed(&mut self, config: &Config) {
        self.leaving.retain(|(_, _, task)| !task.is_finished());
        let wanted = |handle: &Handle| {
            let same = config.neighbors.iter().find(|one| one.name == handle.neighbor.name);
            match same {
                None => Some(Cease::Deconfigured),
                Some(one) => (config.settings(one) != handle.settings
                    || !same_but_bfd(one, &handle.neighbor))
                .then_some(Cease::ConfigurationChanged),
            }
        };
        let ended: Vec<(String, Cease)> =
            self.neighbors.iter().filter_map(|(name, one)| Some((name.clone(), wanted(one)?))).collect();
        for (name, why) in ended {
            if let Some(handle) = self.neighbors.remove(&name) {
                handle.order(Order::End(Notification::cease(why)));
                self.leaving.push((name, handle.neighbor.address, handle.task));
            }
        }
    }

    fn begin(&mut self, config: &Config, neighbor: &Neighbor) {
        if let Some(known) = self.neighbors.get_mut(&neighbor.name) {
            known.neighbor = neighbor.clone();
            return;
        }
        let settings = config.settings(neighbor);
        let (orders, told) = mpsc::unbounded_channel();
        let (guests, accepted) = mpsc::channel(WAITING);
        let machine = bgp::Neighbor::new(settings.clone(), self.dice.number());
        let task = Task::new(neighbor.clone(), machine, self.clock, self.board.clone(), told, accepted);
        let mut before = Vec::new();
        for (name, address, task) in std::mem::take(&mut self.leaving) {
            if name == neighbor.name || address == neighbor.address {
                before.push(task);
            } else {
                self.leaving.push((name, address, task));
            }
        }
        let task = tokio::spawn(task.run(before));
        let handle = Handle { neighbor: neighbor.clone(), settings, orders, guests, task };
        handle.order(Order::Announce(self.maintenance.adverts(&self.adverts)));
        if self.maintenance.stage() != Stage::Done {
            handle.order(Order::Start);
        }
        self.neighbors.insert(neighbor.name.clone(), handle);
    }

    fn announce(&self) {
        let adverts = self.maintenance.adverts(&self.adverts);
        for handle in self.neighbors.values() {
            handle.order(Order::Announce(adverts.clone()));
        }
    }

    /// The stage may be another one than before.
    fn follow(&self, before: Stage) {
        let stage = self.maintenance.stage();
        self.board.set_stage(stage);
        if stage == before {
            return;
        }
        tracing::info!(?stage, "announcements");
        self.announce();
        for handle in self.neighbors.values() {
            if stage == Stage::Done {
                let reason = self.config.as_ref().map_or("", |config| &config.reason);
                handle.order(Order::Stop(Notification::cease_with(Cease::Shutdown, reason)));
            } else if before == Stage::Done {
                handle.order(Order::Start);
            }
        }
    }

    fn heed(&self, report: &bfd::Report) {
        let handle = self.neighbors.values().find(|one| one.neighbor.address == report.address);
        let Some(handle) = handle else { return };
        let name = &handle.neighbor.name;
        match report.down {
            None => tracing::info!(neighbor = name, "BFD up"),
            Some(why) => {
                tracing::warn!(neighbor = name, diagnostic = why.number(), "BFD down");
                if Diagnostic::says_failure(why) {
                    handle.order(Order::Reset(Notification::cease(Cease::BfdDown)));
                }
            }
        }
    }

    async fn end(mut self, text: &str) {
        let why = Notification::cease_with(Cease::Shutdown, text);
        for handle in self.neighbors.values() {
            handle.order(Order::End(why.clone()));
        }
        let ending = std::mem::take(&mut self.neighbors).into_values().map(|handle| handle.task);
        for task in ending.chain(std::mem::take(&mut self.leaving).into_iter().map(|(_, _, task)| task)) {
            // One that failed is over as well.
            let _ = task.await;
        }
    }
}

fn same_but_bfd(one: &Neighbor, other: &Neighbor) -> bool {
    Neighbor { bfd: None, ..one.clone() } == Neighbor { bfd: None, ..other.clone() }
}
