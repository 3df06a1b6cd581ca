//! The file in which an operator says what the agent shall say.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_core::health::{AgentError, AgentReport, MAX_LINE, parse_agent_line};

/// The agent's file, `/etc/lb/agent-check` by custom. Read for every question: what counts is what it says now.
#[derive(Debug, Clone)]
pub struct AgentFile {
    path: Arc<Path>,
}

impl AgentFile {
    /// The file at this path; it need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into().into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its first line, without line end, at most [`MAX_LINE`] bytes of it. `up` where there is no such file: an operator who has
    /// nothing to say has no file. Read on a thread for blocking work, so a slow disk delays nobody else.
    ///
    /// # Errors
    /// Where it is there and cannot be read. That is not `up`: somebody wrote something.
    pub async fn line(&self) -> io::Result<Vec<u8>> {
        let path = Arc::clone(&self.path);
        tokio::task::spawn_blocking(move || read_line(&path)).await.map_err(io::Error::other)?
    }

    /// What it says, as a question to the agent would be answered. For a node that obeys its own file.
    ///
    /// # Errors
    /// As for [`AgentFile::line`], and where nothing in the line can be used ([`AgentError`] inside).
    pub async fn report(&self) -> io::Result<AgentReport> {
        let mut line = self.line().await?;
        line.push(b'\n');
        parse_agent_line(&line).map_err(|error: AgentError| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

fn read_line(path: &Path) -> io::Result<Vec<u8>> {
    // Asked first, since opening a pipe would wait for somebody to write into it.
    match path.metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(b"up".to_vec()),
        Err(error) => return Err(error),
    }
    let mut text = Vec::new();
    let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    match std::fs::File::open(path) {
        Ok(file) => file.take(most).read_to_end(&mut text)?,
        // Removed between the two calls.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(b"up".to_vec()),
        Err(error) => return Err(error),
    };
    let end = text.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(text.len());
    text.truncate(end);
    Ok(text)
}
