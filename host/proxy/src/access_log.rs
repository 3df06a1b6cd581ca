//! The access log: one JSON object a line, and never a request that waits for a disk.
//!
//! A shard writes lines into a buffer of its own and hands full buffers to one thread, which writes them out. Where
//! that thread falls behind, whole buffers are dropped and counted. Formatting on the shard costs less in total
//! than carrying a dozen strings to another core does.

mod entry;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use entry::Clock;
pub(crate) use entry::{Entry, Term};

/// A buffer is handed over when it is longer than this.
const BATCH: usize = 48 * 1024;
/// Buffers that may wait for the disk; more are dropped.
const WAITING: usize = 128;

enum Message {
    Batch(Vec<u8>),
    Reopen,
    Flushed(SyncSender<()>),
}

/// Where requests are logged. Clones are the same log.
#[derive(Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

struct Shared {
    sender: Mutex<Option<SyncSender<Message>>>,
    dropped: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl AccessLog {
    /// A log at the end of this file, which is made where there is none.
    pub fn to_file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = open(&path)?;
        Self::start(Box::new(file), Some(path))
    }

    /// A log to somewhere else, as standard output.
    pub fn to_writer(writer: impl Write + Send + 'static) -> io::Result<Self> {
        Self::start(Box::new(writer), None)
    }

    fn start(out: Box<dyn Write + Send>, path: Option<PathBuf>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let writer = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_out(&receiver, out, path.as_deref()))?;
        let shared = Shared {
            sender: Mutex::new(Some(sender)),
            dropped: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Closes the file and opens its path again, after somebody has moved it away. Nothing is lost. Where it cannot be opened,
    /// the old file is kept and an error is reported.
    pub fn reopen(&self) {
        if let Some(sender) = self.sender() {
            // It is the node that waits here, not a request.
            let _ = sender.send(Message::Reopen);
        }
    }

    /// Waits until everything that was handed over has been written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.sender().is_some_and(|s| s.send(Message::Flushed(done)).is_ok()) {
            let _ = wait.recv();
        }
    }

    /// Lines that were dropped because the disk was too slow.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// A buffer for one shard.
    pub(crate) fn lines(&self) -> Option<Lines> {
        Some(Lines {
            buffer: Vec::with_capacity(BATCH + 4096),
            count: 0,
            clock: Clock::default(),
            sender: self.sender()?,
            shared: self.shared.clone(),
        })
    }

    fn sender(&self) -> Option<SyncSender<Message>> {
        self.shared.sender.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Every shard has gone: each holds this value. The writer ends when the last sender has.
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

/// The lines of one shard that have not been handed over.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    count: u64,
    clock: Clock,
    /// Before `shared`, so that it is dropped first: the end of the writer waits for it.
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl Lines {
    /// Writes a line.
    pub(crate) fn record(&mut self, entry: &Entry<'_>) {
        entry.write(&mut self.buffer, &mut self.clock);
        self.count += 1;
        if self.buffer.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        match self.sender.try_send(Message::Batch(std::mem::take(&mut self.buffer))) {
            Ok(()) => self.buffer = Vec::with_capacity(BATCH + 4096),
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                self.shared.dropped.fetch_add(self.count, Ordering::Relaxed);
                if let Message::Batch(mut buffer) = message {
                    buffer.clear();
                    self.buffer = buffer;
                }
            }
        }
        self.count = 0;
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The thread that owns the file.
fn write_out(receiver: &Receiver<Message>, mut out: Box<dyn Write + Send>, path: Option<&Path>) {
    while let Ok(message) = receiver.recv() {
        let done = match message {
            Message::Batch(lines) => out.write_all(&lines).and_then(|()| out.flush()),
            Message::Flushed(done) => done.send(()).map_err(io::Error::other),
            Message::Reopen => match path.map(open) {
                Some(Ok(file)) => {
                    out = Box::new(file);
                    Ok(())
                }
                Some(Err(e)) => Err(e),
                None => Ok(()),
            },
        };
        if let Err(error) = done {
            tracing::error!(%error, path = ?path, "the access log could not be written; lines are lost until it can");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// A disk that takes nothing until it is told to.
    struct Stuck(Receiver<()>, Sender<usize>);

    impl Write for Stuck {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(buf.len());
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_disk_drops_lines_and_counts_them_but_blocks_nobody() {
        let (go, wait) = channel();
        let (written, lengths) = channel();
        let log = AccessLog::to_writer(Stuck(wait, written)).unwrap();
        let mut lines = log.lines().unwrap();
        let entry = Entry::default();
        while log.dropped() == 0 {
            lines.record(&entry);
            lines.flush();
        }
        lines.record(&entry);
        assert!(log.dropped() >= 1);
        drop(go);
        lines.flush();
        log.flush();
        assert!(lengths.try_iter().count() >= WAITING);
    }

    #[test]
    fn a_log_that_was_moved_away_goes_on_in_a_new_file_and_loses_nothing() {
        let dir = std::env::temp_dir().join(format!("weir-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, moved) = (dir.join("log"), dir.join("log.1"));
        let log = AccessLog::to_file(&path).unwrap();
        let mut lines = log.lines().unwrap();
        let mut one = || {
            lines.record(&Entry::default());
            lines.flush();
            log.flush();
        };
        one();
        std::fs::rename(&path, &moved).unwrap();
        one();
        log.reopen();
        one();
        let count = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((count(&moved), count(&path)), (2, 1));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
