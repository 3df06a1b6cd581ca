//! What the tasks of a [`Watch`](super::Watch) do, and what comes of them.

use tokio::task::{AbortHandle, JoinSet};
use weir_core::health::{AgentReport, Event, Judgement, Load, MAX_LINE, Observation, parse_agent_line};

use super::{Judged, Watched};
use crate::agent::AgentFailure;
use crate::check::{CheckError, Seen};

/// What a task does. A question to a judge about a check is a part of that check, and so with an agent's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Check,
    Agent,
    Tick,
}

/// What came of a task.
pub(super) enum Outcome {
    /// News for the machine.
    Event(Event),
    /// What a check saw, what counts where nobody judges it, and what the answer says of the server's load.
    Seen(Observation, Result<(), String>, Option<Result<Load, String>>),
    /// What an agent said, and the same.
    Line(String, Result<AgentReport, String>),
    /// What this judge answered, and what news that is.
    Said(Judged, Judgement, Question),
}

/// From a judge's answer to news for the machine.
pub(super) type Question = Box<dyn FnOnce(Judgement) -> Event + Send>;

pub(super) fn start_check(tasks: &mut JoinSet<Outcome>, watched: &Watched) -> Option<AbortHandle> {
    let check = watched.check.clone()?;
    let timeout = watched.spec.check?.timeout;
    Some(tasks.spawn(async move {
        match check.look(timeout).await {
            Ok(seen) => {
                let counts = check.expects(&seen).map_err(|error| error.to_string());
                let load = match &seen {
                    Seen::Http { load, .. } => load.as_deref().map(Load::parse),
                    Seen::Tcp(_) => None,
                };
                Outcome::Seen(seen.into(), counts, load)
            }
            // Nobody was asked, so it says nothing of the server: a node that is short of ports would take all of them out.
            Err(error @ (CheckError::Untried { .. } | CheckError::Local { .. })) => {
                Outcome::Event(Event::CheckUntried(error.to_string()))
            }
            Err(error) => Outcome::Seen(Observation::Failed(error.to_string()), Err(error.to_string()), None),
        }
    }))
}

/// An agent that does not answer is no news, and nobody is asked about it.
pub(super) fn start_question(tasks: &mut JoinSet<Outcome>, watched: &Watched) -> Option<AbortHandle> {
    let question = watched.agent.clone()?;
    let timeout = watched.spec.agent?.interval;
    Some(tasks.spawn(async move {
        let said = match question.line(timeout).await {
            Ok(said) => said,
            Err(error) => return Outcome::Event(Event::AgentFailed(AgentFailure::from(error).to_string())),
        };
        let failure = |source| AgentFailure::BadLine { address: question.address, source }.to_string();
        let counts = parse_agent_line(&said).map_err(failure);
        match line(&said) {
            Some(line) => Outcome::Line(line, counts),
            None => Outcome::Event(counts.map_or_else(Event::AgentFailed, Event::Agent)),
        }
    }))
}

/// A whole line without its end. Half of one, or one that is too long, is for no judge.
fn line(said: &[u8]) -> Option<String> {
    let (_, line) = said.split_last().filter(|(end, _)| matches!(end, b'\r' | b'\n'))?;
    (line.len() <= MAX_LINE).then(|| String::from_utf8_lossy(line).into_owned())
}
