//! The plugin directory. Events are hints; the truth is a scan that compares contents.
//!
//! inotify drops events, says nothing on network file systems, loses files whose directory was swapped (Kubernetes'
//! `..data`), and tells of a write before it is complete. So an event only brings the next scan forward, after a time of quiet,
//! and a timer scans anyway. One thread does it, and nothing that it meets can end it.

mod scan;

pub use scan::{Content, FileError, Rules};

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use scan::Scanner;

/// Quiet time after an event: whoever copies a file writes it in pieces.
const QUIET: Duration = Duration::from_millis(200);
/// A directory that is never quiet is scanned this often all the same.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// Between scans without an event.
const TIMER: Duration = Duration::from_secs(5);

/// What is known of one file.
#[derive(Debug, Clone)]
pub enum Finding {
    /// It is there.
    Content(Arc<Content>),
    /// It cannot be used.
    Unusable(FileError),
    /// It is not there, and has not been for the grace period.
    Absent,
}

impl Finding {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Content(a), Self::Content(b)) => a == b,
            (Self::Unusable(a), Self::Unusable(b)) => a.to_string() == b.to_string(),
            (Self::Absent, Self::Absent) => true,
            _ => false,
        }
    }
}

/// Every file, as of the last scan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    /// `None` where a file was seen and is not settled yet.
    files: BTreeMap<String, Option<Finding>>,
    /// What is wrong with the directory; no file of it is used then.
    problem: Option<FileError>,
    /// Whether it was ever scanned.
    scanned: bool,
}

impl Shelf {
    /// What is known of this file; `None` before the first scan.
    pub(crate) fn find(&self, file: &str) -> Option<Finding> {
        if let Some(problem) = &self.problem {
            return Some(Finding::Unusable(problem.clone()));
        }
        match self.files.get(file) {
            Some(finding) => finding.clone(),
            None if self.scanned => Some(Finding::Absent),
            None => None,
        }
    }
}

fn same(a: Option<&Finding>, b: Option<&Finding>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same(b),
        (None, None) => true,
        _ => false,
    }
}

type Listener = Box<dyn Fn() -> bool + Send>;

#[derive(Default)]
struct Board {
    shelf: Mutex<Shelf>,
    /// Called after a scan that found something else than the one before; a listener that says false is forgotten.
    listeners: Mutex<Vec<Listener>>,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("shelf", &self.shelf).finish_non_exhaustive()
    }
}

enum Call {
    Event,
    Scan(Sender<()>),
    Stop,
}

/// The directory and the thread that watches it.
#[derive(Debug)]
pub struct Library {
    board: Arc<Board>,
    calls: Sender<Call>,
    thread: Option<JoinHandle<()>>,
}

/// A view of the directory for one plugin instance.
#[derive(Debug, Clone)]
pub struct Subscription {
    board: Arc<Board>,
}

impl Subscription {
    /// What is known of this file; `None` before the first scan.
    pub fn find(&self, file: &str) -> Option<Finding> {
        self.board.shelf.lock().unwrap_or_else(PoisonError::into_inner).find(file)
    }

    /// Has this called after each scan that found a change, until it answers false. It must not block.
    pub fn listen(&self, listener: impl Fn() -> bool + Send + 'static) {
        self.board.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }
}

impl Library {
    /// Scans the directory once and then watches it. A directory that is missing is watched for.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn watch(dir: PathBuf, rules: Rules) -> io::Result<Self> {
        let board = Arc::new(Board::default());
        let (calls, inbox) = mpsc::channel();
        let scanner = Scanner::new(dir.clone(), rules);
        let thread = thread::Builder::new().name("weir-library".into()).spawn({
            let (board, calls) = (Arc::clone(&board), calls.clone());
            move || {
                crate::give_way();
                Librarian { dir, scanner, board, watcher: None, calls }.run(&inbox);
            }
        })?;
        Ok(Self { board, calls, thread: Some(thread) })
    }

    /// For one plugin instance.
    pub fn subscribe(&self) -> Subscription {
        Subscription { board: Arc::clone(&self.board) }
    }

    /// Scans now; returns when that is done, or false after `patience`.
    pub fn rescan(&self, patience: Duration) -> bool {
        let (done, finished) = mpsc::channel();
        self.calls.send(Call::Scan(done)).is_ok() && finished.recv_timeout(patience).is_ok()
    }

    /// What is wrong with the directory itself.
    pub fn directory_problem(&self) -> Option<String> {
        let shelf = self.board.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.problem.as_ref().map(ToString::to_string)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.calls.send(Call::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Librarian {
    dir: PathBuf,
    scanner: Scanner,
    board: Arc<Board>,
    /// With the directory that it watches, as device and inode: one that was deleted and made again is another.
    watcher: Option<(RecommendedWatcher, (u64, u64))>,
    calls: Sender<Call>,
}

impl Librarian {
    fn run(mut self, inbox: &Receiver<Call>) {
        let mut next = self.scan();
        // Of the events since the last scan: when the first came, for those who never stop.
        let mut first_event: Option<Instant> = None;
        loop {
            match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Call::Event) => {
                    let now = Instant::now();
                    let first = *first_event.get_or_insert(now);
                    next = (now + QUIET).min(first + IMPATIENCE);
                }
                Ok(Call::Scan(done)) => {
                    next = self.scan();
                    first_event = None;
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    next = self.scan();
                    first_event = None;
                }
                Ok(Call::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One look at everything; returns when the next is due.
    fn scan(&mut self) -> Instant {
        self.watch();
        let look = self.scanner.look(Instant::now());
        if let Some(problem) = &look.problem {
            // The directory may be another one when it is back.
            self.watcher = None;
            tracing::debug!(dir = %self.dir.display(), %problem, "plugin directory cannot be used");
        }
        let changed = {
            let mut shelf = self.board.shelf.lock().unwrap_or_else(PoisonError::into_inner);
            let new = Shelf { files: look.files, problem: look.problem, scanned: true };
            let same = shelf.scanned
                && shelf.problem.as_ref().map(ToString::to_string)
                    == new.problem.as_ref().map(ToString::to_string)
                && shelf.files.len() == new.files.len()
                && shelf
                    .files
                    .iter()
                    .zip(&new.files)
                    .all(|(a, b)| a.0 == b.0 && same(a.1.as_ref(), b.1.as_ref()));
            *shelf = new;
            !same
        };
        if changed {
            self.board.listeners.lock().unwrap_or_else(PoisonError::into_inner).retain(|listener| listener());
        }
        Instant::now() + look.again.unwrap_or(TIMER)
    }

    /// Watches the directory, where that was not possible before or was lost.
    fn watch(&mut self) {
        let Ok(meta) = std::fs::metadata(&self.dir) else { return };
        let identity = (meta.dev(), meta.ino());
        if self.watcher.as_ref().is_some_and(|(_, watched)| *watched == identity) {
            return;
        }
        let calls = self.calls.clone();
        let made = notify::recommended_watcher(move |_: notify::Result<notify::Event>| {
            // Whatever it says, overflow and errors too: look.
            let _ = calls.send(Call::Event);
        });
        let watching = made.and_then(|mut watcher| {
            watcher.watch(&self.dir, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => self.watcher = Some((watcher, identity)),
            // The timer still looks.
            Err(error) => {
                tracing::debug!(dir = %self.dir.display(), %error, "no events from the plugin directory");
            }
        }
    }
}
