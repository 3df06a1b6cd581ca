//! `weir sidecar` in a node, with the lab in the place of its host: the whole desired state goes in over its socket, what it sees
//! comes out.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::fabric::{Daemon, Fabric};
use crate::paths;

/// Where it listens, as its node sees it.
const SOCKET: &str = "/run/sidecar.sock";
/// How long it may take to listen.
const BEGINS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The longest report. It says little here.
const LONGEST: usize = 1 << 20;

/// What it said last.
#[derive(Debug, Default)]
struct Said {
    observed: Value,
    refused: Option<String>,
}

/// A running one. Dropping it kills it, without a word to anybody.
pub(super) struct Sidecar {
    node: &'static str,
    /// First, so that it is dead before the connection is closed.
    _daemon: Daemon,
    stream: UnixStream,
    said: Arc<Mutex<Said>>,
    generation: u64,
}

impl Sidecar {
    /// Starts one and greets it.
    pub(super) fn start(fabric: &Fabric, node: &'static str) -> Result<Self> {
        let program = paths::weir().display().to_string();
        let argv = [program.as_str(), "sidecar", "--socket", SOCKET, "--log", "debug"];
        fabric.remove(node, SOCKET)?;
        let daemon = fabric.start(node, "weir", &argv)?;
        let seen_from_here = PathBuf::from(format!("/proc/{}/root{SOCKET}", fabric.pid(node)?));
        let began = Instant::now();
        let mut stream = loop {
            match UnixStream::connect(&seen_from_here) {
                Ok(stream) => break stream,
                Err(error) if began.elapsed() > BEGINS_WITHIN || !daemon.is_running() => {
                    bail!(
                        "node {node}: weir sidecar does not listen: {error} (log: {})",
                        daemon.log().display()
                    );
                }
                Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        };
        // It says first which protocol it speaks, and what is said here is the same in all of them.
        let hello = read(&mut stream).with_context(|| format!("node {node}: weir sidecar does not greet"))?;
        write(&mut stream, &json!({ "protocol": hello["protocol"], "version": "lab" }))?;
        let said = Arc::<Mutex<Said>>::default();
        let mut from = stream.try_clone()?;
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            // Ends with the sidecar.
            while let Ok(report) = read(&mut from) {
                let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(why) = report["refused"].as_str() {
                    said.refused = Some(why.to_owned());
                } else if report["observed"].is_object() {
                    said.observed = report["observed"].clone();
                }
            }
        });
        Ok(Self { node, _daemon: daemon, stream, said, generation: 0 })
    }

    /// This and nothing else is wanted of its speaker, which announces some of these addresses.
    pub(super) fn set(&mut self, addresses: &[String], speaker: &Value) -> Result<()> {
        self.generation += 1;
        // Nobody says that he is alive: the lab's word is to hold as long as the trial lasts.
        let desired = json!({
            "generation": self.generation, "tunnels": [], "addresses": addresses, "sysctls": [],
            "speaker": speaker, "hold": { "secs": 3600, "nanos": 0 },
        });
        write(&mut self.stream, &json!({ "set": desired })).with_context(|| format!("node {}", self.node))
    }

    /// What it says of a neighbor, of the newest that it was told.
    pub(super) fn neighbor(&self, name: &str) -> Result<Value> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &said.refused {
            bail!("node {}: weir sidecar refuses what it is told: {why}", self.node);
        }
        if said.observed["generation"] != self.generation {
            bail!("node {}: what it was told last is not carried out yet", self.node);
        }
        let neighbors = said.observed["speaker"]["neighbors"].as_array();
        let found = neighbors.and_then(|all| all.iter().find(|one| one["name"] == name));
        found.cloned().with_context(|| format!("node {} says nothing of {name}", self.node))
    }
}

/// A length of four bytes, then JSON.
fn write(to: &mut UnixStream, message: &Value) -> Result<()> {
    let text = message.to_string();
    let mut bytes = u32::try_from(text.len())?.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    Ok(to.write_all(&bytes)?)
}

fn read(from: &mut UnixStream) -> Result<Value> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length))?;
    if length > LONGEST {
        bail!("a report of {length} bytes");
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}
