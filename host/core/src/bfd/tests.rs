//! Two sessions hear each other over a wire that can lose packets; one is given everything in every state.

use std::time::Duration;

use super::*;
use crate::time::Moment;

const NOW: Moment = Moment::from_micros(1_000_000);

fn said(state: State, yours: u32) -> Control {
    Control {
        state,
        diagnostic: Diagnostic::None,
        poll: false,
        last: false,
        demand: false,
        multipoint: false,
        authenticated: false,
        multiplier: 3,
        mine: 2,
        yours,
        send_every: Duration::from_millis(300),
        receive_every: Duration::from_millis(300),
    }
}

fn session(state: State) -> Session {
    let mut session = Session::new(Settings::default(), 1, NOW);
    let way: &[Event] = match state {
        State::AdminDown => &[Event::Disable],
        State::Down => &[],
        State::Init => &[Event::Received(said(State::Down, 0))],
        State::Up => &[Event::Received(said(State::Down, 0)), Event::Received(said(State::Up, 1))],
    };
    for event in std::iter::once(&Event::Tick).chain(way) {
        session.handle(*event, 0.5, NOW);
    }
    assert_eq!(session.state(), state);
    session
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn share(&mut self) -> f64 {
        self.below(1000) as f64 / 999.0
    }
}

/// Two ends, 1 ms apart.
struct Wire {
    ends: [Session; 2],
    on_the_way: Vec<(Moment, usize, Control)>,
    now: Moment,
    random: Random,
    /// Of 100 packets.
    lost: u64,
    sent: [u32; 2],
    changes: Vec<(Moment, usize, Action)>,
}

impl Wire {
    fn new(settings: [Settings; 2]) -> Self {
        Self {
            ends: [Session::new(settings[0], 11, NOW), Session::new(settings[1], 22, NOW)],
            on_the_way: Vec::new(),
            now: NOW,
            random: Random(77),
            lost: 0,
            sent: [0; 2],
            changes: Vec::new(),
        }
    }

    fn event(&mut self, end: usize, event: Event) {
        let jitter = self.random.share();
        for action in self.ends[end].handle(event, jitter, self.now) {
            match action {
                Action::Send(control) => {
                    self.sent[end] += 1;
                    if self.random.below(100) >= self.lost {
                        self.on_the_way.push((self.now.after(Duration::from_millis(1)), 1 - end, control));
                    }
                }
                change => self.changes.push((self.now, end, change)),
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now.after(time);
        loop {
            let arrives = self.on_the_way.iter().map(|(at, _, _)| *at);
            let due = self.ends.iter().filter_map(Session::deadline);
            let Some(next) = arrives.chain(due).min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            let (come, rest): (Vec<_>, Vec<_>) =
                self.on_the_way.drain(..).partition(|(at, _, _)| *at <= next);
            self.on_the_way = rest;
            for (_, end, control) in come {
                self.event(end, Event::Received(control));
            }
            for end in 0..2 {
                if self.ends[end].deadline().is_some_and(|at| at <= next) {
                    self.event(end, Event::Tick);
                }
                assert!(self.ends[end].deadline().is_none_or(|at| at > next), "a deadline that is over");
            }
        }
        self.now = until;
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn each_state_heard_leads_from_each_state_where_the_rfc_says() {
    use State::{AdminDown, Down, Init, Up};
    let states = [AdminDown, Down, Init, Up];
    let table = [
        (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
    ];
    for (from, row) in table {
        for (heard, to) in states.into_iter().zip(row) {
            let mut session = session(from);
            let actions = session.handle(Event::Received(said(heard, 1)), 0.5, NOW);
            assert_eq!(session.state(), to, "{from:?} hears {heard:?}");
            assert_eq!(actions.contains(&Action::Up), from != Up && to == Up, "{from:?} hears {heard:?}");
            let down = actions.iter().any(|action| matches!(action, Action::Down(_)));
            assert_eq!(down, from == Up && to != Up, "{from:?} hears {heard:?}");
            let told = actions.iter().any(|one| matches!(one, Action::Send(control) if control.state == to));
            assert_eq!(told, from != to, "a change is told at once: {from:?} hears {heard:?}");
        }
    }
}

#[test]
fn silence_ends_a_session_that_was_heard_and_no_other() {
    for (from, to) in [
        (State::AdminDown, State::AdminDown),
        (State::Down, State::Down),
        (State::Init, State::Down),
        (State::Up, State::Down),
    ] {
        let mut session = session(from);
        session.handle(Event::Tick, 0.5, NOW.after(Duration::from_millis(899)));
        assert_eq!(session.state(), from);
        let actions = session.handle(Event::Tick, 0.5, NOW.after(Duration::from_millis(900)));
        assert_eq!(session.state(), to);
        assert_eq!(actions.contains(&Action::Down(Diagnostic::Expired)), from == State::Up);
    }
}

#[test]
fn two_come_up_slowly_and_then_speed_up() {
    let mut wire = Wire::new([Settings::default(); 2]);
    wire.pass(3 * SECOND);
    assert_eq!(wire.states(), [State::Up; 2]);
    let before = wire.sent;
    wire.pass(30 * SECOND);
    for (end, before) in before.into_iter().enumerate() {
        let sent = wire.sent[end] - before;
        assert!((100..=135).contains(&sent), "{sent} packets in 30 s");
        assert!(!wire.ends[end].polling, "the new interval was acknowledged");
    }
    assert_eq!(wire.changes.len(), 2);
}

#[test]
fn a_neighbor_that_is_not_there_is_asked_once_a_second_and_forgotten() {
    let mut wire = Wire::new([Settings::default(); 2]);
    wire.pass(5 * SECOND);
    wire.lost = 100;
    wire.pass(5 * SECOND);
    assert_eq!([wire.ends[0].theirs, wire.ends[1].theirs], [0, 0]);
    let before = wire.sent;
    wire.pass(30 * SECOND);
    for (end, before) in before.into_iter().enumerate() {
        assert!((29..=41).contains(&(wire.sent[end] - before)));
    }
}

#[test]
fn a_cut_wire_is_noticed_within_the_detection_time() {
    for seed in 1..50 {
        let mut wire = Wire::new([Settings::default(); 2]);
        wire.random = Random(seed);
        wire.pass(5 * SECOND + Duration::from_millis(7 * seed));
        assert_eq!(wire.states(), [State::Up; 2]);
        let cut = wire.now;
        wire.lost = 100;
        wire.pass(2 * SECOND);
        let downs: Vec<_> = wire.changes.drain(2..).collect();
        assert_eq!(downs.len(), 2);
        for (at, _, action) in downs {
            assert_eq!(action, Action::Down(Diagnostic::Expired));
            assert!(at.since(cut) <= Duration::from_millis(901), "{:?}", at.since(cut));
            assert!(at.since(cut) >= Duration::from_millis(590), "{:?}", at.since(cut));
        }
        wire.lost = 0;
        wire.pass(4 * SECOND);
        assert_eq!(wire.states(), [State::Up; 2], "and it is back");
    }
}

#[test]
fn a_lost_packet_now_and_then_is_no_failure() {
    let mut wire = Wire::new([Settings::default(); 2]);
    wire.pass(5 * SECOND);
    wire.lost = 1;
    wire.pass(1800 * SECOND);
    assert_eq!(wire.changes.len(), 2, "{:?}", wire.changes);
}

#[test]
fn who_turns_it_off_says_so_and_no_route_falls() {
    let mut wire = Wire::new([Settings::default(); 2]);
    wire.pass(5 * SECOND);
    wire.event(0, Event::Disable);
    wire.pass(10 * SECOND);
    assert_eq!(wire.states(), [State::AdminDown, State::Down]);
    let (_, _, theirs) = wire.changes[3];
    assert_eq!(theirs, Action::Down(Diagnostic::NeighborAdministrative));
    assert!(!Diagnostic::NeighborAdministrative.says_failure() && Diagnostic::Expired.says_failure());
    wire.event(0, Event::Enable);
    wire.pass(4 * SECOND);
    assert_eq!(wire.states(), [State::Up; 2]);
}

/// A session that is up and has had its first intervals acknowledged, with others now, and what is said of them.
fn changed(settings: Settings) -> (Session, Control) {
    let mut session = session(State::Up);
    let receive_every = Duration::from_millis(50);
    let acknowledged = Control { last: true, receive_every, ..said(State::Up, 1) };
    session.handle(Event::Received(acknowledged), 0.5, NOW);
    let actions = session.handle(Event::Configure(settings), 1.0, NOW);
    let [Action::Send(told)] = actions[..] else { panic!("{actions:?}") };
    (session, told)
}

#[test]
fn intervals_change_while_it_is_up_and_the_old_ones_hold_until_the_neighbor_follows() {
    let ms = Duration::from_millis;
    let acknowledged = Event::Received(Control { last: true, ..said(State::Up, 1) });
    let next = |session: &Session| session.deadline().map(|at| at.since(NOW));

    // Slower: sent as before, or it would miss us; waited for longer at once, since it may follow before its answer is here.
    let (mut session, told) =
        changed(Settings { send_every: ms(800), receive_every: ms(800), ..Settings::default() });
    assert_eq!((told.state, told.poll, told.mine), (State::Up, true, 1));
    assert_eq!((told.send_every, told.receive_every), (ms(800), ms(800)));
    assert_eq!((next(&session), session.detection_time()), (Some(ms(300)), Some(ms(2400))));
    session.handle(Event::Tick, 1.0, NOW.after(ms(2399)));
    assert_eq!(session.state(), State::Up, "the answer may be lost");
    let late = session.handle(acknowledged, 1.0, NOW.after(ms(2399)));
    assert_eq!((late, session.polling), (vec![], false));
    session.handle(Event::Tick, 1.0, session.deadline().unwrap());
    assert_eq!(next(&session), Some(ms(2399 + 300 + 800)), "slower from here on");

    // Faster: sent so at once; what comes is waited for as before until it follows.
    let (mut session, told) =
        changed(Settings { send_every: ms(100), receive_every: ms(100), ..Settings::default() });
    assert_eq!((told.poll, told.send_every, told.receive_every), (true, ms(100), ms(100)));
    assert_eq!((next(&session), session.detection_time()), (Some(ms(100)), Some(ms(900))));
    let fast = Control { last: true, send_every: ms(100), receive_every: ms(100), ..said(State::Up, 1) };
    session.handle(Event::Received(fast), 1.0, NOW);
    assert_eq!(session.detection_time(), Some(ms(300)));

    // A multiplier needs nobody's consent, and what is the same nobody's time.
    let (mut session, told) = changed(Settings { multiplier: 5, ..Settings::default() });
    assert_eq!((told.poll, told.multiplier), (false, 5));
    let same = Settings { multiplier: 5, ..Settings::default() };
    assert_eq!(session.handle(Event::Configure(same), 1.0, NOW), []);
}

#[test]
fn any_change_of_settings_at_any_time_is_noticed_by_no_neighbor() {
    let mut random = Random(5);
    let mut wire = Wire::new([Settings::default(); 2]);
    wire.pass(5 * SECOND);
    for _ in 0..300 {
        let every = |random: &mut Random| Duration::from_millis(50 + random.below(3000));
        let settings = Settings {
            send_every: every(&mut random),
            receive_every: every(&mut random),
            multiplier: 3 + random.below(5) as u8,
            passive: random.below(2) == 0,
        };
        wire.event(random.below(2) as usize, Event::Configure(settings));
        wire.pass(Duration::from_millis(random.below(9000)));
        assert_eq!(wire.changes.len(), 2, "{:?}", wire.changes);
    }
    wire.pass(9 * SECOND);
    assert!(wire.ends.iter().all(|end| !end.polling && end.before.is_none()));
}

#[test]
fn who_is_told_that_it_was_by_will_is_told_until_it_would_have_missed_us() {
    let mut wire = Wire::new([Settings::default(); 2]);
    wire.pass(5 * SECOND);
    let before = wire.sent[0];
    let end = wire.now.after(Duration::from_millis(900));
    // The first one is lost.
    wire.lost = 100;
    wire.event(0, Event::Disable);
    wire.lost = 0;
    wire.pass(Duration::from_millis(899));
    assert_eq!(wire.ends[0].told_at(), Some(end));
    assert!((4..=5).contains(&(wire.sent[0] - before)), "{} packets", wire.sent[0] - before);
    let (_, _, theirs) = wire.changes[3];
    assert_eq!(theirs, Action::Down(Diagnostic::NeighborAdministrative));
    let before = wire.sent[0];
    wire.pass(10 * SECOND);
    assert!(wire.sent[0] - before < 15, "a packet a second after that");
    let mut lonely = Session::new(Settings::default(), 1, NOW);
    lonely.handle(Event::Disable, 0.5, NOW);
    assert_eq!(lonely.told_at(), None, "nobody would miss it");
}

#[test]
fn a_neighbor_that_restarted_is_met_with_its_new_number() {
    let mut wire = Wire::new([Settings::default(); 2]);
    wire.pass(5 * SECOND);
    wire.ends[1] = Session::new(Settings::default(), 33, wire.now);
    wire.on_the_way.clear();
    wire.pass(10 * SECOND);
    assert_eq!(wire.states(), [State::Up; 2]);
    assert_eq!(wire.ends[0].theirs, 33);
}

#[test]
fn a_passive_end_is_silent_until_spoken_to() {
    let passive = Settings { passive: true, ..Settings::default() };
    let mut wire = Wire::new([passive; 2]);
    wire.pass(10 * SECOND);
    assert_eq!(wire.sent, [0, 0]);
    let mut wire = Wire::new([passive, Settings::default()]);
    wire.pass(4 * SECOND);
    assert_eq!(wire.states(), [State::Up; 2]);
}

#[test]
fn the_slower_end_sets_the_pace() {
    let slow = Settings { receive_every: SECOND, ..Settings::default() };
    let mut wire = Wire::new([slow, Settings::default()]);
    wire.pass(5 * SECOND);
    let before = wire.sent;
    wire.pass(30 * SECOND);
    assert!((28..=42).contains(&(wire.sent[1] - before[1])), "not more often than the other can receive");
    assert!(wire.sent[0] - before[0] > 90);
    assert_eq!(wire.ends[0].detection_time(), Some(3 * SECOND));
    assert_eq!(wire.ends[1].detection_time(), Some(Duration::from_millis(900)));
}

#[test]
fn a_poll_is_answered_at_once_and_asks_nothing() {
    let mut session = session(State::Up);
    let actions = session.handle(Event::Received(Control { poll: true, ..said(State::Up, 1) }), 0.5, NOW);
    assert!(matches!(actions[..], [Action::Send(Control { last: true, poll: false, .. })]), "{actions:?}");
}

#[test]
fn packets_that_are_not_for_this_session_are_counted_and_change_nothing() {
    let wrong = [
        (Control { multiplier: 0, ..said(State::Down, 1) }, Refusal::Multiplier),
        (Control { multipoint: true, ..said(State::Down, 1) }, Refusal::Multipoint),
        (Control { mine: 0, ..said(State::Down, 1) }, Refusal::Mine),
        (said(State::Down, 9), Refusal::Yours(9)),
        (said(State::Up, 0), Refusal::Yours(0)),
        (Control { authenticated: true, ..said(State::Down, 1) }, Refusal::Authenticated),
    ];
    let mut session = session(State::Up);
    for (control, refusal) in wrong {
        assert_eq!(control.check(1), Err(refusal));
        assert_eq!(session.handle(Event::Received(control), 0.5, NOW), []);
    }
    assert_eq!((session.state(), session.refused()), (State::Up, 6));
}

#[test]
fn no_sequence_of_events_floods_the_wire_or_forgets_a_deadline() {
    for seed in 1..2000 {
        let mut random = Random(seed);
        let multiplier = random.below(5) as u8;
        let mut session = Session::new(Settings { multiplier, ..Settings::default() }, 1, NOW);
        let mut now = NOW;
        for _ in 0..100 {
            let states = [State::AdminDown, State::Down, State::Init, State::Up];
            let control = Control {
                poll: random.below(4) == 0,
                last: random.below(4) == 0,
                demand: random.below(8) == 0,
                multiplier: random.below(4) as u8,
                send_every: Duration::from_micros(random.below(u64::from(u32::MAX))),
                receive_every: Duration::from_micros(random.below(3) * random.below(u64::from(u32::MAX))),
                ..said(states[random.below(4) as usize], random.below(2) as u32)
            };
            let event = match random.below(13) {
                12 => Event::Configure(Settings {
                    send_every: Duration::from_millis(1 + random.below(3000)),
                    receive_every: Duration::from_millis(1 + random.below(3000)),
                    multiplier: random.below(4) as u8,
                    passive: random.below(2) == 0,
                }),
                0 => Event::Disable,
                1 | 2 => Event::Enable,
                3 | 4 => Event::Tick,
                _ => Event::Received(control),
            };
            let actions =
                session.handle(event, [random.share(), f64::NAN, -1.0, 9.0][random.below(4) as usize], now);
            let sent = actions.iter().filter(|action| matches!(action, Action::Send(_))).count();
            assert!(sent <= 1, "seed {seed}: {actions:?}");
            for action in actions {
                if let Action::Send(control) = action {
                    assert!(control.mine == 1 && control.multiplier > 0 && !(control.poll && control.last));
                }
            }
            now = now.after(Duration::from_millis(random.below(2000)));
            if session.deadline().is_some_and(|at| at <= now) {
                session.handle(Event::Tick, random.share(), now);
            }
            assert!(session.deadline().is_none_or(|at| at > now), "seed {seed}: a deadline that is over");
        }
    }
}
