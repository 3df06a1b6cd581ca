//! A task for each neighbor: it owns the machine and both connections, and waits for nobody else.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use weir_core::bgp::{self, Action, Adverts, Down, Event, Family, Message, Notification, Side, State};
use weir_core::desired::speaker::{Distance, Neighbor};
use weir_core::time::Moment;

use super::board::{self, Board};
use super::clock::Clock;
use super::connection::{Connection, Heard};
use super::{dial, options};

/// Messages that are taken at once before time is let pass: more than a neighbor sends in any hold time, fewer than hold anybody up.
const BACKLOG: usize = 1000;

/// What a neighbor's task is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Announce this.
    Announce(Adverts),
    /// Hold sessions.
    Start,
    /// Hold none, and say why.
    Stop(Notification),
    /// If there is a session, begin another one, and say why.
    Reset(Notification),
    /// Stop, and be no more.
    End(Notification),
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// A neighbor's task.
pub(super) struct Task {
    neighbor: Neighbor,
    machine: bgp::Neighbor,
    clock: Clock,
    board: Board,
    orders: mpsc::UnboundedReceiver<Order>,
    accepted: mpsc::Receiver<TcpStream>,
    attempt: Option<Attempt>,
    outgoing: Option<Connection>,
    incoming: Option<Connection>,
    farewells: JoinSet<()>,
    /// The state, and since when.
    state: (State, Moment),
    ups: u64,
    downs: u64,
    /// Prefixes that the neighbor was told, of each family.
    announced: [usize; 2],
    /// Why the last session or attempt ended.
    last_error: Option<String>,
    /// The reason of the last failed attempt that was logged: it is not logged again until it changes.
    logged: Option<Down>,
}

/// What a task waits for.
enum Next {
    Order(Option<Order>),
    Deadline,
    Accepted(TcpStream),
    Attempted(io::Result<TcpStream>),
    Heard(Side, Heard),
}

impl Task {
    pub(super) fn new(
        neighbor: Neighbor,
        machine: bgp::Neighbor,
        clock: Clock,
        board: Board,
        orders: mpsc::UnboundedReceiver<Order>,
        accepted: mpsc::Receiver<TcpStream>,
    ) -> Self {
        Self {
            neighbor,
            machine,
            clock,
            board,
            orders,
            accepted,
            attempt: None,
            outgoing: None,
            incoming: None,
            farewells: JoinSet::new(),
            state: (State::Idle, clock.now()),
            ups: 0,
            downs: 0,
            announced: [0; 2],
            last_error: None,
            logged: None,
        }
    }

    /// Until [`Order::End`]. `before`: a task that had the same name or address, and is to be waited for.
    pub(super) async fn run(mut self, before: Vec<JoinHandle<()>>) {
        for before in before {
            // One that failed is over as well.
            let _ = before.await;
        }
        self.write_down();
        loop {
            match self.next().await {
                Next::Order(Some(Order::Announce(adverts))) => {
                    let actions = self.machine.set(adverts, self.clock.now());
                    self.carry_out(actions, None);
                }
                Next::Order(Some(Order::Start)) => self.tell(Event::Start),
                Next::Order(Some(Order::Stop(why))) => self.tell(Event::Stop(why)),
                Next::Order(Some(Order::Reset(why))) => {
                    if self.machine.state() == State::Established {
                        self.tell(Event::Reset(why));
                    }
                }
                Next::Order(Some(Order::End(why))) => {
                    self.tell(Event::Stop(why));
                    break;
                }
                // Nobody is there any more who could say why.
                Next::Order(None) => break,
                Next::Deadline => self.let_time_pass(),
                Next::Accepted(stream) => self.accept(stream),
                Next::Attempted(result) => self.attempted(result),
                Next::Heard(side, heard) => self.hear(side, heard),
            }
            self.write_down();
        }
        while self.farewells.join_next().await.is_some() {}
        self.board.forget_neighbor(&self.neighbor.name);
    }

    async fn next(&mut self) -> Next {
        let deadline = self.machine.deadline();
        let heard = async {
            // Either may be first: a neighbor that floods one connection shall not silence the other.
            tokio::select! {
                heard = next_of(&mut self.outgoing) => Next::Heard(Side::Outgoing, heard),
                heard = next_of(&mut self.incoming) => Next::Heard(Side::Incoming, heard),
            }
        };
        tokio::select! {
            biased;
            order = self.orders.recv() => Next::Order(order),
            () = self.clock.reach(deadline) => Next::Deadline,
            Some(stream) = self.accepted.recv() => Next::Accepted(stream),
            result = result_of(&mut self.attempt) => Next::Attempted(result),
            heard = heard => heard,
        }
    }

    /// A process that was held up must not take its own absence for the neighbor's: what waits is read first.
    fn let_time_pass(&mut self) {
        for side in [Side::Outgoing, Side::Incoming] {
            if let Some(connection) = self.connection(side) {
                connection.fetch();
            }
            for _ in 0..BACKLOG {
                let Some(heard) = self.connection(side).as_mut().and_then(Connection::try_next) else {
                    break;
                };
                self.hear(side, heard);
            }
        }
        while self.farewells.try_join_next().is_some() {}
        self.tell(Event::Tick);
    }

    fn attempted(&mut self, result: io::Result<TcpStream>) {
        self.attempt = None;
        let connected = result.and_then(|stream| {
            let connection = Connection::new(stream);
            Ok((connection.local()?, connection))
        });
        match connected {
            Ok((local, connection)) => {
                self.outgoing = Some(connection);
                self.tell(Event::Connected(local));
            }
            Err(error) => self.tell(Event::Unconnected(error.to_string())),
        }
    }

    fn accept(&mut self, stream: TcpStream) {
        let v4 = self.neighbor.address.is_ipv4();
        if let Err(error) = options::keep_distance(&stream, v4, self.neighbor.distance) {
            tracing::warn!(neighbor = self.neighbor.name, %error, "a connection cannot be secured; it is refused");
            return;
        }
        let connection = Connection::new(stream);
        // It may be gone already.
        let Ok(local) = connection.local() else { return };
        let actions = self.machine.handle(Event::Accepted(local), self.clock.now());
        self.carry_out(actions, Some(connection));
    }

    fn hear(&mut self, side: Side, heard: Heard) {
        if heard == Heard::Closed {
            *self.connection(side) = None;
        }
        self.tell(match heard {
            Heard::Message(message) => Event::Received(side, message),
            Heard::Malformed(answer) => Event::Malformed(side, answer),
            Heard::Unread => Event::Unread(side),
            Heard::Wrote(drained) => Event::Wrote { side, drained },
            Heard::GivenUp(why) => Event::GivenUp(side, why),
            Heard::Closed => Event::Closed(side),
        });
    }

    fn tell(&mut self, event: Event) {
        let actions = self.machine.handle(event, self.clock.now());
        self.carry_out(actions, None);
    }

    fn carry_out(&mut self, actions: Vec<Action>, mut accepted: Option<Connection>) {
        let told = actions.iter().any(|action| !matches!(action, Action::Send(_, Message::Keepalive)));
        for action in actions {
            match action {
                Action::Connect => {
                    let neighbor = self.neighbor.clone();
                    self.attempt = Some(Box::pin(async move { dial::connect(&neighbor).await }));
                }
                Action::Adopt => self.incoming = accepted.take(),
                Action::Refuse => drop(accepted.take()),
                Action::Send(side, message) => {
                    if let Some(connection) = self.connection(side) {
                        connection.send(&message);
                    }
                }
                Action::Close(side) => self.close(side),
                Action::Up(agreed) => self.up(&agreed),
                Action::Down(why) => self.down(why),
            }
        }
        if told {
            self.announced = [0; 2];
            for prefix in self.machine.outbox().told().keys() {
                let [v4, v6] = &mut self.announced;
                *(if prefix.family() == Family::Ipv4 { v4 } else { v6 }) += 1;
            }
        }
    }

    fn close(&mut self, side: Side) {
        if side == Side::Outgoing {
            self.attempt = None;
        }
        if let Some(connection) = self.connection(side).take() {
            self.farewells.spawn(connection.farewell());
        }
    }

    fn up(&mut self, agreed: &bgp::Negotiated) {
        let side = self.established();
        if let Some(connection) = self.connection(side) {
            connection.widen(agreed.four_octet_as);
        }
        self.ups += 1;
        self.logged = None;
        tracing::info!(
            neighbor = self.neighbor.name,
            address = %self.neighbor.address,
            peer_id = %agreed.peer_id,
            hold = ?agreed.hold,
            families = ?agreed.families,
            "BGP session established"
        );
        for family in &agreed.lacking {
            tracing::warn!(
                neighbor = self.neighbor.name,
                family = family.as_str(),
                "the neighbor does not speak this family: none of its routes is told"
            );
        }
    }

    fn down(&mut self, why: Down) {
        let (name, address) = (&self.neighbor.name, self.neighbor.address);
        let unseen = if why == Down::Unanswered { self.unseen() } else { "" };
        self.last_error = Some(format!("{why}{unseen}"));
        if self.state.0 == State::Established {
            self.downs += 1;
            tracing::warn!(neighbor = name, %address, %why, "BGP session down");
        } else if self.logged.as_ref() != Some(&why) {
            tracing::info!(neighbor = name, %address, %why, "no BGP session");
            self.logged = Some(why);
        }
    }

    /// What the kernel drops before anybody here sees it.
    const fn unseen(&self) -> &'static str {
        let secured = matches!(self.neighbor.distance, Distance::Secured(_));
        match (self.neighbor.key.is_some(), secured) {
            (true, false) => {
                "; compare the keys at both ends: what is signed with another one (TCP-MD5) is dropped unseen"
            }
            (false, true) => {
                "; see whether it does GTSM as well: what does not come with 255 hops is dropped unseen"
            }
            (true, true) => {
                "; compare the keys at both ends, and see whether it does GTSM as well: what is signed with another key (TCP-MD5) or does \
                 not come with 255 hops is dropped unseen"
            }
            (false, false) => "",
        }
    }

    fn connection(&mut self, side: Side) -> &mut Option<Connection> {
        match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        }
    }

    fn established(&self) -> Side {
        let incoming = self.machine.state_of(Side::Incoming) == State::Established;
        if incoming { Side::Incoming } else { Side::Outgoing }
    }

    fn write_down(&mut self) {
        let state = self.machine.state();
        if state != self.state.0 {
            self.state = (state, self.clock.now());
        }
        let side = self.established();
        let note = board::Neighbor {
            address: self.neighbor.address,
            peer_as: self.neighbor.peer_as,
            state,
            since: self.state.1,
            session: self.machine.negotiated().map(|agreed| board::session(agreed, side)),
            ups: self.ups,
            downs: self.downs,
            received: self.machine.received(),
            announced: self.announced,
            last_error: self.last_error.clone(),
            unseen: self.unseen(),
        };
        self.board.set_neighbor(&self.neighbor.name, note);
    }
}

async fn next_of(connection: &mut Option<Connection>) -> Heard {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

async fn result_of(attempt: &mut Option<Attempt>) -> io::Result<TcpStream> {
    match attempt {
        Some(attempt) => attempt.await,
        None => std::future::pending().await,
    }
}
