//! The privileged half of a node: it has power over the network, and decides nothing.
//!
//! `weir sidecar` is a process of its own. The host process (proxy, checks, plugins, HTTP) sends it the *whole* desired state of
//! the network side over a UNIX socket, [`weir_core::desired::Desired`]; the sidecar makes it so, looks again on a timer, and
//! reports what it sees. A crash, an upgrade or a bad plugin in the host so never drops a BGP session or a row of the kernel's
//! table, and code that parses requests, queries and plugins has no power over the network.
//!
//! | module | what it is |
//! |---|---|
//! | [`protocol`] | what host and sidecar say to each other |
//! | [`client`] | the host's end |
//! | [`serve`] | the sidecar's loop: carries out, reports, withdraws when the host is silent |
//! | [`kernel`] | IPVS, tunnels, addresses and settings: observe, compare, change |
//! | [`marked`] | sockets with a firewall mark, for checks through tunnels |
//! | [`speaker`] | BGP and BFD: sockets, bytes and clock around the machines of `weir-core` |
//! | [`privileges`] | what a process and a thread may do, and giving it up |

pub mod client;
#[cfg(test)]
mod hostile;
pub mod kernel;
pub mod marked;
pub mod privileges;
pub mod protocol;
pub mod serve;
mod socket;
pub mod speaker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rustix::thread::CapabilitySet;
use tokio::signal::unix::{SignalKind, signal};

use kernel::Worker;
use privileges::SIDECAR;
use serve::Sidecar;
use speaker::Speaker;

/// How a sidecar is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the host finds it.
    pub socket: PathBuf,
    /// The user that the host runs as, beside root and this process's own.
    pub host_uid: Option<u32>,
    /// Change nothing, report what would be changed.
    pub observe_only: bool,
    /// How often the kernel is looked at while nothing happens.
    pub every: Duration,
}

/// Why a sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where the host should find it.
    #[error("cannot listen on {path}: {error}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        error: std::io::Error,
    },
    /// Another one works on this kernel already.
    #[error("another sidecar answers on {0}")]
    Another(PathBuf),
    /// It would have kept too much.
    #[error(transparent)]
    Privileges(#[from] privileges::PrivilegeError),
    /// No thread, no runtime, no signal.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// Runs a sidecar until it is told to stop by SIGTERM or SIGINT. To be called while the process has one thread.
///
/// # Errors
/// It could not be started. Nothing was touched then.
pub fn run(options: &Options) -> Result<(), StartError> {
    let listener = socket::bind(&options.socket, options.host_uid)?;
    let checks = marked::beside(&options.socket);
    let questions = socket::bind(&checks, options.host_uid)?;
    speaker::priority::allow();
    let left = privileges::keep_only(SIDECAR)?;
    let missing = SIDECAR.difference(left);
    if !missing.is_empty() && !options.observe_only {
        // It can still observe and report, and the operator sees why nothing happens.
        tracing::warn!(missing = privileges::words(missing), "the kernel will refuse changes");
    }
    let worker = Worker::start(options.observe_only, options.every)?;
    let speaker = Speaker::start(|| {
        privileges::thread_keeps_only(CapabilitySet::empty()).map(drop).map_err(std::io::Error::other)
    })?;
    let allowed: BTreeSet<u32> =
        [0, rustix::process::getuid().as_raw()].into_iter().chain(options.host_uid).collect();
    marked::start(questions, allowed.clone(), worker.there.clone())?;
    // What is left for this thread, which reads the host's messages, is the port of BGP.
    privileges::thread_keeps_only(CapabilitySet::NET_BIND_SERVICE)?;
    let sidecar = Sidecar::new(allowed, options.observe_only, worker, speaker);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // Meant for the host, and sent by whoever signals all processes of a service. Nobody's sessions end of it.
        let _deaf = (signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        tracing::info!(socket = %options.socket.display(), may = privileges::words(left), "sidecar is ready");
        sidecar.serve(listener, stop).await;
        Ok(())
    });
    for path in [&options.socket, &checks] {
        let _ = std::fs::remove_file(path);
    }
    done
}
