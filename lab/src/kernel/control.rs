//! The socket by which another terminal reaches a run: `target/lab/runs/NAME/control`.
//!
//! A visitor asks for one thing in one line. The answer comes from inside, by the same channel as the job's lines,
//! marked so that it is not taken for one of them. A visitor's connection stays open as long as the visit lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Kernel, LONGEST};
use crate::paths;

/// Starts lines of visits, both ways. No text has it.
pub(crate) const MARK: char = '\u{1}';
/// Consoles of the user-mode kernel that are kept for visitors.
const CONSOLES: [u8; 2] = [2, 3];

/// What a visitor wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Visit {
    /// A shell in a node. The console is chosen by the run; none on the machine's own kernel.
    Shell { node: String, rows: u16, columns: u16, console: Option<u8> },
    /// A packet trace of a node for so many seconds.
    Capture { node: String, seconds: u64 },
    /// The visitor of this number has left; a shell without anybody ends.
    Leave { number: u32 },
}

/// A visit on its way in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) number: u32,
    pub(crate) visit: Visit,
}

/// What came of a visit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// A shell waits at this console; none: the visitor enters by itself.
    Console(Option<u8>),
    /// It is in this file.
    File(PathBuf),
    /// The shell has ended.
    Left,
    /// It could not be had.
    No(String),
}

/// An answer on its way out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) number: u32,
    pub(crate) answer: Answer,
}

/// The outside of the channel to a job, shared by the run and its visitors.
#[derive(Default)]
pub(super) struct Wire {
    orders: Mutex<Option<ChildStdin>>,
    visits: Mutex<Visits>,
}

#[derive(Default)]
struct Visits {
    last: u32,
    waiting: BTreeMap<u32, Sender<Answer>>,
    consoles: BTreeSet<u8>,
}

impl Wire {
    pub(super) fn new(orders: Option<ChildStdin>) -> Arc<Self> {
        Arc::new(Self { orders: Mutex::new(orders), ..Self::default() })
    }

    /// Sends a line to the job.
    pub(super) fn send(&self, line: &str) -> Result<()> {
        if line.len() > LONGEST {
            bail!("an order of {} bytes: {LONGEST} pass at most", line.len());
        }
        let mut orders = lock(&self.orders);
        let orders = orders.as_mut().context("the run takes no orders any more")?;
        orders.write_all(format!("{line}\n").as_bytes()).context("the run has ended")
    }

    /// Ends the job's input.
    pub(super) fn close(&self) {
        *lock(&self.orders) = None;
    }

    /// Takes a line of the job that belongs to a visit; gives back any other.
    pub(super) fn sort(&self, line: String) -> Option<String> {
        let Some(text) = line.strip_prefix(MARK) else { return Some(line) };
        if let Ok(reply) = serde_json::from_str::<Reply>(text)
            && let Some(waiting) = lock(&self.visits).waiting.get(&reply.number)
        {
            // A visitor who has left needs no answer.
            drop(waiting.send(reply.answer));
        }
        None
    }

    /// Has a visitor number and the answers that will come.
    fn admit(&self) -> (u32, Sender<Answer>, Receiver<Answer>) {
        let (sender, answers) = channel();
        let mut visits = lock(&self.visits);
        visits.last += 1;
        let number = visits.last;
        visits.waiting.insert(number, sender.clone());
        (number, sender, answers)
    }

    fn order(&self, number: u32, visit: Visit) -> Result<()> {
        self.send(&format!("{MARK}{}", serde_json::to_string(&Order { number, visit })?))
    }

    fn take_console(&self) -> Result<u8> {
        let mut visits = lock(&self.visits);
        let free = CONSOLES.into_iter().find(|console| !visits.consoles.contains(console));
        let free =
            free.with_context(|| format!("{} shells are open, and there are no more", CONSOLES.len()))?;
        visits.consoles.insert(free);
        Ok(free)
    }

    fn give_console(&self, console: u8) {
        lock(&self.visits).consoles.remove(&console);
    }
}

/// Listens for visitors until the process ends. A path that is too long for a socket only costs the visits.
pub(super) fn listen(out: &Path, kernel: Kernel, wire: &Arc<Wire>) -> Result<()> {
    let listener = UnixListener::bind(socket(out)).context("no visitors: the run's path is too long")?;
    let wire = Arc::clone(wire);
    std::thread::spawn(move || {
        for visitor in listener.incoming().map_while(Result::ok) {
            let wire = Arc::clone(&wire);
            std::thread::spawn(move || drop(serve(visitor, kernel, &wire)));
        }
    });
    Ok(())
}

fn serve(mut visitor: UnixStream, kernel: Kernel, wire: &Wire) -> Result<()> {
    let mut line = String::new();
    BufReader::new(visitor.try_clone()?).read_line(&mut line)?;
    let mut visit: Visit = serde_json::from_str(&line)?;
    let mut taken = None;
    if let (Kernel::Uml, Visit::Shell { console, .. }) = (kernel, &mut visit) {
        match wire.take_console() {
            Ok(free) => *console = Some(free),
            Err(error) => return tell(&mut visitor, &Answer::No(format!("{error:#}"))),
        }
        taken = *console;
    }
    let (number, sender, answers) = wire.admit();
    let served = (|| {
        wire.order(number, visit)?;
        let answer = answers.recv().context("the run has ended")?;
        let stays = matches!(answer, Answer::Console(Some(_)));
        tell(&mut visitor, &answer)?;
        if stays {
            stay(&mut visitor, number, &sender, &answers, wire)?;
        }
        Ok(())
    })();
    lock(&wire.visits).waiting.remove(&number);
    if let Some(console) = taken {
        wire.give_console(console);
    }
    served
}

/// Waits for the end of a shell, or for its visitor to leave, and then for the end of the shell.
fn stay(
    visitor: &mut UnixStream,
    number: u32,
    sender: &Sender<Answer>,
    answers: &Receiver<Answer>,
    wire: &Wire,
) -> Result<()> {
    let mut listening = visitor.try_clone()?;
    let gone = sender.clone();
    std::thread::spawn(move || {
        drop(listening.read(&mut [0]));
        drop(gone.send(Answer::No("the visitor has left".to_owned())));
    });
    let ended = answers.recv().context("the run has ended")?;
    if !matches!(ended, Answer::Left) {
        wire.order(number, Visit::Leave { number })?;
        drop(answers.recv());
    }
    Ok(visitor.shutdown(std::net::Shutdown::Both)?)
}

fn tell(visitor: &mut UnixStream, answer: &Answer) -> Result<()> {
    Ok(writeln!(visitor, "{}", serde_json::to_string(answer)?)?)
}

/// A visitor's end: keeps the visit open until it is dropped.
pub(crate) struct Visitor {
    /// Open as long as the visit lasts; its end is the visit's.
    pub(crate) open: UnixStream,
    /// The run that is visited.
    pub(crate) out: PathBuf,
    /// What came of it.
    pub(crate) answer: Answer,
}

/// Visits the run of this name, or the one that there is.
pub(crate) fn visit(run: Option<&str>, visit: &Visit) -> Result<Visitor> {
    let (out, mut open) = find(run)?;
    writeln!(open, "{}", serde_json::to_string(visit)?)?;
    let mut line = String::new();
    BufReader::new(open.try_clone()?).read_line(&mut line)?;
    let answer = serde_json::from_str(&line).context("the run ended meanwhile")?;
    if let Answer::No(why) = answer {
        bail!("{why}");
    }
    Ok(Visitor { open, out, answer })
}

fn find(run: Option<&str>) -> Result<(PathBuf, UnixStream)> {
    let runs = paths::lab("runs");
    let entries = std::fs::read_dir(&runs).into_iter().flatten().flatten().map(|entry| entry.path());
    let wanted = |out: &PathBuf| run.is_none_or(|run| out.file_name().is_some_and(|name| name == run));
    let mut open: Vec<(PathBuf, UnixStream)> = entries
        .filter(wanted)
        .filter_map(|out| UnixStream::connect(socket(&out)).ok().map(|stream| (out, stream)))
        .collect();
    let names: Vec<String> =
        open.iter().filter_map(|(out, _)| Some(out.file_name()?.to_string_lossy().into_owned())).collect();
    match (open.pop(), names.len()) {
        (Some(only), 1) => Ok(only),
        (None, _) => bail!("no lab is running; start one in another terminal: cargo lab up"),
        (Some(_), _) => bail!("several runs are running; say which by --run: {}", names.join(", ")),
    }
}

fn socket(out: &Path) -> PathBuf {
    out.join("control")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_visitors_are_not_taken_for_lines_of_the_job() {
        let wire = Wire::new(None);
        let (sender, answer) = channel();
        lock(&wire.visits).waiting.insert(7, sender);
        assert_eq!(wire.sort("a line".to_owned()).as_deref(), Some("a line"));
        assert_eq!(wire.sort(format!("{MARK}{{\"number\":7,\"answer\":{{\"console\":2}}}}")), None);
        assert!(matches!(answer.recv().unwrap(), Answer::Console(Some(2))));
    }

    #[test]
    fn there_are_as_many_shells_as_consoles_and_a_left_one_is_free_again() {
        let wire = Wire::new(None);
        assert_eq!(wire.take_console().unwrap(), 2);
        assert_eq!(wire.take_console().unwrap(), 3);
        assert!(wire.take_console().is_err());
        wire.give_console(2);
        assert_eq!(wire.take_console().unwrap(), 2);
    }
}
