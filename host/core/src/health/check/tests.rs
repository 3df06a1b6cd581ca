use std::time::Duration;

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);
const FAST: Duration = Duration::from_secs(1);

fn check(rise: u32, fall: u32) -> Check {
    let timing =
        CheckTiming { interval: INTERVAL, fast_interval: FAST, timeout: Duration::from_secs(1), rise, fall };
    Check::new(timing, 7, Moment::ZERO)
}

/// Plays results, `+` passed and `-` failed, each at the time that the check asked for; gives the states after each.
fn play(check: &mut Check, results: &str) -> String {
    let mut states = String::new();
    for result in results.chars() {
        let now = check.cadence.deadline().expect("a check is always waited for between results");
        assert!(check.cadence.start(now));
        check.ended(if result == '+' { Ok(()) } else { Err("refused".into()) }, now);
        states.push(match check.health() {
            CheckHealth::Up => 'u',
            CheckHealth::Down => 'd',
            CheckHealth::Unknown => '?',
        });
    }
    states
}

#[test]
fn the_first_result_decides_alone() {
    assert_eq!(check(5, 5).health(), CheckHealth::Unknown);
    assert_eq!(play(&mut check(5, 5), "+"), "u");
    assert_eq!(play(&mut check(5, 5), "-"), "d");
}

#[test]
fn it_takes_fall_failures_in_a_row_to_go_down_and_rise_passes_to_come_up() {
    assert_eq!(play(&mut check(2, 3), "+--+---+-++"), "uuuuuudddd".to_owned() + "u");
    assert_eq!(play(&mut check(1, 1), "+-+-"), "udud");
}

#[test]
fn between_states_it_hurries_and_says_how_far_it_is() {
    let mut check = check(2, 3);
    let gap = |check: &mut Check, result: &str| {
        let before = check.cadence.deadline().unwrap();
        play(check, result);
        check.cadence.deadline().unwrap().since(before)
    };
    let near =
        |gap: Duration, interval: Duration| gap >= interval.mul_f64(0.9) && gap <= interval.mul_f64(1.1);
    gap(&mut check, "+"); // the second round is spread further
    assert_eq!(check.note(), None);
    assert!(near(gap(&mut check, "+"), INTERVAL));
    assert!(near(gap(&mut check, "-"), FAST));
    assert_eq!(check.note().as_deref(), Some("1 of 3 failed checks: refused"));
    assert!(near(gap(&mut check, "-"), FAST));
    assert!(near(gap(&mut check, "-"), INTERVAL));
    assert!(near(gap(&mut check, "+"), FAST));
    assert_eq!(check.note().as_deref(), Some("1 of 2 passed checks"));
    assert!(near(gap(&mut check, "+"), INTERVAL));
}

#[test]
fn a_check_that_could_not_be_tried_changes_nothing_that_is_known_and_is_told() {
    for (before, health) in [("", CheckHealth::Unknown), ("+", CheckHealth::Up), ("---", CheckHealth::Down)] {
        let mut check = check(2, 2);
        play(&mut check, before);
        for _ in 0..5 {
            let now = check.cadence.deadline().unwrap();
            assert!(check.cadence.start(now));
            check.untried("no way there".into(), now);
            assert_eq!((check.health(), check.why_untried()), (health, Some("no way there")));
        }
    }
    // It neither counts as a failure nor forgives one.
    let mut check = check(2, 2);
    play(&mut check, "+-");
    let now = check.cadence.deadline().unwrap();
    check.cadence.start(now);
    check.untried("no way there".into(), now);
    assert_eq!((play(&mut check, "-").as_str(), check.why_untried()), ("d", None));
}

#[test]
fn a_result_that_nobody_asked_for_changes_nothing() {
    let mut check = check(1, 1);
    check.ended(Err("stale".into()), Moment::ZERO);
    assert_eq!((check.health(), check.failure()), (CheckHealth::Unknown, ""));
}

#[test]
fn a_pause_forgets_and_is_followed_by_a_check_at_once() {
    let mut check = check(3, 3);
    play(&mut check, "+-");
    let now = check.cadence.deadline().unwrap();
    assert!(check.cadence.start(now));
    check.pause();
    check.ended(Err("of before the pause".into()), now);
    assert_eq!(check.cadence.deadline(), None);
    check.resume(now);
    assert_eq!((check.health(), check.cadence.deadline()), (CheckHealth::Unknown, Some(now)));
    assert_eq!(play(&mut check, "-"), "d");
}
