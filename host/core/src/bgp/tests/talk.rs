//! Two neighbors and two connections between them, as queues. What a socket would do is all that this does.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::time::Moment;

/// Something on its way.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a queue of a test")]
enum Parcel {
    /// A SYN.
    Connect,
    /// Its answer.
    Connected,
    /// The other answer.
    Refused,
    Message(Message),
    Closed,
}

/// Each end's neighbor is the other end. A connection is named by the end that opened it.
struct World {
    ends: [Neighbor; 2],
    /// To each end, on each connection, in order. Connections do not wait for each other.
    queues: [[VecDeque<Parcel>; 2]; 2],
    /// Per connection and end: whether it is open there.
    open: [[bool; 2]; 2],
    now: Moment,
    log: [Vec<Action>; 2],
}

impl World {
    fn new(a: Settings, b: Settings) -> Self {
        Self {
            ends: [Neighbor::new(a, 1), Neighbor::new(b, 2)],
            queues: Default::default(),
            open: Default::default(),
            now: Moment::from_micros(1_000_000),
            log: Default::default(),
        }
    }

    fn pair() -> Self {
        Self::new(settings(1), settings(2))
    }

    fn event(&mut self, end: usize, event: Event) {
        let actions = self.ends[end].handle(event, self.now);
        self.carry(end, actions);
    }

    fn set(&mut self, end: usize, adverts: impl IntoIterator<Item = Advert>) {
        let actions = self.ends[end].set(Adverts::new(adverts).unwrap(), self.now);
        self.carry(end, actions);
    }

    fn carry(&mut self, end: usize, actions: Vec<Action>) {
        let other = 1 - end;
        let name = |side| if side == Side::Outgoing { end } else { other };
        for action in actions {
            self.log[end].push(action.clone());
            match action {
                Action::Connect => self.queues[other][end].push_back(Parcel::Connect),
                // `Accepted` is answered where it is asked.
                Action::Adopt => {
                    self.open[other][end] = true;
                    self.queues[other][other].push_back(Parcel::Connected);
                }
                Action::Refuse => self.queues[other][other].push_back(Parcel::Refused),
                Action::Send(side, message) => {
                    assert!(self.open[name(side)][end], "{message:?} on a connection that is not there");
                    self.queues[other][name(side)].push_back(Parcel::Message(message));
                    self.event(end, Event::Wrote { side, drained: true });
                }
                Action::Close(side) => {
                    self.open[name(side)][end] = false;
                    self.queues[other][name(side)].push_back(Parcel::Closed);
                }
                Action::Up(_) | Action::Down(_) => {}
            }
        }
    }

    /// Delivers one parcel to this end.
    fn deliver(&mut self, end: usize, connection: usize) -> bool {
        let Some(parcel) = self.queues[end][connection].pop_front() else { return false };
        let side = if connection == end { Side::Outgoing } else { Side::Incoming };
        let open = self.open[connection][end];
        match parcel {
            Parcel::Connect => self.event(end, Event::Accepted(local(end as u8 + 1))),
            Parcel::Connected => {
                self.open[end][end] = true;
                self.event(end, Event::Connected(local(end as u8 + 1)));
            }
            Parcel::Refused => self.event(end, Event::Unconnected("refused".to_owned())),
            Parcel::Message(message) if open => self.event(end, Event::Received(side, message)),
            Parcel::Closed if open => {
                self.open[connection][end] = false;
                self.event(end, Event::Closed(side));
            }
            Parcel::Message(_) | Parcel::Closed => {}
        }
        true
    }

    /// Delivers until all is quiet, in an order that `random` chooses.
    fn settle(&mut self, random: &mut Random) {
        for _ in 0..100_000 {
            let first = random.below(4) as usize;
            if !(0..4).map(|n| (first + n) % 4).any(|n| self.deliver(n / 2, n % 2)) {
                return;
            }
        }
        unreachable!("the two never stop talking");
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, time: Duration, random: &mut Random) {
        let end = self.now.after(time);
        self.settle(random);
        loop {
            let next = self.ends.iter().filter_map(Neighbor::deadline).min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            assert!(next > self.now, "a deadline that is over");
            self.now = next;
            for one in 0..2 {
                self.event(one, Event::Tick);
            }
            self.settle(random);
        }
        self.now = end;
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }

    fn up(&self) -> bool {
        self.states() == [State::Established; 2]
    }

    fn updates(&self, end: usize) -> Vec<&Update> {
        let updates = self.log[end].iter().filter_map(|action| match action {
            Action::Send(_, Message::Update(update)) => Some(update),
            _ => None,
        });
        updates.collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn both_connect_at_once_and_one_session_stays_whatever_the_order() {
    let mut at_once = 0;
    for seed in 1..=500 {
        let mut random = Random(seed);
        let mut world = World::pair();
        world.event(0, Event::Start);
        world.event(1, Event::Start);
        world.settle(&mut random);
        at_once += u32::from(world.up());
        // The ends may come to see it differently, each rightly (RFC 4271 leaves that open); then it takes another try.
        world.pass(5 * SECOND, &mut random);
        assert!(world.up(), "seed {seed}: {:?}", world.states());
        for end in 0..2 {
            let sides = [Side::Outgoing, Side::Incoming].map(|side| world.ends[end].state_of(side));
            assert!(sides.contains(&State::Idle), "seed {seed}: {sides:?}");
        }
        let other = world.ends[1].state_of(Side::Incoming);
        assert_eq!(world.ends[0].state_of(Side::Outgoing), other, "seed {seed}: not the same connection");
    }
    assert!(at_once > 450, "only {at_once} of 500 at the first try");
}

#[test]
fn a_passive_end_waits_and_two_of_them_wait_for_ever() {
    let passive = |own| Settings { passive: true, ..settings(own) };
    let mut world = World::new(passive(1), settings(2));
    world.event(0, Event::Start);
    assert_eq!(world.states(), [State::Active, State::Idle]);
    world.pass(5 * SECOND, &mut Random(3));
    world.event(1, Event::Start);
    world.pass(SECOND, &mut Random(3));
    assert!(world.up());
    assert!(!world.log[0].contains(&Action::Connect));

    let mut world = World::new(passive(1), passive(2));
    world.event(0, Event::Start);
    world.event(1, Event::Start);
    world.pass(3600 * SECOND, &mut Random(3));
    assert_eq!(world.states(), [State::Active; 2]);
}

#[test]
fn routes_are_told_once_then_end_of_rib_then_only_what_changes() {
    let mut random = Random(4);
    let mut world = World::pair();
    world.set(0, [advert("198.51.100.1/32"), advert("2001:db8::1/128")]);
    assert!(world.log[0].is_empty(), "nobody to tell");
    world.event(0, Event::Start);
    world.event(1, Event::Start);
    world.pass(SECOND, &mut random);
    assert!(world.up());
    let updates = world.updates(0);
    assert_eq!(updates.len(), 4, "{updates:#?}");
    assert_eq!(updates[0].announced.as_ref().unwrap().0.next_hop.address, local(1));
    assert!(
        updates[2].is_end_of_rib() && updates[3].is_end_of_rib() && updates[2].family != updates[3].family
    );
    let received = world.ends[1].received();
    assert_eq!((received.announced, received.withdrawn), (2, 0));

    world.log[0].clear();
    world.set(0, [advert("198.51.100.1/32")]);
    assert_eq!(world.log[0].len(), 1);
    assert_eq!(world.updates(0)[0].withdrawn, [prefix("2001:db8::1/128")]);
    world.set(0, [advert("198.51.100.1/32")]);
    assert_eq!(world.log[0].len(), 1, "nothing changed");
}

#[test]
fn a_refresh_repeats_a_family_and_a_flood_of_them_waits_for_the_socket() {
    let mut world = World::pair();
    world.set(0, [advert("198.51.100.1/32"), advert("2001:db8::1/128")]);
    world.event(0, Event::Start);
    world.event(1, Event::Start);
    world.pass(SECOND, &mut Random(5));
    let side = if world.ends[0].state_of(Side::Outgoing) == State::Established {
        Side::Outgoing
    } else {
        Side::Incoming
    };
    let refresh = |family| Event::Received(side, Message::RouteRefresh(family));
    let now = world.now;
    let answer = world.ends[0].handle(refresh(Some(Family::Ipv6)), now);
    assert_eq!(answer.len(), 1);
    assert!(matches!(&answer[0], Action::Send(_, Message::Update(update)) if update.family == Family::Ipv6));
    for _ in 0..1000 {
        assert_eq!(
            world.ends[0].handle(refresh(Some(Family::Ipv6)), now),
            [],
            "the answer before is not sent yet"
        );
    }
    let answer = world.ends[0].handle(Event::Wrote { side, drained: true }, now);
    assert_eq!(answer.len(), 1);
    assert_eq!(world.ends[0].handle(refresh(None), now), []);
}

#[test]
fn a_session_lives_on_keepalives_alone_and_dies_of_silence() {
    let mut random = Random(6);
    let mut world = World::pair();
    world.event(0, Event::Start);
    world.event(1, Event::Start);
    world.pass(3600 * SECOND, &mut random);
    assert!(world.up());
    assert!(world.log[0].iter().all(|action| !matches!(action, Action::Down(_))));

    // The link is cut: nothing arrives any more.
    let start = world.now;
    while world.states().contains(&State::Established) {
        world.now = world.ends.iter().filter_map(Neighbor::deadline).min().unwrap();
        for end in 0..2 {
            world.event(end, Event::Tick);
        }
        world.queues = Default::default();
    }
    let silent = world.now.since(start);
    assert!((6 * SECOND..=9 * SECOND).contains(&silent), "{silent:?}");
    assert!(matches!(world.ends[0].last_down(), Some(Down::Sent(why)) if why.code == 4));
}

#[test]
fn a_shutdown_tells_why_and_the_other_end_can_still_be_reached_later() {
    let mut random = Random(7);
    let mut world = World::pair();
    world.set(0, [advert("198.51.100.1/32")]);
    world.event(0, Event::Start);
    world.event(1, Event::Start);
    world.pass(SECOND, &mut random);
    world.event(0, Event::Stop(Notification::cease_with(Cease::Shutdown, "kernel update, back at noon")));
    assert_eq!(world.ends[0].deadline(), None);
    world.pass(600 * SECOND, &mut random);
    assert_eq!(world.ends[0].state(), State::Idle);
    assert!(world.log[1].iter().any(|action| matches!(action,
        Action::Down(Down::Heard(why)) if why.text().as_deref() == Some("kernel update, back at noon"))));
    world.log[0].clear();
    world.event(0, Event::Start);
    world.pass(40 * SECOND, &mut random);
    assert!(world.up());
    assert_eq!(world.updates(0).len(), 3, "all is told again");
}

#[test]
fn a_broken_connection_is_back_within_seconds_and_a_quarrel_is_not_repeated_at_once() {
    let mut random = Random(8);
    let mut world = World::pair();
    world.event(0, Event::Start);
    world.event(1, Event::Start);
    world.pass(60 * SECOND, &mut random);
    for end in 0..2 {
        for side in [Side::Outgoing, Side::Incoming] {
            if world.ends[end].state_of(side).is_connected() {
                world.open[if side == Side::Outgoing { end } else { 1 - end }][end] = false;
                world.event(end, Event::Closed(side));
            }
        }
    }
    world.queues = Default::default();
    world.pass(2 * SECOND, &mut random);
    assert!(world.up());

    let mut world = World::new(settings(1), Settings { local_as: 65001, ..settings(2) });
    world.event(0, Event::Start);
    world.event(1, Event::Start);
    world.pass(600 * SECOND, &mut random);
    let tries = world.log[0].iter().filter(|action| **action == Action::Connect).count();
    assert!((10..60).contains(&tries), "{tries} tries in ten minutes");
    assert!(
        matches!(world.ends[0].last_down(), Some(Down::Disagreed(why, _) | Down::Heard(why)) if why.code == 2)
    );
}

#[test]
fn an_end_that_chokes_on_capabilities_is_met_without_them() {
    let mut old = Neighbor::new(settings(1), 1);
    let now = Moment::from_micros(1);
    old.handle(Event::Start, now);
    let first = old.handle(Event::Connected(local(1)), now);
    assert!(matches!(&first[0], Action::Send(_, Message::Open(open)) if !open.capabilities.is_empty()));
    let unsupported = Message::Notification(Notification::new(2, 4));
    old.handle(Event::Received(Side::Outgoing, unsupported), now);
    let now = old.deadline().unwrap();
    assert_eq!(old.handle(Event::Tick, now), [Action::Connect]);
    let second = old.handle(Event::Connected(local(1)), now);
    assert!(matches!(&second[0], Action::Send(_, Message::Open(open)) if open.capabilities.is_empty()));
}

/// Whether the next `OPEN` of an end has capabilities, which a neighbor answers so that it is the last one on this connection.
fn says_what_it_can(end: &mut Neighbor, now: &mut Moment, answer: Event) -> bool {
    if end.state_of(Side::Outgoing) != State::Connect {
        *now = end.deadline().unwrap();
        assert_eq!(end.handle(Event::Tick, *now), [Action::Connect]);
    }
    let actions = end.handle(Event::Connected(local(1)), *now);
    let [Action::Send(_, Message::Open(open))] = &actions[..] else { panic!("{actions:?}") };
    let says = !open.capabilities.is_empty();
    end.handle(answer, *now);
    says
}

#[test]
fn one_word_against_capabilities_is_not_for_ever_and_counts_only_where_there_is_another_way() {
    let chokes = || Event::Received(Side::Outgoing, Message::Notification(Notification::new(2, 4)));
    let mut now = Moment::from_micros(1);
    let mut end = Neighbor::new(settings(1), 1);
    end.handle(Event::Start, now);
    let mut said = |answer| says_what_it_can(&mut end, &mut now, answer);
    assert!(said(chokes()));
    assert!(!said(chokes()), "and that does not help");
    assert!(said(chokes()));
    assert!(!said(Event::Closed(Side::Outgoing)), "nor does this");
    assert!(said(Event::Closed(Side::Outgoing)));
    assert!(said(Event::Closed(Side::Outgoing)), "only its own word counts");

    // Neither IPv6 nor an AS number of four bytes can be said without capabilities.
    let v6 = Settings { families: vec![Family::Ipv6], ..settings(1) };
    for settings in [v6, Settings::new(4_200_000_001, id(1), 4_200_000_001)] {
        let mut end = Neighbor::new(settings, 1);
        let mut now = Moment::from_micros(1);
        end.handle(Event::Start, now);
        for _ in 0..3 {
            assert!(says_what_it_can(&mut end, &mut now, chokes()));
        }
    }
}

/// An end with a session over one connection, and another one on which its neighbor says nothing.
fn with_a_spare(session: Side) -> (Neighbor, Moment) {
    let now = Moment::from_micros(1_000_000);
    let mut end = Neighbor::new(settings(1), 1);
    end.handle(Event::Start, now);
    end.handle(Event::Connected(local(1)), now);
    end.handle(Event::Accepted(local(1)), now);
    end.handle(Event::Received(session, Message::Open(Open::ours(&settings(2), false))), now);
    end.handle(Event::Received(session, Message::Keepalive), now);
    assert_eq!((end.state_of(session), end.state_of(session.other())), (State::Established, State::OpenSent));
    (end, now)
}

fn downs(actions: &[Action]) -> Vec<&Action> {
    actions.iter().filter(|action| matches!(action, Action::Down(_))).collect()
}

#[test]
fn the_end_of_a_spare_connection_is_no_news_and_that_of_a_session_is_told_once_whatever_the_reason() {
    for session in [Side::Outgoing, Side::Incoming] {
        let spare = session.other();
        let rejected = Message::Notification(Notification::new(6, 5));
        for event in [Event::Closed(spare), Event::Received(spare, rejected)] {
            let (mut end, now) = with_a_spare(session);
            let actions = end.handle(event, now);
            assert!(downs(&actions).is_empty(), "{session:?}: {actions:?}");
            assert_eq!((end.state(), end.last_down()), (State::Established, None));
        }
        let collision = Notification::cease(Cease::Collision);
        for event in [
            Event::Received(session, Message::Notification(collision)),
            Event::Closed(session),
            Event::Reset(Notification::cease(Cease::BfdDown)),
            Event::Stop(Notification::cease(Cease::Shutdown)),
        ] {
            let (mut end, now) = with_a_spare(session);
            let actions = end.handle(event, now);
            assert_eq!(downs(&actions).len(), 1, "{session:?}: {actions:?}");
        }
    }
}

#[test]
fn a_connection_that_is_given_up_ends_with_a_word_and_for_a_reason() {
    let (mut end, now) = with_a_spare(Side::Outgoing);
    let why = "16 MiB wait".to_owned();
    let actions = end.handle(Event::GivenUp(Side::Outgoing, why.clone()), now);
    let word = Message::Notification(Notification::cease(Cease::OutOfResources));
    let expected =
        [Action::Send(Side::Outgoing, word), Action::Close(Side::Outgoing), Action::Down(Down::GivenUp(why))];
    assert_eq!(actions, expected);
    assert_eq!(end.last_down().unwrap().to_string(), "given up here: 16 MiB wait");
}

#[test]
fn a_refused_connection_is_tried_less_and_less_often_and_never_exactly_in_step() {
    let mut lonely = Neighbor::new(settings(1), 9);
    let mut now = Moment::from_micros(1);
    lonely.handle(Event::Start, now);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let why = "network is unreachable".to_owned();
        assert_eq!(
            lonely.handle(Event::Unconnected(why.clone()), now),
            [Action::Down(Down::Unconnected(why))]
        );
        let next = lonely.deadline().unwrap();
        pauses.push(next.since(now));
        now = next;
        assert_eq!(lonely.handle(Event::Tick, now), [Action::Connect]);
    }
    for (n, pause) in pauses.iter().enumerate() {
        let full = SECOND * (1 << n.min(10)).min(30);
        assert!((full * 3 / 4..=full).contains(pause), "{pauses:?}");
    }
    assert_ne!(pauses[8], pauses[9]);
}

#[test]
fn silence_instead_of_an_answer_is_told_each_time_unless_the_other_end_calls_meanwhile() {
    let now = Moment::from_micros(1_000_000);
    let mut neighbor = Neighbor::new(settings(1), 1);
    assert_eq!(neighbor.handle(Event::Start, now), [Action::Connect]);
    let later = neighbor.deadline().unwrap();
    let again = [Action::Down(Down::Unanswered), Action::Close(Side::Outgoing), Action::Connect];
    assert_eq!(neighbor.handle(Event::Tick, later), again);
    assert_eq!(neighbor.last_down(), Some(&Down::Unanswered));

    neighbor.handle(Event::Accepted(local(1)), later);
    let called = neighbor.handle(Event::Tick, neighbor.deadline().unwrap());
    assert!(!called.contains(&Action::Down(Down::Unanswered)), "{called:?}");
}
