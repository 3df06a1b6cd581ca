//! The clients themselves: all connections on one thread over one poller, because in a kernel with one processor
//! hundreds of threads would measure themselves.
//!
//! A *place* holds one connection after the other. Most places read or write a piece after a pause that chance decides,
//! and watch the socket only where there was nothing to read; a reset is seen at once all the same, for errors are
//! always reported. A few more places are *probes*: short connections at fixed times, each over before its place's next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use rustix::event::{Timespec, epoll};

use super::connection::{Connection, Turn};
use super::conversation::Conversation;
use super::dice::Dice;
use super::line::{Line, Order};
use super::orders::Orders;
use super::tally::{Gauges, Tally};
use super::timeline::{Break, Timeline};
use super::{Outcome, Plan};

/// Bytes of a probe's body.
const PROBE_BYTES: u64 = 1024;
/// Ports of clients: below those that Linux gives to whoever asks for none there are not enough.
const FIRST_PORT: u16 = 16_000;
const PORTS: u64 = 44_000;
/// A connection on which the client has waited for this long is silent.
const SILENCE_MS: u64 = 2000;
/// Longest upload, in pieces; the number is drawn with `end_chance`.
const MOST_PIECES: u64 = 1000;
const EVENTS: usize = 256;
const WOKEN: u64 = u64::MAX;

/// Runs the plan to its end, or until an order to stop.
///
/// # Errors
/// The plan cannot be carried out, or the poller cannot be had.
pub(super) fn run(plan: Plan, orders: Orders, tell: &mut dyn FnMut(&Line)) -> Result<Timeline> {
    plan.check()?;
    let crowd = Crowd::new(plan)?;
    epoll::add(&crowd.poller, &orders.woken, epoll::EventData::new_u64(WOKEN), EventFlags::IN)?;
    tell(&Line::Started(crowd.plan.connections));
    crowd.go(orders, tell)
}

struct Crowd {
    plan: Plan,
    /// Destinations with the sources that can reach them.
    ways: Vec<(SocketAddr, Vec<IpAddr>)>,
    started: Instant,
    poller: OwnedFd,
    places: Vec<Place>,
    /// When places are due, earliest first. An entry that is not its place's `due_ms` any more is void.
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    tally: Tally,
    piece: Vec<u8>,
    out: Vec<u8>,
}

struct Place {
    dice: Dice,
    connection: Option<Connection>,
    /// Counts connections, so that an event of an earlier one is known for what it is.
    generation: u32,
    due_ms: u64,
    /// The last connection failed and no other is established yet.
    broken: bool,
    /// This download goes on to its last byte.
    steady: bool,
    /// For a probe: its next number, and how many numbers a turn of all probe places takes.
    probe: Option<(u64, u64)>,
}

impl Place {
    /// Never nothing: a place that is due again at once would keep all others from their turns.
    fn pause(&mut self, plan: &Plan) -> u64 {
        1 + self.dice.below(plan.interval_ms)
    }
}

impl Crowd {
    fn new(plan: Plan) -> Result<Self> {
        for source in &plan.sources {
            std::net::TcpListener::bind((*source, 0)).with_context(|| {
                format!("clients: {source} is no address here; `ip address` lists those that are")
            })?;
        }
        let ways = plan.destinations.iter().map(|to| (*to, plan.sources_for(to))).collect();
        // A probe has ended after `connect_ms`, so with this many places each is free when its turn comes.
        let probes = plan.connect_ms.checked_div(plan.probe_every_ms).map_or(0, |number| number + 2);
        let place = |player: u64, probe| Place {
            dice: Dice::new(plan.seed, player),
            connection: None,
            generation: 0,
            due_ms: 0,
            broken: false,
            steady: false,
            probe,
        };
        let mut places: Vec<Place> = (0..plan.connections as u64).map(|player| place(player, None)).collect();
        places.extend((0..probes).map(|number| place(u64::MAX - number, Some((number, probes)))));
        let mut crowd = Self {
            ways,
            started: Instant::now(),
            poller: epoll::create(epoll::CreateFlags::CLOEXEC).context("clients: no poller")?,
            places,
            timers: BinaryHeap::new(),
            tally: Tally::new(plan.clone()),
            piece: vec![0; plan.piece_bytes],
            out: Vec::new(),
            plan,
        };
        for index in 0..crowd.places.len() {
            let share = (crowd.plan.ramp_ms * index as u64).checked_div(crowd.plan.connections as u64);
            // Probes come behind the others, and have times of their own.
            let begins = share.filter(|_| index < crowd.plan.connections).unwrap_or_default();
            crowd.rest(index, begins);
        }
        Ok(crowd)
    }

    fn go(mut self, mut orders: Orders, tell: &mut dyn FnMut(&Line)) -> Result<Timeline> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let now = self.now();
            while self.tally.second_ends_ms() <= now {
                let gauges = self.gauges(now);
                tell(&Line::Second(self.tally.second_over(gauges)));
            }
            let enough = self.plan.ends_after.is_some_and(|number| self.tally.ends() >= number);
            if enough || self.plan.for_ms.is_some_and(|length| now >= length) {
                break;
            }
            self.due(now);
            events.clear();
            match epoll::wait(&self.poller, rustix::buffer::spare_capacity(&mut events), Some(&self.pause()))
            {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("clients: the poller failed"),
            }
            let now = self.now();
            let mut stop = false;
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if token != WOKEN {
                    self.ready(token, flags, now);
                    continue;
                }
                for order in orders.taken() {
                    match order {
                        Order::Mark(label) => {
                            let open = self.gauges(now).open;
                            tell(&Line::Marked(self.tally.mark(now, label, open)));
                        }
                        Order::Stop => stop = true,
                    }
                }
            }
            if stop {
                break;
            }
        }
        let now = self.now();
        let gauges = self.gauges(now);
        Ok(self.tally.finished(now, gauges.open, gauges))
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// How long there is nothing to do.
    fn pause(&self) -> Timespec {
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        let next =
            [timer, self.plan.for_ms].into_iter().flatten().fold(self.tally.second_ends_ms(), u64::min);
        let millis = next.saturating_sub(self.now());
        Timespec { tv_sec: (millis / 1000) as i64, tv_nsec: ((millis % 1000) * 1_000_000) as i64 }
    }

    fn gauges(&self, now: u64) -> Gauges {
        let mut gauges = Gauges::default();
        for place in self.places.iter().filter(|place| place.probe.is_none()) {
            gauges.broken_now += u64::from(place.broken);
            if let Some(connection) = place.connection.as_ref().filter(|connection| connection.counted) {
                gauges.open += 1;
                let silent = connection.waits && now.saturating_sub(connection.moved_ms) > SILENCE_MS;
                gauges.silent += u64::from(silent);
            }
        }
        gauges
    }

    /// Lets every place that is due do what it waited for.
    fn due(&mut self, now: u64) {
        while let Some(Reverse((due, index))) =
            self.timers.peek().copied().filter(|Reverse((due, _))| *due <= now)
        {
            self.timers.pop();
            let Some(place) = self.places.get(index).filter(|place| place.due_ms == due) else { continue };
            let Some(connection) = &place.connection else {
                self.begin(index, now);
                continue;
            };
            if !connection.connected {
                self.end(index, Outcome::ConnectTimeout, now);
            } else if place.probe.is_some() {
                self.end(index, Outcome::Stalled, now);
            } else if connection.waits {
                let patience_ends = connection.moved_ms + self.plan.stall_ms;
                if patience_ends <= now {
                    self.end(index, Outcome::Stalled, now);
                } else {
                    self.schedule(index, patience_ends);
                }
            } else {
                self.turn(index, now);
            }
        }
    }

    fn schedule(&mut self, index: usize, at_ms: u64) {
        if let Some(place) = self.places.get_mut(index) {
            place.due_ms = at_ms;
            self.timers.push(Reverse((at_ms, index)));
        }
    }

    /// The place has no connection; its next begins after a pause, a probe's at its time.
    fn rest(&mut self, index: usize, now: u64) {
        let Some(place) = self.places.get_mut(index) else { return };
        let at = match &mut place.probe {
            None => now + place.pause(&self.plan),
            Some((number, all)) => {
                while *number * self.plan.probe_every_ms < now {
                    *number += *all;
                }
                *number * self.plan.probe_every_ms
            }
        };
        self.schedule(index, at);
    }

    fn begin(&mut self, index: usize, now: u64) {
        let Some(place) = self.places.get_mut(index) else { return };
        let dice = &mut place.dice;
        let way = match &mut place.probe {
            None => dice.pick(&self.ways),
            Some((number, all)) => {
                let turn = *number % self.ways.len().max(1) as u64;
                *number += *all;
                self.ways.get(turn as usize)
            }
        };
        let Some((destination, sources)) = way else { return };
        let Some(source) = dice.pick(sources) else { return };
        // Where a balancer sends a connection hangs on it, so it is drawn as well: two stacks are asked the same.
        let source = SocketAddr::new(*source, FIRST_PORT + dice.below(PORTS) as u16);
        let seed = dice.number();
        place.steady = dice.chance(self.plan.steady_share);
        let upload =
            dice.chance(self.plan.uploads_share) && (destination.is_ipv4() || self.plan.ipv6_uploads);
        let talk = if place.probe.is_some() {
            Conversation::download(*destination, seed, PROBE_BYTES)
        } else if upload {
            let pieces =
                1 + (1..MOST_PIECES).take_while(|_| !dice.chance(self.plan.end_chance)).count() as u64;
            let size = (pieces * self.plan.piece_bytes as u64).min(self.plan.body_bytes);
            Conversation::upload(*destination, seed, size)
        } else {
            Conversation::download(*destination, seed, self.plan.body_bytes)
        };
        place.generation = place.generation.wrapping_add(1);
        let token = (u64::from(place.generation) << 32) | index as u64;
        let begun = Connection::begin(source, *destination, talk, now).and_then(|connection| {
            let data = epoll::EventData::new_u64(token);
            epoll::add(&self.poller, connection.stream(), data, connection.watched)
                .map_err(|_error| Outcome::Local)
                .map(|()| connection)
        });
        match begun {
            Ok(connection) => {
                place.connection = Some(connection);
                self.schedule(index, now + self.plan.connect_ms);
            }
            Err(outcome) => {
                place.broken = true;
                self.tally.failed(now, *destination, outcome);
                self.rest(index, now);
            }
        }
    }

    /// The poller has something for a connection.
    fn ready(&mut self, token: u64, flags: EventFlags, now: u64) {
        let index = (token & u64::from(u32::MAX)) as usize;
        let Some(place) =
            self.places.get_mut(index).filter(|place| u64::from(place.generation) == token >> 32)
        else {
            return;
        };
        let Some(connection) = &mut place.connection else { return };
        if !connection.connected {
            match connection.handshake_over(now) {
                Some(outcome) => self.end(index, outcome, now),
                None => self.turn(index, now),
            }
        } else if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            let outcome = connection.erred(&mut self.piece);
            self.end(index, outcome, now);
        } else if connection.talk.is_upload() && flags.contains(EventFlags::IN) {
            // An answer while the body is still going out is an error's, and ends the upload.
            match connection.read(&mut self.piece) {
                Turn::Ended(outcome) => self.end(index, outcome, now),
                Turn::Moved(down, _) => {
                    connection.moved_ms = now;
                    self.tally.moved(down, 0);
                }
                Turn::Blocked => {}
            }
        } else if flags.contains(EventFlags::RDHUP) && connection.counted {
            self.read_on(index, now);
        } else if connection.waits {
            self.turn(index, now);
        }
    }

    /// The peer has closed: reads what is left without a pause, so that an early end counts when it happened.
    fn read_on(&mut self, index: usize, now: u64) {
        let Some(connection) = self.places.get_mut(index).and_then(|place| place.connection.as_mut()) else {
            return;
        };
        loop {
            match connection.read(&mut self.piece) {
                Turn::Moved(down, _) => {
                    connection.moved_ms = now;
                    self.tally.moved(down, 0);
                }
                Turn::Blocked => return,
                Turn::Ended(outcome) => return self.end(index, outcome, now),
            }
        }
    }

    /// The place reads or writes a piece and decides how it goes on.
    fn turn(&mut self, index: usize, now: u64) {
        loop {
            let Some(place) = self.places.get_mut(index) else { return };
            let Some(connection) = &mut place.connection else { return };
            let turn = connection.turn(&mut self.piece, &mut self.out, now);
            if !connection.counted && place.probe.is_none() && connection.talk.is_established() {
                connection.counted = true;
                place.broken = false;
                self.tally.established(connection.began_ms);
                if let Some((_, Some(server))) = connection.talk.answered() {
                    self.tally.served_by(server);
                }
            }
            let sends = connection.talk.has_to_send();
            match turn {
                Turn::Ended(outcome) => return self.end(index, outcome, now),
                Turn::Blocked => {
                    let stalls = connection.moved_ms + self.plan.stall_ms;
                    self.watch(index, if sends { EventFlags::OUT } else { EventFlags::IN });
                    // A probe's limit is set already.
                    if self.places.get(index).is_some_and(|place| place.probe.is_none()) {
                        self.schedule(index, stalls);
                    }
                    return;
                }
                Turn::Moved(down, up) => {
                    self.tally.moved(down, up);
                    if place.probe.is_some() || !connection.counted {
                        // Probes do not dawdle, nor does anybody before the answer has begun.
                        continue;
                    }
                    let enough = !connection.talk.is_upload()
                        && !place.steady
                        && place.dice.chance(self.plan.end_chance);
                    if enough {
                        return self.end(index, Outcome::Ok, now);
                    }
                    let pause = place.pause(&self.plan);
                    self.watch(index, EventFlags::empty());
                    return self.schedule(index, now + pause);
                }
            }
        }
    }

    /// Watches for this, and for an upload's answer or the end of a download.
    fn watch(&mut self, index: usize, mut flags: EventFlags) {
        let Some(place) = self.places.get_mut(index) else { return };
        let Some(connection) = &mut place.connection else { return };
        flags |= if connection.talk.is_upload() { EventFlags::IN } else { EventFlags::RDHUP };
        if connection.watched != flags {
            let token = (u64::from(place.generation) << 32) | index as u64;
            let data = epoll::EventData::new_u64(token);
            // It was added, so this cannot fail; if it did, the connection would show as stalled.
            let _ = epoll::modify(&self.poller, connection.stream(), data, flags);
            connection.watched = flags;
        }
    }

    /// The connection is over: counts it, closes it, and lets the place rest.
    fn end(&mut self, index: usize, outcome: Outcome, now: u64) {
        let Some(place) = self.places.get_mut(index) else { return };
        let Some(connection) = place.connection.take() else { return };
        place.broken = outcome != Outcome::Ok;
        if let Some((status, _)) = connection.talk.answered().filter(|_| outcome == Outcome::WrongStatus) {
            self.tally.status(status);
        }
        if outcome == Outcome::Ok {
            if !connection.counted {
                self.tally.established(connection.began_ms);
            }
            self.tally.ended_well(connection.destination);
        } else if connection.counted {
            self.tally.broke(Break {
                at_ms: now,
                last_ms: connection.moved_ms,
                began_ms: connection.began_ms,
                outcome,
                source: connection.source,
                destination: connection.destination,
                bytes: connection.talk.moved(),
                upload: connection.talk.is_upload(),
            });
        } else {
            self.tally.failed(connection.began_ms, connection.destination, outcome);
        }
        drop(connection);
        self.rest(index, now);
    }
}

#[cfg(test)]
mod tests;
