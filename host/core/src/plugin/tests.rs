//! The table of the machine, state by state and event by event, and what holds after any events at all.

use super::*;

fn version(n: u8) -> Version {
    Version { content: Digest([n; 32]), config: Digest([0; 32]) }
}

const A: u8 = 1;
const B: u8 = 2;
const KEPT: u8 = 9;

fn at(seconds: u64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

fn failed(generation: u64) -> Event {
    Event::Failed { generation, reason: "trapped".into() }
}

/// Gives the events, one a second from `from` on; returns the actions of the last.
fn drive(machine: &mut Machine, from: u64, events: &[Event]) -> Vec<Action> {
    let mut last = Vec::new();
    for (second, event) in (from..).zip(events) {
        last = machine.handle(event.clone(), at(second));
    }
    last
}

/// A machine in this state for version A, with nothing kept by an earlier run.
fn machine_in(state: State) -> Machine {
    let mut m = Machine::new(vec![]);
    let load = [Event::Wanted(version(A))];
    let canary = [Event::Wanted(version(A)), Event::Loaded(version(A))];
    let active = [Event::Wanted(version(A)), Event::Loaded(version(A)), Event::Passed(version(A))];
    match state {
        State::Absent => drop(drive(&mut m, 0, &[Event::Gone])),
        State::Loading => drop(drive(&mut m, 0, &load)),
        State::Canary => drop(drive(&mut m, 0, &canary)),
        State::Active => drop(drive(&mut m, 0, &active)),
        State::BackingOff => {
            drive(&mut m, 0, &active);
            drive(&mut m, 3, &[failed(1)]);
        }
        State::Quarantined => {
            drive(&mut m, 0, &active);
            drive(&mut m, 3, &[failed(1), failed(1), failed(1), failed(1)]);
        }
        State::Rejected => {
            drive(&mut m, 0, &load);
            drive(&mut m, 1, &[Event::Refused(version(A), "wrong world".into())]);
        }
    }
    assert_eq!(m.state().0, state);
    m
}

#[test]
fn the_table_is_complete() {
    use Action::{Forget, Load, Publish, Withdraw};
    use State::{Absent, Active, BackingOff, Canary, Loading, Quarantined, Rejected};
    let states = [Absent, Loading, Canary, Active, BackingOff, Quarantined, Rejected];
    let (a, b) = (version(A), version(B));
    // The event, then for each state what it becomes and what is done. Of an event about B: the state of B afterwards.
    type Row = (Event, [(State, Vec<Action>); 7]);
    let none = Vec::new;
    let same = || states.map(|s| (s, none()));
    let table: Vec<Row> = vec![
        (
            Event::Wanted(a),
            [
                (Loading, vec![Load(a)]),
                (Loading, none()),
                (Canary, none()),
                (Active, none()),
                (BackingOff, none()),
                (Quarantined, none()),
                (Rejected, none()),
            ],
        ),
        (Event::Wanted(b), states.map(|_| (Loading, vec![Load(b)]))),
        (Event::Unusable("mode 666".into()), states.map(|_| (Rejected, none()))),
        (
            Event::Gone,
            [
                (Absent, none()),
                (Absent, none()),
                (Absent, none()),
                (Absent, vec![Withdraw, Forget(a)]),
                (Absent, vec![Withdraw, Forget(a)]),
                (Absent, none()),
                (Absent, none()),
            ],
        ),
        (
            Event::Loaded(a),
            [
                (Absent, none()),
                (Canary, none()),
                (Canary, none()),
                (Active, none()),
                (BackingOff, none()),
                (Quarantined, none()),
                (Rejected, none()),
            ],
        ),
        (Event::Loaded(b), same()),
        (
            Event::Passed(a),
            [
                (Absent, none()),
                (Active, vec![Publish(a)]),
                (Active, vec![Publish(a)]),
                (Active, none()),
                (BackingOff, none()),
                (Quarantined, none()),
                (Rejected, none()),
            ],
        ),
        (Event::Passed(b), same()),
        (
            Event::Refused(a, "no".into()),
            [
                (Absent, none()),
                (Rejected, none()),
                (Rejected, none()),
                (Active, none()),
                (BackingOff, none()),
                (Quarantined, none()),
                (Rejected, none()),
            ],
        ),
        (Event::Refused(b, "no".into()), same()),
        (
            Event::Stumbled(a, "disk full".into()),
            [
                (Absent, none()),
                (Rejected, none()),
                (Rejected, none()),
                (Active, none()),
                (BackingOff, none()),
                (Quarantined, none()),
                (Rejected, none()),
            ],
        ),
        (Event::Stumbled(b, "disk full".into()), same()),
        (
            failed(1),
            [
                (Absent, none()),
                (Loading, none()),
                (Canary, none()),
                (BackingOff, none()),
                (BackingOff, none()),
                (Quarantined, none()),
                (Rejected, none()),
            ],
        ),
        (failed(0), same()),
        (
            Event::Retry,
            [
                (Absent, none()),
                (Loading, none()),
                (Canary, none()),
                (Active, none()),
                (Active, vec![Action::Rebuild]),
                (Loading, vec![Load(a)]),
                (Loading, vec![Load(a)]),
            ],
        ),
        (
            Event::Tick,
            [
                (Absent, none()),
                (Loading, none()),
                (Canary, none()),
                (Active, none()),
                (Active, vec![Action::Rebuild]),
                (Quarantined, none()),
                (Rejected, none()),
            ],
        ),
    ];
    for (event, row) in table {
        for (state, (becomes, done)) in states.into_iter().zip(row) {
            let mut m = machine_in(state);
            let actions = m.handle(event.clone(), at(8));
            assert_eq!((m.state().0, actions), (becomes, done), "{event:?} in {}", state.as_str());
        }
    }
}

#[test]
fn a_new_version_that_is_refused_changes_nothing_but_the_state() {
    let mut m = machine_in(State::Active);
    assert_eq!(drive(&mut m, 3, &[Event::Wanted(version(B))]), [Action::Load(version(B))]);
    assert_eq!((m.state().0, m.serving()), (State::Loading, Some(version(A))));
    assert_eq!(drive(&mut m, 4, &[Event::Refused(version(B), "trapped".into())]), []);
    assert_eq!((m.state(), m.serving()), ((State::Rejected, "trapped"), Some(version(A))));
    assert!(m.is_last_good());
    // The file is put back as it was.
    assert_eq!(drive(&mut m, 5, &[Event::Wanted(version(A))]), []);
    assert_eq!((m.state().0, m.is_last_good(), m.generation()), (State::Active, false, 1));
    // And once more the bad one: it is known.
    assert_eq!(drive(&mut m, 6, &[Event::Wanted(version(B))]), []);
    assert_eq!(m.state().0, State::Rejected);
}

#[test]
fn pauses_double_and_ten_good_seconds_start_over() {
    let mut m = machine_in(State::Active);
    let mut now = at(100);
    for pause in [1, 2] {
        assert_eq!(m.handle(failed(1), now), []);
        let due = m.deadline().unwrap();
        assert_eq!(due, now.after(Duration::from_secs(pause)));
        assert_eq!(m.handle(Event::Tick, due), [Action::Rebuild]);
        now = due.after(Duration::from_secs(1));
    }
    // Good for ten seconds, and the failures from before are a minute old.
    now = now.after(Duration::from_secs(61));
    assert_eq!(m.handle(failed(1), now), []);
    assert_eq!(m.deadline(), Some(now.after(FIRST_PAUSE)));
}

#[test]
fn the_fourth_failure_in_a_minute_returns_to_the_last_good_version() {
    let mut m = machine_in(State::Active);
    drive(&mut m, 3, &[Event::Wanted(version(B)), Event::Loaded(version(B)), Event::Passed(version(B))]);
    assert_eq!((m.serving(), m.generation()), (Some(version(B)), 2));
    drive(&mut m, 10, &[failed(2), failed(2), failed(2)]);
    assert_eq!(m.state().0, State::BackingOff);
    let actions = drive(&mut m, 13, &[failed(2)]);
    assert_eq!(actions, [Action::Withdraw, Action::Forget(version(B)), Action::Load(version(A))]);
    assert_eq!(m.state().0, State::Quarantined);
    assert_eq!(m.state().1, "4 failures within 60 s, the last: trapped");
    drive(&mut m, 14, &[Event::Loaded(version(A)), Event::Passed(version(A))]);
    assert_eq!((m.state().0, m.serving(), m.is_last_good()), (State::Quarantined, Some(version(A)), true));
    // The directory says the same as before: it is not tried again. Another configuration is another version.
    assert_eq!(drive(&mut m, 15, &[Event::Wanted(version(B))]), []);
    let other = Version { config: Digest([7; 32]), ..version(B) };
    assert_eq!(drive(&mut m, 16, &[Event::Wanted(other)]), [Action::Load(other)]);
}

#[test]
fn failures_over_more_than_a_minute_never_quarantine() {
    let mut m = machine_in(State::Active);
    for second in (0..1000).step_by(21) {
        let _ = m.handle(Event::Tick, at(100 + second));
        assert_eq!(m.handle(failed(1), at(100 + second)), [], "at {second}");
    }
    assert_eq!(m.state().0, State::BackingOff);
}

#[test]
fn what_an_earlier_run_kept_serves_when_the_file_is_bad_or_missing_at_the_start() {
    let (bad, kept) = (version(B), version(KEPT));
    for first in [Event::Gone, Event::Unusable("mode 666".into())] {
        let mut m = Machine::new(vec![kept]);
        assert_eq!(drive(&mut m, 0, &[first]), [Action::Load(kept)]);
        assert_eq!(drive(&mut m, 1, &[Event::Passed(kept)]), [Action::Publish(kept)]);
        assert!(m.is_last_good());
    }
    let mut m = Machine::new(vec![kept, version(A)]);
    assert_eq!(drive(&mut m, 0, &[Event::Wanted(bad)]), [Action::Load(bad)]);
    assert_eq!(drive(&mut m, 1, &[Event::Refused(bad, "no".into())]), [Action::Load(kept)]);
    // That one is of no use either: the one before it.
    assert_eq!(
        drive(&mut m, 2, &[Event::Refused(kept, "no".into())]),
        [Action::Forget(kept), Action::Load(version(A))]
    );
}

#[test]
fn a_host_that_stumbled_tries_again() {
    let mut m = machine_in(State::Loading);
    drive(&mut m, 1, &[Event::Stumbled(version(A), "disk full".into())]);
    assert_eq!(m.state(), (State::Rejected, "disk full"));
    assert_eq!(m.handle(Event::Tick, at(30)), []);
    assert_eq!(m.handle(Event::Tick, m.deadline().unwrap()), [Action::Load(version(A))]);
}

#[test]
fn a_version_that_was_overtaken_while_it_loaded_is_dropped() {
    let mut m = machine_in(State::Loading);
    assert_eq!(drive(&mut m, 1, &[Event::Wanted(version(B))]), [Action::Load(version(B))]);
    assert_eq!(drive(&mut m, 2, &[Event::Passed(version(A))]), []);
    assert_eq!(drive(&mut m, 3, &[Event::Passed(version(B))]), [Action::Publish(version(B))]);
}

/// Any events in any order, against what an operator relies on.
#[test]
fn whatever_happens_the_promises_hold() {
    for seed in 1..400u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let kept: Vec<_> = (0..random(3)).map(|n| version(KEPT + n as u8)).collect();
        let mut m = Machine::new(kept);
        let mut now = Moment::ZERO;
        let mut asked = Vec::new();
        for _ in 0..300 {
            now = now.after(Duration::from_millis(random(12_000)));
            let v = if random(3) == 0 { version(KEPT) } else { version(random(4) as u8) };
            let (before, generation) = (m.serving(), m.generation());
            let event = match random(10) {
                0 | 1 => Event::Wanted(v),
                2 => Event::Unusable("bad".into()),
                3 if random(4) == 0 => Event::Gone,
                4 => Event::Loaded(v),
                5 | 6 => Event::Passed(m.loading.map_or(v, |(loading, _)| loading)),
                7 => Event::Refused(m.loading.map_or(v, |(loading, _)| loading), "bad".into()),
                8 => Event::Stumbled(m.loading.map_or(v, |(loading, _)| loading), "full".into()),
                9 if random(20) == 0 => Event::Retry,
                9 => failed(generation - generation.min(random(2))),
                _ => Event::Tick,
            };
            let actions = m.handle(event.clone(), now);
            for action in &actions {
                match action {
                    Action::Load(v) => {
                        assert!(!m.is_bad(*v), "a bad version is loaded");
                        asked.push(*v);
                    }
                    Action::Publish(v) => {
                        assert!(asked.contains(v), "what was never tried is put to use");
                        assert_eq!((m.serving(), m.generation()), (Some(*v), generation + 1));
                    }
                    Action::Withdraw => assert!(before.is_some()),
                    Action::Rebuild => assert_eq!(m.serving(), before),
                    Action::Forget(v) => assert!(!m.kept.contains(v)),
                }
            }
            let fault = matches!(event, Event::Failed { .. } | Event::Gone | Event::Passed(_));
            assert!(m.serving() == before || fault, "{event:?} changed what serves");
            assert!(m.serving().is_none_or(|v| !m.is_bad(v)), "a bad version serves");
            // Nothing is left undone: where nothing serves and something could, it is being loaded.
            let could = m.kept.iter().any(|v| !m.is_bad(*v));
            let idle = m.serving().is_none() && m.loading.is_none() && m.wish != Wish::Unknown;
            assert!(!(idle && could), "a good version lies idle");
            assert!(m.deadline().is_none_or(|at| at >= now || event != Event::Tick));
            assert!(m.bad.len() <= MAX_BAD && m.kept.len() <= MAX_KEPT);
        }
    }
}
