//! What is kept of one server for its judge: how many observations were alike in a row, and when time alone is worth a question.

use std::sync::Arc;
use std::time::Duration;

use super::verdict::{Observation, Subject};
use crate::model::State;
use crate::time::Moment;

/// After so long without an observation the judge is told that nothing was seen.
pub const TICK: Duration = Duration::from_secs(1);

/// The questions to a judge about one server. Checks and lines of agents are counted apart.
#[derive(Debug, Clone)]
pub struct Asked {
    id: u32,
    checks: Run,
    lines: Run,
    /// When the next tick is due; `None` before the first observation, since there is nothing yet that could run out.
    tick: Option<Moment>,
}

/// Observations of one kind that ended alike.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    answered: bool,
    length: u32,
}

impl Asked {
    /// Nothing was asked yet. `id` is the server's, for as long as it is checked.
    pub const fn new(id: u32) -> Self {
        let run = Run { answered: false, length: 0 };
        Self { id, checks: run, lines: run, tick: None }
    }

    /// When [`Asked::is_tick_due`] is worth a look.
    pub const fn deadline(&self) -> Option<Moment> {
        self.tick
    }

    /// Whether the judge is to be told that nothing was seen: a question about an [`Observation::Tick`] is due.
    pub fn is_tick_due(&self, now: Moment) -> bool {
        self.tick.is_some_and(|at| at <= now)
    }

    /// Counts an observation in, and says who it is about. `current` is its state before.
    pub fn about(
        &mut self,
        observation: &Observation,
        name: &Arc<str>,
        labels: &Arc<[(String, String)]>,
        current: State,
        now: Moment,
    ) -> Subject {
        self.tick = Some(now.after(TICK));
        let run = match observation {
            Observation::Agent(_) => &mut self.lines,
            _ => &mut self.checks,
        };
        if let Some(answered) = observation.is_answer() {
            run.length = if run.answered == answered { run.length.saturating_add(1) } else { 1 };
            run.answered = answered;
        }
        Subject {
            id: self.id,
            name: Arc::clone(name),
            current,
            // Of a server of which only lines were seen, a tick is told 1.
            streak: run.length.max(1),
            labels: Arc::clone(labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(asked: &mut Asked, observation: &Observation, millis: u64) -> u32 {
        let (name, labels) = ("a".into(), Arc::from([]));
        let now = Moment::from_micros(millis * 1000);
        asked.about(observation, &name, &labels, State::Up, now).streak
    }

    #[test]
    fn a_streak_is_of_checks_that_ended_alike_and_lines_are_counted_apart() {
        let mut server = Asked::new(7);
        let (good, bad) = (Observation::Tcp(Duration::ZERO), Observation::Failed("refused".into()));
        let line = Observation::Agent("up".into());
        let streaks = [&bad, &bad, &line, &bad, &Observation::Tick, &good, &line, &Observation::Tick, &good];
        let streaks = streaks.map(|observation| asked(&mut server, observation, 0));
        assert_eq!(streaks, [1, 2, 1, 3, 3, 1, 2, 1, 2]);
        assert_eq!(asked(&mut Asked::new(1), &Observation::Tick, 0), 1, "never less");
    }

    #[test]
    fn a_tick_is_due_a_second_after_the_last_question_and_not_before_the_first() {
        let mut server = Asked::new(7);
        let at = |millis: u64| Moment::from_micros(millis * 1000);
        assert_eq!((server.deadline(), server.is_tick_due(at(5000))), (None, false));
        asked(&mut server, &Observation::Tcp(Duration::ZERO), 5000);
        asked(&mut server, &Observation::Tcp(Duration::ZERO), 5200);
        assert_eq!(server.deadline(), Some(at(6200)));
        assert!(!server.is_tick_due(at(6199)) && server.is_tick_due(at(6200)));
        asked(&mut server, &Observation::Tick, 6300);
        assert_eq!(server.deadline(), Some(at(7300)));
    }
}
