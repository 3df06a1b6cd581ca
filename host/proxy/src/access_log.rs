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
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use entry::Clock;
pub(crate) use entry::{Entry, Term};

/// A buffer is handed over when it is longer than this.
const BATCH: usize = 120 * 1024;
/// A buffer has room for this much: few lines are longer than the difference.
const ROOM: usize = 128 * 1024;
/// Emptied buffers that are kept for the next lines. Fresh memory for each batch would cost more than what is written to it.
const SPARE: usize = 4;
/// Buffers that may wait for the disk; more are dropped.
const WAITING: usize = 48;
/// How long the end of the log waits for a disk that is stuck.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// An error of the disk is told at most this often.
const TELL_AGAIN: Duration = Duration::from_secs(10);

enum Message {
    /// Whole lines, and how many.
    Batch(Vec<u8>, u64),
    /// Look at [`Tally::reopen`].
    Wake,
    Flushed(Sender<()>),
}

/// Where requests are logged. Clones are the same log.
#[derive(Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

/// What shards, node and writer know of each other. The channel has no bound of its own, so that nobody
/// who sends can be made to wait; `waiting` is its bound.
#[derive(Default)]
struct Tally {
    /// Batches that were handed over and not yet taken.
    waiting: AtomicUsize,
    /// Lines that are lost: the disk was too slow, or failed.
    lost: AtomicU64,
    /// Whether the path is to be opened again.
    reopen: AtomicBool,
    /// Emptied buffers.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Tally {
    fn buffer(&self) -> Vec<u8> {
        self.spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(ROOM))
    }

    fn take_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE && buffer.capacity() <= 2 * ROOM {
            spare.push(buffer);
        }
    }
}

/// The way to the writer. The channel's own way to wake a receiver holds a lock while it does, at which the writer would wait
/// where both run on one core, so the writer looks and parks by itself and is woken here.
#[derive(Clone)]
struct Pen {
    sender: Option<Sender<Message>>,
    writer: Thread,
}

impl Pen {
    fn send(&self, message: Message) -> Result<(), SendError<Message>> {
        match &self.sender {
            Some(sender) => sender.send(message).map(|()| self.writer.unpark()),
            None => Err(SendError(message)),
        }
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        // The writer ends when it finds no sender any more, so it must look.
        self.sender = None;
        self.writer.unpark();
    }
}

struct Shared {
    pen: Mutex<Option<Pen>>,
    tally: Arc<Tally>,
    writer: Mutex<Option<Ending>>,
}

/// The writer's thread, and a channel that is closed when it ends.
struct Ending(JoinHandle<()>, Receiver<()>);

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
        let (sender, receiver) = channel();
        let (alive, ended) = channel();
        let tally = Arc::<Tally>::default();
        let writer = Writer { out, path, tally: tally.clone(), torn: false, told: None, untold: 0 };
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run(&receiver);
            drop(alive);
        })?;
        let pen = Pen { sender: Some(sender), writer: thread.thread().clone() };
        let shared =
            Shared { pen: Mutex::new(Some(pen)), tally, writer: Mutex::new(Some(Ending(thread, ended))) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Has the file closed and its path opened again, after somebody has moved it away. Waits for nothing: it is done before
    /// the next lines are written. Where the path cannot be opened, the old file is kept and an error is reported.
    pub fn reopen(&self) {
        if !self.shared.tally.reopen.swap(true, Ordering::AcqRel)
            && let Some(pen) = self.pen()
        {
            // Fails where the writer has ended, and then there is nothing to open.
            let _ = pen.send(Message::Wake);
        }
    }

    /// Waits until everything that was handed over is written, or lost; no longer than `limit`. Whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = channel();
        self.pen().is_some_and(|pen| pen.send(Message::Flushed(done)).is_ok())
            && wait.recv_timeout(limit).is_ok()
    }

    /// Lines that are not in the log because the disk was too slow or failed.
    pub fn dropped(&self) -> u64 {
        self.shared.tally.lost.load(Ordering::Relaxed)
    }

    /// A buffer for one shard.
    pub(crate) fn lines(&self) -> Option<Lines> {
        Some(Lines {
            buffer: self.shared.tally.buffer(),
            count: 0,
            clock: Clock::default(),
            pen: self.pen()?,
            shared: self.shared.clone(),
        })
    }

    fn pen(&self) -> Option<Pen> {
        self.shared.pen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Every shard has gone: each holds this value. The writer ends when the last sender has.
        *self.pen.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let ending = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ending(thread, ended)) = ending {
            match ended.recv_timeout(LAST_WAIT) {
                Err(RecvTimeoutError::Timeout) => {
                    tracing::error!("the access log's disk takes nothing; what was not written yet is lost");
                }
                Ok(()) | Err(RecvTimeoutError::Disconnected) => drop(thread.join()),
            }
        }
    }
}

/// The lines of one shard that have not been handed over.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    count: u64,
    clock: Clock,
    /// Before `shared`, so that it is dropped first: the end of the writer waits for it.
    pen: Pen,
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
        let (tally, count) = (&self.shared.tally, std::mem::take(&mut self.count));
        if tally.waiting.load(Ordering::Relaxed) >= WAITING {
            tally.lost.fetch_add(count, Ordering::Relaxed);
            self.buffer.clear();
            return;
        }
        let batch = std::mem::replace(&mut self.buffer, tally.buffer());
        tally.waiting.fetch_add(1, Ordering::Relaxed);
        if self.pen.send(Message::Batch(batch, count)).is_err() {
            tally.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// What the thread has that owns the file.
struct Writer {
    out: Box<dyn Write + Send>,
    path: Option<PathBuf>,
    tally: Arc<Tally>,
    /// Whether the last thing that was written is part of a line.
    torn: bool,
    /// When an error was last told, and the lines lost since.
    told: Option<Instant>,
    untold: u64,
}

impl Writer {
    /// Until the last sender has gone.
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match receiver.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => {
                    // Returns at once where something was sent since.
                    std::thread::park();
                    continue;
                }
                Err(TryRecvError::Disconnected) => return,
            };
            if self.tally.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            match message {
                Message::Batch(lines, count) => {
                    self.tally.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.write(&lines, count);
                    self.tally.take_back(lines);
                }
                Message::Wake => {}
                // Who asked may have stopped waiting.
                Message::Flushed(done) => drop(done.send(())),
            }
        }
    }

    fn reopen(&mut self) {
        match self.path.as_deref().map(open) {
            Some(Ok(file)) => {
                self.out = Box::new(file);
                self.torn = false;
            }
            Some(Err(error)) => self.tell(&error),
            None => {}
        }
    }

    fn write(&mut self, lines: &[u8], count: u64) {
        let mut left = lines;
        let written = if self.torn { self.out.write_all(b"\n") } else { Ok(()) };
        let written = written.and_then(|()| {
            self.torn = false;
            write_on(&mut *self.out, &mut left)
        });
        let Err(error) = written.and_then(|()| self.out.flush()) else { return };
        // A line that is there in part is lost, and the next one must not be appended to it.
        let begun = lines.len() > left.len() && !left.is_empty();
        self.torn |= begun && lines.get(lines.len() - left.len() - 1) != Some(&b'\n');
        let lost = left.iter().filter(|b| **b == b'\n').count() as u64;
        let lost = lost.min(count);
        self.tally.lost.fetch_add(lost, Ordering::Relaxed);
        self.untold += lost;
        self.tell(&error);
    }

    fn tell(&mut self, error: &io::Error) {
        if self.told.is_some_and(|at| at.elapsed() < TELL_AGAIN) {
            return;
        }
        self.told = Some(Instant::now());
        let lost = std::mem::take(&mut self.untold);
        tracing::error!(%error, path = ?self.path, lost, "the access log cannot be written; lines are lost until it can");
    }
}

/// Writes all of it; `left` is what was not written.
fn write_on(out: &mut dyn Write, left: &mut &[u8]) -> io::Result<()> {
    while !left.is_empty() {
        match out.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => *left = left.get(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far more than any machine needs.
    const LONG: Duration = Duration::from_secs(60);

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
        // Neither waits for the disk.
        log.reopen();
        assert!(!log.flush(Duration::ZERO));
        drop(go);
        lines.flush();
        assert!(log.flush(LONG));
        assert!(lengths.try_iter().count() >= WAITING);
    }

    #[test]
    fn the_end_of_a_log_does_not_wait_for_ever_for_a_stuck_disk() {
        let (_go, wait) = channel();
        let (written, _lengths) = channel();
        let log = AccessLog::to_writer(Stuck(wait, written)).unwrap();
        let mut lines = log.lines().unwrap();
        lines.record(&Entry::default());
        lines.flush();
        drop(lines);
        drop(log);
    }

    /// A disk that fails once after so many bytes.
    struct Failing(usize, Arc<Mutex<Vec<u8>>>);

    impl Write for Failing {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                self.0 = usize::MAX;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let n = buf.len().min(self.0);
            self.0 -= n;
            self.1.lock().unwrap().extend_from_slice(&buf[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_failing_disk_loses_are_counted_and_the_next_one_is_whole() {
        let mut line = Vec::new();
        Entry::default().write(&mut line, &mut Clock::default());
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        // One whole line, and part of the second of three.
        let log = AccessLog::to_writer(Failing(line.len() + 5, kept.clone())).unwrap();
        let mut lines = log.lines().unwrap();
        (0..3).for_each(|_| lines.record(&Entry::default()));
        lines.flush();
        lines.record(&Entry::default());
        lines.flush();
        assert!(log.flush(LONG));
        assert_eq!(log.dropped(), 2);
        let text = kept.lock().unwrap().clone();
        let got: Vec<_> = text.split(|b| *b == b'\n').map(<[u8]>::len).collect();
        assert_eq!(got, [line.len() - 1, 5, line.len() - 1, 0]);
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
            assert!(log.flush(LONG));
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
