//! Asking a running node over its admin socket: one HTTP/1.0 request, one answer, no connection kept.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

/// No answer of a node is larger.
const MAX_ANSWER: u64 = 64 << 20;

/// Longer than any command takes; a reload waits for plugins to be read.
const PATIENCE: Duration = Duration::from_secs(60);

/// Body of the answer to `method path`, if its status is below 300; else an error that is the body.
pub(crate) fn ask(socket: &Path, method: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!("no node answers at {}: is `weir run` running, and with these paths?", socket.display())
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: weir\r\n\r\n")?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .with_context(|| format!("the node at {} broke off", socket.display()))?;
    let answer = String::from_utf8(answer).context("the node answered with something that is not text")?;
    let (head, body) =
        answer.split_once("\r\n\r\n").context("the node answered with something that is not HTTP")?;
    let status: u16 = head
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("the node answered with something that is not HTTP")?;
    if status >= 300 {
        bail!("{}", body.trim_end());
    }
    Ok(body.to_owned())
}
