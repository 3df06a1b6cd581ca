//! How long an answer may be believed: as long as it takes to notice that it is wrong, and no longer.

use std::time::Duration;

use crate::health::CheckTiming;
use crate::model::State;

/// The least time from now until checks can have changed this state: what is left of the run of results that it takes. `None` where
/// nothing checks it, so that only people change it.
pub(super) fn time_to_change(
    check: Option<&CheckTiming>,
    state: State,
    is_in_doubt: bool,
) -> Option<Duration> {
    let check = check?;
    let needed = match state {
        State::Down => check.rise,
        State::Up | State::Drain | State::Maint => check.fall,
    };
    if is_in_doubt {
        // One of the results that it takes may be all that lacks.
        return Some(check.fast_interval);
    }
    Some(check.interval + check.fast_interval * needed.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_holds_for_the_checks_that_it_takes_to_change_it() {
        let seconds = Duration::from_secs;
        let check = CheckTiming {
            interval: seconds(5),
            fast_interval: seconds(1),
            timeout: seconds(1),
            rise: 2,
            fall: 5,
        };
        assert_eq!(time_to_change(Some(&check), State::Up, false), Some(seconds(9)));
        assert_eq!(time_to_change(Some(&check), State::Down, false), Some(seconds(6)));
        assert_eq!(time_to_change(Some(&check), State::Up, true), Some(seconds(1)));
        assert_eq!(time_to_change(None, State::Up, true), None);
    }
}
