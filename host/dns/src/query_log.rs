//! The query log: one JSON object a line, and never a query that waits for a disk.
//!
//! A thread collects lines and hands them over in parts; one thread writes them. Where it falls behind, whole parts
//! are dropped and counted.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// A part is handed over when it is longer than this, bytes, or at the end of a batch that came after a pause.
const PART: usize = 32 * 1024;
/// Parts that may wait for the disk.
const WAITING: usize = 64;
/// An error of the disk is told at most this often.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// A line.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line<'q> {
    /// Milliseconds since 1970.
    pub(crate) time_ms: u64,
    pub(crate) client: IpAddr,
    pub(crate) transport: &'static str,
    /// `None` where the query could not be read so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    pub(crate) rcode: &'static str,
    pub(crate) how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<&'q str>,
    /// Who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<&'static str>,
    /// Bits of the client's network for which the answer holds.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) scope: u8,
    pub(crate) bytes: usize,
    /// `truncated`, `slipped` or `limited`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<&'static str>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(scope: &u8) -> bool {
    *scope == 0
}

/// Where queries are logged. Clones are the same log.
#[derive(Debug, Clone)]
pub struct QueryLog {
    parts: SyncSender<Vec<u8>>,
    reopen: Arc<AtomicBool>,
}

impl QueryLog {
    /// Appends to this file.
    ///
    /// # Errors
    /// Where it cannot be opened, or there can be no thread.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = append(path)?;
        Self::start(Box::new(file), Some(path.to_owned()))
    }

    /// Writes to this.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn to_writer(writer: impl Write + Send + 'static) -> io::Result<Self> {
        Self::start(Box::new(writer), None)
    }

    fn start(writer: Box<dyn Write + Send>, path: Option<PathBuf>) -> io::Result<Self> {
        let (parts, inbox) = sync_channel(WAITING);
        let reopen = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&reopen);
        std::thread::Builder::new()
            .name("dns query log".into())
            .spawn(move || write_parts(&inbox, writer, path.as_deref(), &asked))?;
        Ok(Self { parts, reopen })
    }

    /// Opens the file again before the next line: what rotates logs has moved it away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }
}

fn append(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_parts(
    inbox: &Receiver<Vec<u8>>,
    mut writer: Box<dyn Write + Send>,
    path: Option<&Path>,
    reopen: &AtomicBool,
) {
    let mut told: Option<std::time::Instant> = None;
    while let Ok(part) = inbox.recv() {
        let mut outcome = Ok(());
        if let Some(path) = path.filter(|_| reopen.swap(false, Ordering::Relaxed)) {
            outcome = append(path).map(|file| writer = Box::new(file));
        }
        if let Err(error) = outcome.and(writer.write_all(&part).and_then(|()| writer.flush()))
            && told.is_none_or(|at| at.elapsed() >= TELL_AGAIN)
        {
            told = Some(std::time::Instant::now());
            tracing::error!(%error, "dns.query-log cannot be written; lines are lost");
        }
    }
}

/// One thread's lines.
pub(crate) struct Lines {
    log: QueryLog,
    part: Vec<u8>,
    count: u64,
}

impl Lines {
    pub(crate) fn of(log: &QueryLog) -> Self {
        Self { log: log.clone(), part: Vec::with_capacity(PART), count: 0 }
    }

    pub(crate) fn add(&mut self, line: &Line<'_>) {
        // Writing to memory does not fail, and a line has nothing that is no JSON.
        if serde_json::to_writer(&mut self.part, line).is_ok() {
            self.part.push(b'\n');
            self.count += 1;
        }
    }

    pub(crate) fn is_long(&self) -> bool {
        self.part.len() >= PART
    }

    /// Hands over what there is. Returns how many lines are lost.
    pub(crate) fn hand_over(&mut self) -> u64 {
        if self.part.is_empty() {
            return 0;
        }
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        let count = std::mem::take(&mut self.count);
        match self.log.parts.try_send(part) {
            Ok(()) => 0,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => count,
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_millis(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(name: &str) -> Line<'static> {
        Line {
            time_ms: 1,
            client: "192.0.2.1".parse().unwrap(),
            transport: "udp",
            name: Some(name.to_owned()),
            kind: Some("A".to_owned()),
            rcode: "NOERROR",
            how: "data",
            zone: None,
            policy: None,
            by: None,
            scope: 0,
            bytes: 45,
            cut: None,
        }
    }

    /// Waits for a file to have this many lines.
    fn lines(path: &Path, count: usize) -> Vec<String> {
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_name_of_any_bytes_is_one_line_of_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Lines::of(&QueryLog::to_file(&path).unwrap());
        log.add(&line("a\"\\010b."));
        assert_eq!(log.hand_over(), 0);
        let read: serde_json::Value = serde_json::from_str(&lines(&path, 1)[0]).unwrap();
        assert_eq!((read["name"].as_str(), read["type"].as_str()), (Some("a\"\\010b."), Some("A")));
        assert!(read.get("scope").is_none() && read.get("zone").is_none());
    }

    #[test]
    fn a_log_that_was_moved_away_goes_on_in_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let log = QueryLog::to_file(&path).unwrap();
        let mut thread = Lines::of(&log);
        thread.add(&line("a."));
        thread.hand_over();
        lines(&path, 1);
        fs::rename(&path, &moved).unwrap();
        log.reopen();
        thread.add(&line("b."));
        thread.hand_over();
        assert!(lines(&path, 1)[0].contains("b.") && lines(&moved, 1)[0].contains("a."));
    }

    #[test]
    fn a_disk_that_hangs_costs_lines_and_no_time() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::channel();
        let mut thread = Lines::of(&QueryLog::to_writer(Stuck(stuck)).unwrap());
        let mut lost = 0;
        for _ in 0..WAITING + 3 {
            thread.add(&line("a."));
            lost += thread.hand_over();
        }
        // One part is being written, perhaps; the rest of what does not wait is lost.
        assert!((2..=3).contains(&lost), "{lost}");
        drop(release);
    }
}
