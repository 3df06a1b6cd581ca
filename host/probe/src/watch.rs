//! The driver of a pool's health machines.
//!
//! One task owns the machines of all servers; a check is a task of its own that ends with an event for it. So
//! nothing is shared, nothing is locked, and a check that hangs delays nobody.

mod driver;
mod judging;
mod task;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use weir_core::health::{HealthSpec, Operator, OperatorCommand, Status};
use weir_core::model::State;

use crate::agent::Question;
use crate::check::Check;
use crate::clock::Clock;
use driver::{Command, Driver};
pub use judging::{Judged, Judgements};

/// A server that is to be watched.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Unique in the pool.
    pub name: Arc<str>,
    /// When it is checked and what it weighs. Its `check` counts only beside the `check` below, its `agent` beside
    /// the `agent` below.
    pub spec: HealthSpec,
    /// What is checked.
    pub check: Option<Check>,
    /// Who is asked.
    pub agent: Option<Question>,
    /// Who says what observations of it mean. `None`: checks by what they expect, agents by the words that they say.
    pub judge: Option<Judged>,
    /// What an operator ordered before this process began. Only looked at when the server is new to the watch.
    pub operator: Operator,
}

/// There is no server of this name in the pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no server {0:?} in this pool")]
pub struct UnknownServer(pub Arc<str>);

/// Watches the servers of one pool. Dropping it ends every check and every callback.
#[derive(Debug)]
pub struct Watch {
    // Unbounded, since what comes in are commands of people and files, and whoever sends must not wait.
    commands: mpsc::UnboundedSender<Command>,
    judgements: Arc<Judgements>,
}

impl Watch {
    /// Starts a watch of no servers yet. To be called within a tokio runtime, whose tasks it uses.
    ///
    /// `seed` spreads the checks over time: make it from the names of node and pool. `on_change` is
    /// called for every new server at once and then for whatever changes ([`Status::standing`] says whether it
    /// matters to requests); it runs between checks, so it must not block.
    pub fn start(
        clock: Clock,
        seed: u64,
        on_change: impl FnMut(&Arc<str>, &Status) + Send + 'static,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let judgements = Arc::default();
        tokio::spawn(Driver::new(clock, seed, Arc::clone(&judgements), on_change).run(inbox));
        Self { commands, judgements }
    }

    /// These are the servers now, all of them. What is known of a server stays known through any change but
    /// one: a server that is checked at another address is another server, unknown until its first check has ended.
    /// Its operator's orders stay even then. What an agent said is forgotten when another address is asked, and what a judge said
    /// when another one judges.
    pub fn set(&self, servers: Vec<Watched>) {
        self.tell(Command::Set(servers));
    }

    /// An operator's command. Answers with what it led to.
    ///
    /// # Errors
    /// Where the pool has no such server.
    pub async fn operator(&self, name: &str, command: OperatorCommand) -> Result<Status, UnknownServer> {
        let name: Arc<str> = name.into();
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Operator { name: Arc::clone(&name), command, reply });
        answer.await.ok().flatten().ok_or(UnknownServer(name))
    }

    /// What became of the questions to judges.
    pub fn judgements(&self) -> &Judgements {
        &self.judgements
    }

    /// What a server stands under is in this state now; [`State::Up`] takes it back.
    pub fn inherit(&self, name: &str, state: State) {
        self.tell(Command::Inherit { name: name.into(), state });
    }

    /// Every server's status, by name.
    pub async fn snapshot(&self) -> Vec<(Arc<str>, Status)> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Snapshot(reply));
        answer.await.unwrap_or_default()
    }

    fn tell(&self, command: Command) {
        // The driver ends before its handle only together with the runtime, and then nobody is left to tell.
        let _ = self.commands.send(command);
    }
}

#[cfg(test)]
mod tests;
