//! RFC 4271 §8.2.2 as a table: what each event does in each state of one connection.

use std::time::Duration;

use super::super::session::{Input, Session};
use super::*;
use crate::time::Moment;

const NOW: Moment = Moment::from_micros(1_000_000);

fn theirs() -> Open {
    Open::ours(&settings(2), false)
}

fn inputs() -> Vec<(&'static str, Input)> {
    let other_as = Settings { local_as: 65001, ..settings(2) };
    vec![
        ("start", Input::Start),
        ("listen", Input::Listen),
        ("stop", Input::Stop(Notification::cease(Cease::Shutdown))),
        ("connected", Input::Connected),
        ("closed", Input::Closed),
        ("open", Input::Message(Message::Open(theirs()))),
        ("bad open", Input::Message(Message::Open(Open::ours(&other_as, false)))),
        ("keepalive", Input::Message(Message::Keepalive)),
        ("update", Input::Message(Message::Update(Update::end_of_rib(Family::Ipv4)))),
        ("refresh", Input::Message(Message::RouteRefresh(Some(Family::Ipv4)))),
        ("notification", Input::Message(Message::Notification(Notification::new(6, 4)))),
        ("given up", Input::GivenUp("too much waits".to_owned())),
        ("malformed", Input::Malformed(Notification::new(1, 2))),
        ("unread", Input::Unread),
        ("keepalive due", Input::Tick),
        ("hold over", Input::Tick),
        ("all sent", Input::Wrote(true)),
    ]
}

/// The event, and what it does in each of [`STATES`].
type Row = (&'static str, [&'static str; 6]);

/// Columns: idle, active, connect, open-sent, open-confirm, established. `.` leaves the state; then what is sent; `x` closes.
const TABLE: &[Row] = &[
    ("start", ["connect", "connect", ". x", ".", ".", "."]),
    ("listen", ["active", ".", ".", ".", ".", "."]),
    ("stop", [".", "idle", "idle x", "idle 6/2 x", "idle 6/2 x", "idle 6/2 x"]),
    ("connected", [".", "open-sent OPEN", "open-sent OPEN", ".", ".", "."]),
    ("closed", [".", ".", "active", "idle", "idle", "idle"]),
    ("open", [".", ".", ".", "open-confirm KEEPALIVE", "idle 5/2 x", "idle 5/3 x"]),
    ("bad open", [".", ".", ".", "idle 2/2 x", "idle 5/2 x", "idle 5/3 x"]),
    ("keepalive", [".", ".", ".", "idle 5/1 x", "established", "."]),
    ("update", [".", ".", ".", "idle 5/1 x", "idle 5/2 x", "."]),
    ("refresh", [".", ".", ".", "idle 5/1 x", "idle 5/2 x", "."]),
    ("notification", [".", ".", ".", "idle x", "idle x", "idle x"]),
    ("given up", [".", ".", ".", "idle 6/8 x", "idle 6/8 x", "idle 6/8 x"]),
    ("malformed", [".", ".", ".", "idle 1/2 x", "idle 1/2 x", "idle 1/2 x"]),
    ("unread", [".", ".", ".", "idle 5/1 x", "idle 5/2 x", "."]),
    ("keepalive due", [".", ".", ".", ".", ". KEEPALIVE", ". KEEPALIVE"]),
    ("hold over", [".", ".", ".", "idle 4/0 x", "idle 4/0 x", "idle 4/0 x"]),
    ("all sent", [".", ".", ".", ".", ".", "."]),
];

const STATES: [State; 6] =
    [State::Idle, State::Active, State::Connect, State::OpenSent, State::OpenConfirm, State::Established];

fn session(state: State) -> Session {
    let mut session = Session::default();
    let way: &[Input] = match state {
        State::Idle => &[],
        State::Active => &[Input::Listen],
        State::Connect => &[Input::Start],
        State::OpenSent => &[Input::Start, Input::Connected],
        State::OpenConfirm => &[Input::Start, Input::Connected, Input::Message(Message::Open(theirs()))],
        State::Established => &[
            Input::Start,
            Input::Connected,
            Input::Message(Message::Open(theirs())),
            Input::Message(Message::Keepalive),
        ],
    };
    for input in way {
        session.step(input.clone(), &settings(1), false, 1.0, NOW);
    }
    assert_eq!(session.state, state);
    session
}

fn outcome(session: &mut Session, input: Input, now: Moment) -> String {
    let before = session.state;
    let step = session.step(input, &settings(1), false, 1.0, now);
    let state = if session.state == before { "." } else { session.state.as_str() };
    let sent = step.send.iter().map(|message| match message {
        Message::Open(_) => "OPEN".to_owned(),
        Message::Keepalive => "KEEPALIVE".to_owned(),
        Message::Notification(why) => format!("{}/{}", why.code, why.subcode),
        other => format!("{other:?}"),
    });
    let ended = before.is_connected() && !session.state.is_connected();
    assert_eq!(step.down.is_some(), ended, "who loses a connection says why");
    let words = std::iter::once(state.to_owned()).chain(sent).chain(step.close.then(|| "x".to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_event_does_in_each_state_what_the_rfc_says() {
    for ((name, input), (row, expected)) in inputs().into_iter().zip(TABLE) {
        assert_eq!(name, *row);
        for (state, expected) in STATES.into_iter().zip(expected) {
            let mut session = session(state);
            // 3 s is keepalive, 9 s is hold; an OPEN may take four minutes.
            let later = match (name, state) {
                ("keepalive due", _) => Duration::from_secs(3),
                ("hold over", State::OpenSent) => Duration::from_secs(240),
                ("hold over", _) => Duration::from_secs(9),
                _ => Duration::ZERO,
            };
            assert_eq!(
                outcome(&mut session, input.clone(), NOW.after(later)),
                *expected,
                "{name} in {state:?}"
            );
        }
    }
}

#[test]
fn only_signs_of_life_put_the_hold_timer_off() {
    let at = |seconds| NOW.after(Duration::from_secs(seconds));
    for (name, put_off) in [("keepalive", true), ("update", true), ("unread", true), ("refresh", false)] {
        let mut session = session(State::Established);
        let (_, input) = inputs().into_iter().find(|(one, _)| *one == name).unwrap();
        outcome(&mut session, input, at(8));
        assert_eq!(outcome(&mut session, Input::Tick, at(9)).starts_with('.'), put_off, "{name}");
    }
}

#[test]
fn an_end_that_reads_nothing_is_given_up_after_eight_minutes() {
    let mut session = session(State::Established);
    let mut now = NOW;
    let outcome = loop {
        now = now.after(Duration::from_secs(3));
        outcome(&mut session, Input::Message(Message::Keepalive), now);
        let outcome = outcome(&mut session, Input::Tick, now);
        if session.state == State::Idle {
            break outcome;
        }
    };
    assert_eq!(outcome, "idle 8/0 x");
    assert_eq!(now.since(NOW).as_secs(), 480);
}

#[test]
fn an_end_that_reads_slowly_is_not_given_up() {
    let mut session = session(State::Established);
    for tick in 1..1000 {
        let now = NOW.after(Duration::from_secs(3 * tick));
        outcome(&mut session, Input::Message(Message::Keepalive), now);
        outcome(&mut session, Input::Tick, now);
        outcome(&mut session, Input::Wrote(tick % 2 == 0), now);
        assert_eq!(session.state, State::Established);
    }
}

#[test]
fn an_open_that_cannot_be_is_answered_with_its_fault() {
    type Case = (&'static str, Open, Option<(u8, u8)>, &'static str);
    let cases: Vec<Case> = vec![
        ("good", theirs(), None, ""),
        (
            "version 3",
            Open { version: 3, ..theirs() },
            Some((2, 1)),
            "ended here: unsupported version (2/1): the neighbor says version 3, expected 4",
        ),
        (
            "identifier 0",
            Open { id: Ipv4Addr::UNSPECIFIED, ..theirs() },
            Some((2, 3)),
            "ended here: bad BGP identifier (2/3): the neighbor says identifier 0.0.0.0",
        ),
        (
            "our identifier",
            Open { id: id(1), ..theirs() },
            Some((2, 3)),
            "ended here: bad BGP identifier (2/3): the neighbor says identifier 192.0.2.1, which is ours",
        ),
        (
            "hold 2",
            Open { hold_seconds: 2, ..theirs() },
            Some((2, 6)),
            "ended here: unacceptable hold time (2/6): the neighbor says 2 s, expected 0 or at least 3",
        ),
        ("hold 0", Open { hold_seconds: 0, ..theirs() }, None, ""),
        ("no capability", Open { capabilities: Vec::new(), ..theirs() }, None, ""),
        (
            "no family that we have",
            Open { capabilities: vec![Capability::Other { code: 1, value: vec![0, 25, 0, 65] }], ..theirs() },
            Some((2, 7)),
            "ended here: unsupported capability (2/7): the neighbor speaks none of the families that are configured",
        ),
        (
            "another AS in four bytes",
            Open { capabilities: vec![Capability::FourOctetAs(4_200_000_000)], ..theirs() },
            Some((2, 2)),
            "ended here: bad peer AS (2/2): the neighbor says AS 4200000000, expected 65000",
        ),
    ];
    for (name, open, expected, says) in cases {
        let mut session = session(State::OpenSent);
        let step = session.step(Input::Message(Message::Open(open)), &settings(1), false, 1.0, NOW);
        let answer = step.send.iter().find_map(|message| match message {
            Message::Notification(why) => Some((why.code, why.subcode)),
            _ => None,
        });
        assert_eq!(answer, expected, "{name}");
        assert_eq!(step.down.map(|down| down.to_string()).unwrap_or_default(), says, "{name}");
        assert_eq!(session.state == State::OpenConfirm, expected.is_none(), "{name}");
        if name == "no capability" {
            let agreed = session.negotiated.as_ref().unwrap();
            assert_eq!(
                (&agreed.families[..], &agreed.lacking[..]),
                (&[Family::Ipv4][..], &[Family::Ipv6][..])
            );
            assert!(!session.negotiated.as_ref().unwrap().four_octet_as);
        }
        if name == "good" {
            assert!(session.negotiated.as_ref().unwrap().lacking.is_empty());
        }
        if name == "hold 0" {
            assert_eq!(session.negotiated.as_ref().unwrap().hold, None);
            outcome(&mut session, Input::Wrote(true), NOW);
            assert_eq!(
                session.deadline(),
                Some(NOW.after(Duration::from_secs(240))),
                "a KEEPALIVE is waited for"
            );
            outcome(&mut session, Input::Message(Message::Keepalive), NOW);
            assert_eq!(session.deadline(), None, "no timers at all");
        }
    }
}

#[test]
fn a_large_as_number_is_in_the_capability_and_not_cut_in_the_field() {
    let open = Open::ours(&Settings::new(4_200_000_001, id(1), 1), false);
    assert_eq!((open.as_field, open.as_number()), (AS_TRANS, 4_200_000_001));
}
