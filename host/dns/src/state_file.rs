//! Watching the state file.
//!
//! It is read ten times a second and compared with what it was, by a thread of its own. No notification of the kernel is waited for:
//! a file that is replaced by a rename, reached through a link or lies on another machine loses them, and ten
//! reads of a few lines cost nothing. A content counts when it is the same in two reads: an editor that empties the file before it
//! writes must not take every address out.
//!
//! A file that was there and is gone says nothing, as one with a fault does, and what it said before stays in force: whoever takes it away by
//! mistake, or loses the disk that it lies on, must not send clients to every address that somebody took out. A file that was never
//! there is an empty one, and an empty file names no address.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use weir_core::dns::policy::state_file::{MAX_BYTES, StateFile};

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(100);

/// What came of a look, when it is another than before: what the file says, or what is wrong with it (then what it said before
/// stays in force).
pub type Outcome = Result<StateFile, String>;

/// A watch. Dropping it ends it.
#[derive(Debug)]
pub struct StateFileWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StateFileWatch {
    /// Reads the file now, and watches it from now on. What it says now counts at once; `on_change` hears of what it says later, and runs
    /// on the watch's thread.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn start(
        path: PathBuf,
        mut on_change: impl FnMut(Outcome) + Send + 'static,
    ) -> io::Result<(Self, Outcome)> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (mut watched, now) = Watched::begin(&path);
        let thread = Builder::new().name("dns state file".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(outcome) = watched.look(&path) {
                    on_change(outcome);
                }
                std::thread::park_timeout(EVERY);
            }
        })?;
        Ok((Self { stop, thread: Some(thread) }, now))
    }
}

impl Drop for StateFileWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A thread that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// What is in the file, or why nobody knows.
type Content = Result<String, String>;

struct Watched {
    /// What counts.
    known: Content,
    /// What was seen in the last look.
    seen: Content,
    /// Whether there was a file in any look, so that it is missed where there is none.
    was_there: bool,
}

impl Watched {
    fn begin(path: &Path) -> (Self, Outcome) {
        let mut watched = Self { known: Ok(String::new()), seen: Ok(String::new()), was_there: false };
        watched.seen = watched.content(path);
        watched.known.clone_from(&watched.seen);
        let now = parse(&watched.known);
        (watched, now)
    }

    fn look(&mut self, path: &Path) -> Option<Outcome> {
        let now = self.content(path);
        let stands_still = self.seen == now;
        self.seen = now;
        if !stands_still || self.known == self.seen {
            return None;
        }
        self.known.clone_from(&self.seen);
        Some(parse(&self.known))
    }

    fn content(&mut self, path: &Path) -> Content {
        match content(path).transpose() {
            Some(content) => {
                self.was_there = true;
                content
            }
            None if self.was_there => Err(format!("{} is gone", path.display())),
            None => Ok(String::new()),
        }
    }
}

fn parse(content: &Content) -> Outcome {
    let text = content.as_deref().map_err(Clone::clone)?;
    StateFile::parse(text).map_err(|error| error.to_string())
}

/// What is in the file; `None` where there is no file.
fn content(path: &Path) -> Result<Option<String>, String> {
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(length) if length > MAX_BYTES => Err(format!("more than {MAX_BYTES} bytes are not read")),
        Ok(_) => Ok(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use weir_core::model::State;

    use super::*;

    fn state(outcome: &Outcome) -> Option<State> {
        outcome.as_ref().unwrap().of("192.0.2.1".parse().unwrap()).map(|said| said.state)
    }

    #[test]
    fn a_content_counts_when_it_stands_still() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ext");
        let (mut watched, now) = Watched::begin(&path);
        assert_eq!(state(&now), None, "no file is an empty one");
        assert!(watched.look(&path).is_none() && watched.look(&path).is_none());
        fs::write(&path, "192.0.2.1 => DOWN\n").unwrap();
        assert!(watched.look(&path).is_none());
        assert_eq!(state(&watched.look(&path).unwrap()), Some(State::Down));
        assert!(watched.look(&path).is_none(), "nothing new");
        fs::write(&path, "").unwrap();
        assert!(watched.look(&path).is_none());
        fs::write(&path, "192.0.2.1 => DOWN\n").unwrap();
        assert!(watched.look(&path).is_none());
        assert!(watched.look(&path).is_none(), "it was empty for a moment, and is what it was");
        fs::write(&path, "192.0.2.1 => SIDEWAYS\n").unwrap();
        assert!(watched.look(&path).is_none());
        assert!(watched.look(&path).unwrap().unwrap_err().starts_with("line 1: "));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(watched.look(&path).is_none());
        assert!(watched.look(&path).unwrap().is_err());
    }

    #[test]
    fn a_file_that_was_there_is_missed_and_an_empty_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ext");
        fs::write(&path, "192.0.2.1 => DOWN\n").unwrap();
        let (mut watched, now) = Watched::begin(&path);
        assert_eq!(state(&now), Some(State::Down));
        fs::remove_file(&path).unwrap();
        assert!(watched.look(&path).is_none(), "a moment between two files");
        assert!(watched.look(&path).unwrap().unwrap_err().ends_with("ext is gone"));
        assert!(watched.look(&path).is_none(), "said once");
        fs::write(&path, "192.0.2.1 => DOWN\n").unwrap();
        assert!(watched.look(&path).is_none());
        assert_eq!(state(&watched.look(&path).unwrap()), Some(State::Down), "it is back, with what it said");
        fs::write(&path, "").unwrap();
        assert!(watched.look(&path).is_none());
        assert_eq!(state(&watched.look(&path).unwrap()), None);
        fs::remove_file(&path).unwrap();
        assert!(watched.look(&path).is_none());
        assert!(watched.look(&path).unwrap().is_err(), "nobody took it away on purpose");
        // One that comes later is missed as well.
        let (mut watched, _) = Watched::begin(&path);
        assert!(watched.look(&path).is_none());
        fs::write(&path, "192.0.2.1 => DOWN\n").unwrap();
        assert!(watched.look(&path).is_none() && watched.look(&path).is_some());
        fs::remove_file(&path).unwrap();
        assert!(watched.look(&path).is_none() && watched.look(&path).unwrap().is_err());
    }

    #[test]
    fn a_file_that_is_replaced_by_a_rename_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ext");
        let (send, changes) = mpsc::channel();
        let watch = StateFileWatch::start(path.clone(), move |outcome| {
            let _ = send.send(outcome);
        });
        let (watch, now) = watch.unwrap();
        assert_eq!(state(&now), None);
        fs::write(dir.path().join("next"), "192.0.2.1 => UP\n").unwrap();
        fs::rename(dir.path().join("next"), &path).unwrap();
        assert_eq!(state(&changes.recv().unwrap()), Some(State::Up));
        drop(watch);
        assert!(changes.recv().is_err(), "nobody is told any more");
    }
}
