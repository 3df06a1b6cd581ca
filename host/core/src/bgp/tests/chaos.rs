//! Anything that can happen, in any order.

use std::time::Duration;

use super::*;
use crate::time::Moment;

fn message(random: &mut Random) -> Message {
    let hold_seconds = [0, 2, 3, 9, 90][random.below(5) as usize];
    match random.below(8) {
        0 | 1 => Message::Open(Open {
            hold_seconds,
            ..Open::ours(&settings(random.below(3) as u8), random.below(2) == 0)
        }),
        2 => Message::Update(Update::end_of_rib(Family::Ipv6)),
        3 => Message::Notification(Notification::new(random.below(9) as u8, random.below(12) as u8)),
        4 => Message::RouteRefresh([None, Some(Family::Ipv4)][random.below(2) as usize]),
        _ => Message::Keepalive,
    }
}

fn event(one: &Neighbor, random: &mut Random) -> Event {
    let side = [Side::Outgoing, Side::Incoming][random.below(2) as usize];
    if random.below(2) == 0 {
        // What leads further, or sessions would be rare.
        match one.state_of(side) {
            State::OpenSent => return Event::Received(side, Message::Open(Open::ours(&settings(2), false))),
            State::OpenConfirm | State::Established => return Event::Received(side, Message::Keepalive),
            State::Idle | State::Active | State::Connect => {}
        }
    }
    match random.below(24) {
        0 => Event::Start,
        1 if random.below(4) == 0 => Event::Stop(Notification::cease_with(Cease::Shutdown, "bye")),
        2 if random.below(2) == 0 => Event::Reset(Notification::cease(Cease::BfdDown)),
        3..6 => Event::Connected(local(1)),
        6 => Event::Unconnected("no route".to_owned()),
        7..9 => Event::Accepted(local(1)),
        9 if random.below(8) == 0 => Event::GivenUp(side, "too much waits".to_owned()),
        9 => Event::Closed(side),
        10 => Event::Malformed(side, Notification::new(1, 3)),
        11 => Event::Unread(side),
        12 => Event::Wrote { side, drained: random.below(2) == 0 },
        13..15 => Event::Tick,
        _ => Event::Received(side, message(random)),
    }
}

/// What the speaker has, by what it was told.
#[derive(Default)]
struct Sockets {
    connecting: bool,
    open: [bool; 2],
}

impl Sockets {
    fn carry_out(&mut self, event: &Event, actions: &[Action], trace: &str) {
        let at = |side: Side| usize::from(side == Side::Incoming);
        match event {
            Event::Connected(_) if self.connecting => (self.connecting, self.open[0]) = (false, true),
            Event::Unconnected(_) => self.connecting = false,
            Event::Closed(side) => {
                self.open[at(*side)] = false;
                self.connecting &= *side != Side::Outgoing;
            }
            _ => {}
        }
        let mut answered = 0;
        for action in actions {
            match action {
                Action::Connect => {
                    assert!(!self.open[0], "{trace}: a second outgoing connection");
                    self.connecting = true;
                }
                Action::Adopt => {
                    assert!(!self.open[1], "{trace}: a second incoming connection");
                    self.open[1] = true;
                    answered += 1;
                }
                Action::Refuse => answered += 1,
                Action::Send(side, message) => {
                    assert!(self.open[at(*side)], "{trace}: {message:?} goes nowhere");
                }
                Action::Close(side) => {
                    assert!(self.open[at(*side)] || self.connecting, "{trace}: nothing to close");
                    self.open[at(*side)] = false;
                    self.connecting &= *side != Side::Outgoing;
                }
                Action::Up(_) | Action::Down(_) => {}
            }
        }
        assert_eq!(answered, u32::from(matches!(event, Event::Accepted(_))), "{trace}");
    }
}

#[test]
fn no_sequence_of_events_sends_without_a_connection_or_forgets_a_deadline() {
    let mut established = 0;
    for seed in 1..3000 {
        let mut random = Random(seed);
        let passive = random.below(4) == 0;
        let mut one = Neighbor::new(Settings { passive, ..settings(1) }, seed);
        let mut sockets = Sockets::default();
        let mut now = Moment::from_micros(1);
        let mut running = false;
        for step in 0..200 {
            let event = event(&one, &mut random);
            if let Event::Start | Event::Stop(_) = event {
                running = event == Event::Start;
            }
            let trace = format!("seed {seed}, step {step}, {event:?}");
            // A speaker reports of connections that it has.
            let sensible = match &event {
                Event::Connected(_) => sockets.connecting,
                Event::Received(side, _)
                | Event::Closed(side)
                | Event::GivenUp(side, _)
                | Event::Malformed(side, _)
                | Event::Unread(side) => {
                    sockets.open[usize::from(*side == Side::Incoming)] || random.below(10) == 0
                }
                _ => true,
            };
            if !sensible {
                continue;
            }
            let before = one.state();
            let actions = one.handle(event.clone(), now);
            let told = actions.iter().filter(|action| matches!(action, Action::Down(_))).count();
            match (before, one.state()) {
                (State::Established, State::Established) => assert_eq!(told, 0, "{trace}: it is up"),
                (State::Established, _) => assert_eq!(told, 1, "{trace}: it was up"),
                _ => {}
            }
            sockets.carry_out(&event, &actions, &trace);
            if random.below(8) == 0 {
                let adverts = (0..random.below(4)).map(|n| advert(&format!("198.51.100.{n}/32")));
                let actions = one.set(Adverts::new(adverts).unwrap(), now);
                sockets.carry_out(&Event::Tick, &actions, &trace);
            }
            let states = [Side::Outgoing, Side::Incoming].map(|side| one.state_of(side));
            assert_eq!(states.map(State::is_connected), sockets.open, "{trace}: {states:?}");
            assert_eq!(states[0] == State::Connect, sockets.connecting, "{trace}: {states:?}");
            assert_eq!(one.up_since().is_some(), states.contains(&State::Established), "{trace}");
            if states.contains(&State::Established) {
                established += 1;
                let other = states.into_iter().min();
                assert!(matches!(other, Some(State::Idle | State::OpenSent)), "{trace}: {states:?}");
            } else {
                assert!(one.outbox().told().is_empty(), "{trace}: told to nobody");
            }
            if random.below(3) == 0 {
                now = now.after(Duration::from_millis(random.below(4000)));
            }
            if let Some(deadline) = one.deadline().filter(|deadline| *deadline <= now) {
                now = now.max(deadline);
                let actions = one.handle(Event::Tick, now);
                sockets.carry_out(&Event::Tick, &actions, &trace);
            }
            assert!(one.deadline().is_none_or(|deadline| deadline > now), "{trace}: a deadline that is over");
            // Two that agreed on no hold time have no timer either.
            let timeless = one.negotiated().is_some_and(|agreed| agreed.hold.is_none());
            let waits = timeless || passive && one.state() == State::Active;
            assert_eq!(
                one.deadline().is_some() || waits,
                running,
                "{trace}: {:?} and no deadline",
                one.state()
            );
        }
    }
    assert!(established > 10_000, "only {established} steps were in an established session");
}
