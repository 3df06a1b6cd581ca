//! A client that asks one thing after the other, without a pause, and looks at every answer: none may be missing, none wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::answer::Answer;
use super::exchange::Client;
use super::query::Query;

/// An answer that takes so long is lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Faults that are told in words.
const TOLD: usize = 5;

/// What a question's answer must be: `Err` says what is wrong with it.
pub(crate) type Judge<'j> = dyn FnMut(usize, &Answer) -> Result<()> + 'j;

/// What came of it.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(crate) struct Tally {
    /// Queries.
    pub(crate) asked: u64,
    /// Queries without an answer.
    pub(crate) lost: u64,
    /// Answers that are not what they must be.
    pub(crate) wrong: u64,
    /// The first of them.
    pub(crate) faults: Vec<String>,
}

impl Tally {
    /// This and another client's.
    pub(crate) fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.faults.extend(other.faults);
        self.faults.truncate(TOLD);
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < TOLD {
            self.faults.push(what);
        }
    }
}

/// Asks these in turn until it is told to stop; `judge` gets the number of the question and its answer.
pub(crate) fn ask_until(
    server: SocketAddr,
    questions: &[Query],
    stop: &AtomicBool,
    judge: &mut Judge<'_>,
) -> Result<Tally> {
    let mut client = Client::of(server)?;
    let mut tally = Tally::default();
    for (number, (which, question)) in (0_u16..=u16::MAX).cycle().zip(questions.iter().enumerate().cycle()) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        tally.asked += 1;
        let query = question.clone().numbered(number);
        let Some(bytes) = client.exchange(&query, ANSWER_WITHIN)? else {
            tally.lost += 1;
            continue;
        };
        let judged = query.is_repeated_in(&bytes).and_then(|()| judge(which, &Answer::read(&bytes)?));
        if let Err(fault) = judged {
            tally.wrong += 1;
            tally.fault(format!("{fault:#}"));
        }
    }
    Ok(tally)
}
