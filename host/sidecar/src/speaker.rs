//! The BGP speaker: sockets, bytes and clock around `weir_core::bgp` and `weir_core::bfd`.
//!
//! ```text
//!   Speaker ---- set, status, stop: from any thread; binds the ports that need a capability
//!      |
//!   director ---- the configuration and its differences, stages of a leave             thread `speaker`,
//!      | one for each                                                                  without capabilities
//!   neighbor ---- the machine, two connections, nobody else's pace
//!      |
//!   connection -- bytes -- what is on the wire; the only place that knows bgpkit-parser
//!
//!   bfd ---- small packets, and nothing that could hold them up                        thread `bfd`, likewise
//! ```
//!
//! What is configured is [`weir_core::desired::speaker::Config`], whole; what became of it is written on a board that anybody
//! may read at any time. Nothing that a neighbor says is installed anywhere.

mod bfd;
mod board;
mod bytes;
mod clock;
mod connection;
mod dial;
pub(crate) mod dice;
mod director;
mod doors;
#[cfg(test)]
mod hostile;
mod neighbor;
mod options;
pub(crate) mod priority;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use weir_core::desired::speaker::{Config, Fault, Status};

use board::Board;
use clock::Clock;
use director::{Command, Director};

/// So long at most it takes to tell all neighbors that it is over.
const FAREWELL: Duration = Duration::from_secs(3);

/// A running speaker. Dropped, it ends all sessions without a word of why.
#[derive(Debug)]
pub struct Speaker {
    board: Board,
    commands: mpsc::UnboundedSender<Command>,
    /// Where there is a listening socket already.
    bound: BTreeSet<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

/// Why a configuration is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It is faulty. The one before stays in force.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The speaker's thread is over: a fault of this program. The process has to be started again.
    #[error("the speaker has ended; the sidecar has to be started again")]
    Ended,
}

impl Speaker {
    /// A speaker that says nothing yet. `enter` is run by each of its threads before anything else: it is to give up what a
    /// thread that reads a neighbor's bytes must not have.
    ///
    /// # Errors
    /// There is no thread to be had, or `enter` failed.
    pub fn start(enter: impl Fn() -> io::Result<()> + Clone + Send + 'static) -> io::Result<Self> {
        let clock = Clock::start();
        let board = Board::new(clock);
        let (commands, told) = mpsc::unbounded_channel();
        let (orders, bfd_told) = mpsc::unbounded_channel();
        let (reports, reported) = mpsc::unbounded_channel();
        let director = {
            let board = board.clone();
            move || Director::new(clock, board, orders).run(told, reported)
        };
        let watch = {
            let board = board.clone();
            move || {
                if let Err(error) = priority::take() {
                    tracing::warn!(%error, "BFD waits for its turn like everybody: a busy machine may cost its sessions");
                }
                bfd::Watch::new(clock, board, reports).run(bfd_told)
            }
        };
        let threads = vec![thread("speaker", enter.clone(), director)?, thread("bfd", enter, watch)?];
        Ok(Self { board, commands, bound: BTreeSet::new(), threads })
    }

    /// This and nothing else is to be done from now on. Sessions whose settings did not change go on. A listening address that
    /// could not be had is tried again each time, also where the configuration is the same as before.
    ///
    /// Ports below 1024 are bound here, by the thread that calls.
    ///
    /// # Errors
    /// Nothing of it is done.
    pub fn set(&mut self, config: Config) -> Result<(), SetError> {
        config.check()?;
        self.bound.retain(|address| config.listen.contains(address));
        let mut bound = Vec::new();
        for address in &config.listen {
            if !self.bound.contains(address) {
                let socket = dial::bind_listener(*address);
                if socket.is_ok() {
                    self.bound.insert(*address);
                }
                bound.push((*address, socket));
            }
        }
        self.commands.send(Command::Set(Box::new(config), bound)).map_err(|_| SetError::Ended)
    }

    /// What it does now. Never waits for the speaker.
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// Ends all sessions and tells the neighbors why. Blocks until they were told, for [`FAREWELL`] at most.
    pub fn stop(mut self, why: &str) {
        let (done, told) = oneshot::channel();
        if self.commands.send(Command::Stop(why.to_owned(), done)).is_err() {
            return;
        }
        let (ended, end) = sync_channel(1);
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        let waiter = std::thread::Builder::new().name("farewell".to_owned()).spawn(move || {
            // The answer and the end of the threads are the same news.
            let _ = told.blocking_recv();
            for thread in threads {
                let _ = thread.join();
            }
            let _ = ended.send(());
        });
        if waiter.is_ok() {
            let _ = end.recv_timeout(FAREWELL);
        }
    }
}

/// A thread with a runtime of its own. Returns when it has begun.
fn thread<F>(
    name: &str,
    enter: impl FnOnce() -> io::Result<()> + Send + 'static,
    job: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()>,
{
    let (begun, beginning) = sync_channel(1);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime =
            enter().and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
        match runtime {
            Ok(runtime) => {
                // Whoever started it waits for this.
                let _ = begun.send(Ok(()));
                runtime.block_on(job());
            }
            Err(error) => drop(begun.send(Err(error))),
        }
    })?;
    beginning.recv().map_err(io::Error::other)??;
    Ok(thread)
}
