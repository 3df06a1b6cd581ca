//! A host's words to a sidecar, as bytes: a length of four bytes, then JSON.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How long it may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(300);
/// No report is longer.
const LONGEST: u32 = 1 << 20;

/// A line to a sidecar.
pub(super) struct Host(UnixStream);

impl Host {
    /// Waits until somebody listens there, and says hello.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if began.elapsed() > PATIENCE => {
                    return Err(error).with_context(|| format!("no sidecar at {}", socket.display()));
                }
                // It says it nowhere that it listens.
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut host = Self(stream);
        // It says first which protocol it speaks, and what is said here is the same in all of them.
        let hello = host.hear().context("the sidecar does not greet")?;
        host.say(&json!({ "protocol": hello["protocol"], "version": "lab" }).to_string())?;
        Ok(host)
    }

    /// Gives an order.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        let length = u32::try_from(text.len())?;
        self.0.write_all(&length.to_be_bytes())?;
        Ok(self.0.write_all(text.as_bytes())?)
    }

    /// The report about this generation: what it counted.
    pub(super) fn settled(&mut self, generation: u64) -> Result<Value> {
        loop {
            let mut report = self.hear()?;
            if report["observed"]["generation"] == generation {
                let observed = report["observed"].take();
                ensure!(observed["differences"] == json!([]), "not all was done: {observed}");
                return Ok(observed);
            }
            if !report["refused"].is_null() {
                bail!("the sidecar refuses: {report}");
            }
        }
    }

    fn hear(&mut self) -> Result<Value> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).context("the sidecar says nothing")?;
        let length = u32::from_be_bytes(length);
        ensure!(length <= LONGEST, "a report of {length} bytes");
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}
