//! A neighbor: two sessions of which one stays, the pauses between tries, and what the neighbor was told.

use std::net::IpAddr;
use std::time::Duration;

use super::Settings;
use super::advert::Adverts;
use super::event::{Action, Down, Event, Received};
use super::message::{Family, Message, Update};
use super::negotiate::{Negotiated, survivor};
use super::notification::Notification;
use super::outbox::Outbox;
use super::pauses::{GOOD_AFTER, Pauses};
use super::session::{Input, Session, Side, State, Step};
use crate::time::Moment;

/// An attempt to connect is given up after this: by then the second repetition of a SYN has had its answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The machine for one neighbor.
#[derive(Debug, Clone)]
pub struct Neighbor {
    settings: Settings,
    running: bool,
    outgoing: Session,
    incoming: Session,
    /// The addresses at our end, for next hops.
    local: [Option<IpAddr>; 2],
    /// The next try, or the end of the pause.
    retry: Option<Moment>,
    pauses: Pauses,
    /// The neighbor chokes on capabilities: the next `OPEN` has none.
    plain: bool,
    up_since: Option<Moment>,
    adverts: Adverts,
    outbox: Outbox,
    /// Families that are to be repeated when the last messages are on their way: a flood of requests makes no flood of answers.
    refresh: Vec<Family>,
    received: Received,
    last: Option<Down>,
}

impl Neighbor {
    /// A neighbor that was not started. `seed`: any number, another one for each neighbor; pauses vary by it.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            running: false,
            outgoing: Session::default(),
            incoming: Session::default(),
            local: [None; 2],
            retry: None,
            pauses: Pauses::new(seed),
            plain: false,
            up_since: None,
            adverts: Adverts::default(),
            outbox: Outbox::default(),
            refresh: Vec::new(),
            received: Received::default(),
            last: None,
        }
    }

    /// As configured.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The state of the session that is further.
    pub fn state(&self) -> State {
        self.outgoing.state.max(self.incoming.state)
    }

    /// The state of each connection.
    pub const fn state_of(&self, side: Side) -> State {
        self.session(side).state
    }

    /// What both ends can do, once established.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.established().and_then(|side| self.session(side).negotiated.as_ref())
    }

    /// Since when it is established.
    pub const fn up_since(&self) -> Option<Moment> {
        self.up_since
    }

    /// What the neighbor was told.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What came.
    pub const fn received(&self) -> Received {
        self.received
    }

    /// Why the last session or attempt ended.
    pub const fn last_down(&self) -> Option<&Down> {
        self.last.as_ref()
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        [self.retry, self.outgoing.deadline(), self.incoming.deadline()].into_iter().flatten().min()
    }

    /// This and nothing else is to be announced, from now on and in every session to come.
    pub fn set(&mut self, adverts: Adverts, now: Moment) -> Vec<Action> {
        self.adverts = adverts;
        let mut actions = Vec::new();
        if let Some(side) = self.established() {
            let updates = self.changes(side);
            self.send(side, updates, now, &mut actions);
        }
        actions
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Start if self.running => {}
            Event::Start => {
                self.running = true;
                self.pauses.succeeded();
                self.plain = false;
                self.begin(now, &mut actions);
            }
            Event::Stop(why) => {
                self.running = false;
                self.stop(&why, now, &mut actions);
                self.retry = None;
            }
            Event::Reset(why) if self.running => {
                self.retry = None;
                self.stop(&why, now, &mut actions);
                if self.retry.is_none() {
                    self.failed(now);
                }
            }
            Event::Reset(_) => {}
            Event::Connected(local) if self.outgoing.state == State::Connect => {
                self.local = [Some(local), self.local[1]];
                self.retry = None;
                self.step(Side::Outgoing, Input::Connected, now, &mut actions);
            }
            Event::Unconnected(why) if self.outgoing.state == State::Connect => {
                self.unconnected(Down::Unconnected(why), now, &mut actions);
            }
            Event::Closed(Side::Outgoing) if self.outgoing.state == State::Connect => {
                self.unconnected(Down::Closed, now, &mut actions);
            }
            // Late: the attempt was given up.
            Event::Connected(_) | Event::Unconnected(_) => {}
            Event::Accepted(local) => self.accept(local, now, &mut actions),
            Event::Closed(side) => self.step(side, Input::Closed, now, &mut actions),
            Event::GivenUp(side, why) => self.step(side, Input::GivenUp(why), now, &mut actions),
            Event::Received(side, message) => self.receive(side, message, now, &mut actions),
            Event::Malformed(side, answer) => self.step(side, Input::Malformed(answer), now, &mut actions),
            Event::Unread(side) => {
                self.received.unread += 1;
                self.step(side, Input::Unread, now, &mut actions);
            }
            Event::Wrote { side, drained } => {
                self.step(side, Input::Wrote(drained), now, &mut actions);
                self.repeat(now, &mut actions);
            }
            Event::Tick => {
                for side in self.spare_first() {
                    self.step(side, Input::Tick, now, &mut actions);
                }
                if self.retry.is_some_and(|at| at <= now) {
                    self.begin(now, &mut actions);
                }
            }
        }
        actions
    }

    const fn session(&self, side: Side) -> &Session {
        match side {
            Side::Outgoing => &self.outgoing,
            Side::Incoming => &self.incoming,
        }
    }

    fn established(&self) -> Option<Side> {
        [Side::Outgoing, Side::Incoming]
            .into_iter()
            .find(|side| self.session(*side).state == State::Established)
    }

    /// Both sides, so that what happens to both ends the session last: the end of a spare connection is no news while there is one.
    fn spare_first(&self) -> [Side; 2] {
        let last = self.established().unwrap_or(Side::Incoming);
        [last.other(), last]
    }

    /// Listens, and connects where that is our part.
    fn begin(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.retry = None;
        if !self.running || self.established().is_some() {
            return;
        }
        if self.outgoing.state == State::Connect && !self.incoming.state.is_connected() {
            // Whoever is kept out by a key or a packet filter would otherwise never learn that anything is wrong.
            actions.push(Action::Down(Down::Unanswered));
            self.last = Some(Down::Unanswered);
        }
        self.step(Side::Incoming, Input::Listen, now, actions);
        if !self.settings.passive && !self.outgoing.state.is_connected() {
            self.step(Side::Outgoing, Input::Start, now, actions);
            actions.push(Action::Connect);
            self.retry = Some(now.after(CONNECT_LIMIT));
        }
    }

    fn unconnected(&mut self, down: Down, now: Moment, actions: &mut Vec<Action>) {
        self.step(Side::Outgoing, Input::Closed, now, actions);
        actions.push(Action::Down(down.clone()));
        self.last = Some(down);
        self.failed(now);
    }

    fn stop(&mut self, why: &Notification, now: Moment, actions: &mut Vec<Action>) {
        for side in self.spare_first() {
            self.step(side, Input::Stop(why.clone()), now, actions);
        }
    }

    fn accept(&mut self, local: IpAddr, now: Moment, actions: &mut Vec<Action>) {
        match self.incoming.state {
            State::Active => {}
            // The neighbor has forgotten the connection before: it would not open another one.
            State::OpenSent if self.established().is_none() => {
                self.step(Side::Incoming, Input::collision(), now, actions);
                self.incoming.state = State::Active;
            }
            _ => return actions.push(Action::Refuse),
        }
        self.local = [self.local[0], Some(local)];
        actions.push(Action::Adopt);
        self.step(Side::Incoming, Input::Connected, now, actions);
    }

    fn receive(&mut self, side: Side, message: Message, now: Moment, actions: &mut Vec<Action>) {
        self.received.messages += 1;
        match &message {
            Message::Update(update) => {
                self.received.withdrawn += update.withdrawn.len() as u64;
                self.received.announced += update.announced.as_ref().map_or(0, |(_, all)| all.len() as u64);
            }
            Message::RouteRefresh(Some(family))
                if self.session(side).state == State::Established && !self.refresh.contains(family) =>
            {
                self.refresh.push(*family);
            }
            _ => {}
        }
        self.step(side, Input::Message(message), now, actions);
        self.repeat(now, actions);
    }

    /// Feeds one session, and does what spans both.
    fn step(&mut self, side: Side, input: Input, now: Moment, actions: &mut Vec<Action>) {
        let jitter = self.pauses.jitter();
        let Session { state: before, plain, .. } = *self.session(side);
        let session = match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        };
        let Step { send, close, down } = session.step(input, &self.settings, self.plain, jitter, now);
        let state = session.state;
        let opened = before != state && state == State::OpenConfirm;
        let loser = if opened { self.loser(side) } else { None };
        if loser == Some(side) {
            // Before it is confirmed: the other end might take a KEEPALIVE for the last word.
            return self.step(side, Input::collision(), now, actions);
        }
        actions.extend(send.into_iter().map(|message| Action::Send(side, message)));
        if close {
            actions.push(Action::Close(side));
        }
        if let Some(down) = down {
            self.meet(plain, &down);
            self.ended(side, before, down, now, actions);
        } else if let Some(loser) = loser {
            self.step(loser, Input::collision(), now, actions);
        } else if before != state && state == State::Established {
            self.rise(side, now, actions);
        }
    }

    /// Their `OPEN` came on this side: is there another connection, and which one has to go (RFC 4271 §6.8)?
    fn loser(&self, side: Side) -> Option<Side> {
        let agreed = self.session(side).negotiated.as_ref()?;
        match self.session(side.other()).state {
            State::Established => Some(side),
            State::OpenConfirm => Some(survivor(&self.settings, agreed.peer_id).other()),
            _ => None,
        }
    }

    fn rise(&mut self, side: Side, now: Moment, actions: &mut Vec<Action>) {
        // One that waits for its OPEN may be the one that the other end decides for.
        if !self.session(side.other()).state.is_connected() {
            self.step(side.other(), Input::collision(), now, actions);
        }
        self.retry = None;
        self.up_since = Some(now);
        self.refresh.clear();
        self.outbox.clear();
        let Some(agreed) = self.session(side).negotiated.clone() else { return };
        let families = agreed.families.clone();
        actions.push(Action::Up(agreed));
        let mut updates = self.changes(side);
        updates.extend(families.into_iter().map(Update::end_of_rib));
        self.send(side, updates, now, actions);
    }

    /// How the neighbor is to be met next, after a connection on which our `OPEN` was `plain` ended for this reason: without
    /// capabilities once, where that can be, after it said that it does not know them. One such word, which may have been said while it
    /// was restarted, is no reason to do without them for ever.
    fn meet(&mut self, plain: bool, down: &Down) {
        let possible =
            self.settings.families.contains(&Family::Ipv4) && u16::try_from(self.settings.local_as).is_ok();
        if plain {
            self.plain = false;
        } else if matches!(down, Down::Heard(why) if why.is_unsupported_parameter()) {
            self.plain = possible;
        }
    }

    fn ended(&mut self, side: Side, before: State, down: Down, now: Moment, actions: &mut Vec<Action>) {
        if before == State::Established {
            let lasted = self.up_since.take().map(|since| now.since(since));
            if lasted.is_some_and(|lasted| lasted >= GOOD_AFTER) {
                self.pauses.succeeded();
            }
            self.outbox.clear();
            self.refresh.clear();
        }
        let quarrel = down.is_quarrel();
        let collision =
            matches!(&down, Down::Collision) || matches!(&down, Down::Heard(why) if why.is_collision());
        // The end of a session is told whatever the reason: the other end may keep a connection that we do not have.
        if before == State::Established || !collision && self.established().is_none() {
            actions.push(Action::Down(down.clone()));
            self.last = Some(down);
        }
        if !self.running || self.session(side.other()).state.is_connected() {
            return;
        }
        if quarrel {
            // Refuses connections as well until the pause is over.
            self.step(side.other(), Input::Stop(Notification::new(6, 0)), now, actions);
        } else {
            self.step(Side::Incoming, Input::Listen, now, actions);
            if self.outgoing.state == State::Connect {
                return;
            }
        }
        self.failed(now);
    }

    /// The next try after a pause.
    fn failed(&mut self, now: Moment) {
        let pause = self.pauses.failed(self.settings.first_pause, self.settings.longest_pause);
        self.retry = Some(now.after(pause));
    }

    fn changes(&mut self, side: Side) -> Vec<Update> {
        let families = self.session(side).negotiated.as_ref().map_or(&[][..], |agreed| &agreed.families);
        let local = match side {
            Side::Outgoing => self.local[0],
            Side::Incoming => self.local[1],
        };
        let hops = self.settings.next_hop.or_own(local);
        let wanted = self.adverts.resolve(&self.settings, families, hops);
        self.outbox.set(wanted)
    }

    fn repeat(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(side) = self.established().filter(|side| self.session(*side).is_drained()) else { return };
        let updates: Vec<_> = std::mem::take(&mut self.refresh)
            .into_iter()
            .flat_map(|family| self.outbox.repeat(family))
            .collect();
        self.send(side, updates, now, actions);
    }

    fn send(&mut self, side: Side, updates: Vec<Update>, now: Moment, actions: &mut Vec<Action>) {
        if updates.is_empty() {
            return;
        }
        match side {
            Side::Outgoing => self.outgoing.send(now),
            Side::Incoming => self.incoming.send(now),
        }
        actions.extend(updates.into_iter().map(|update| Action::Send(side, Message::Update(update))));
    }
}
