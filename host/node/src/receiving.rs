//! An L7 node's network side: whether the other L7 nodes answer in, the desired state out to the sidecar.
//!
//! What is decided is in [`weir_core::l4::Receiver`]. What it has to know after a restart is in one small file.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use weir_core::config::Fleet;
use weir_core::desired::Desired;
use weir_core::health::{CheckHealth, CheckTiming, HealthSpec, Operator, Status};
use weir_core::l4::{History, Other, Receiver, ReceiverEvent};
use weir_probe::check::{Check, Method, Sockets};
use weir_probe::{Watch, Watched};

use crate::network::Network;
use crate::pools::Ground;
use crate::settings;

/// Who the L7 nodes are and were, in the state directory.
const FILE: &str = "l7-nodes.json";

/// How the others are asked. Rarely, since each asks each; what hangs on it are connections that are lost anyway, and whether their
/// clients are told so.
const ASKED: CheckTiming = CheckTiming {
    interval: Duration::from_secs(1),
    fast_interval: Duration::from_millis(200),
    timeout: Duration::from_secs(1),
    rise: 1,
    fall: 2,
};

/// A running L7 node's network side.
pub(crate) struct Receiving {
    shared: Arc<Shared>,
}

struct Shared {
    file: PathBuf,
    network: Network,
    state: Mutex<State>,
    /// Of the others. It tells of them, so it is there a moment later.
    watch: OnceLock<Watch>,
}

struct State {
    receiver: Receiver,
    /// What the sidecar was told last.
    told: Option<Desired>,
}

impl Receiving {
    /// Tells the sidecar what is wanted, and begins to ask the others. To be called within a tokio runtime.
    pub(crate) fn start(ground: &Ground, network: Network, fleet: &Arc<Fleet>, state_dir: &Path) -> Self {
        let file = state_dir.join(FILE);
        let receiver = Receiver::new(Arc::clone(fleet), &ground.node, read(&file).as_ref(), now());
        let state = Mutex::new(State { receiver, told: None });
        let shared = Arc::new(Shared { file, network, state, watch: OnceLock::new() });
        let told = Arc::downgrade(&shared);
        let on_change = move |name: &Arc<str>, status: &Status| {
            let Some(shared) = told.upgrade() else { return };
            let answers = status.bits.check != Some(CheckHealth::Down);
            shared.take(ReceiverEvent::Answers { name: Arc::clone(name), answers });
        };
        let watch = Watch::start(ground.clock, settings::seed(&ground.node, "l7"), on_change);
        let _ = shared.watch.set(watch);
        shared.take(ReceiverEvent::Timer);
        shared.keep();
        shared.ask();
        tokio::spawn(forget(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Another fleet file.
    pub(crate) fn apply(&self, fleet: &Arc<Fleet>) {
        self.shared.take(ReceiverEvent::Fleet(Arc::clone(fleet)));
        self.shared.keep();
        self.shared.ask();
    }
}

impl Shared {
    /// Takes one event in and tells the sidecar what follows.
    fn take(&self, event: ReceiverEvent) {
        let said = match &event {
            ReceiverEvent::Answers { name, answers } => Some((Arc::clone(name), *answers)),
            ReceiverEvent::Fleet(_) | ReceiverEvent::Timer => None,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        state.receiver.handle(event, now);
        let desired = state.receiver.desired(now);
        if state.told.as_ref() != Some(&desired) {
            if let Some((node, answers)) = said {
                tracing::info!(%node, answers, "another l7 node; what is its is handed on to it while it answers");
            }
            self.network.set(desired.clone());
            state.told = Some(desired);
        }
    }

    /// Keeps for the next process what it has to know.
    fn keep(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write(&self.file, state.receiver.history()) {
            tracing::error!(file = %self.file.display(), %error, "a restart will not know who was an l7 node before");
        }
    }

    /// Asks those who are to be asked now, and nobody else.
    fn ask(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let others = state.receiver.others(now()).into_iter().map(asked).collect();
        if let Some(watch) = self.watch.get() {
            watch.set(others);
        }
    }
}

fn asked(other: Other) -> Watched {
    Watched {
        name: other.name,
        spec: HealthSpec { weight: 1, check: Some(ASKED), ..HealthSpec::default() },
        // Whether it is well is not asked: a drained node has its connections, also when it takes no new ones any more. And where its
        // process has died, its kernel is the one to say so to clients.
        check: Some(Check {
            address: other.at,
            proxy_line: false,
            sockets: Sockets::Any,
            method: Method::Kernel,
        }),
        agent: None,
        judge: None,
        operator: Operator::default(),
    }
}

/// Forgets who was an L7 node before, in its time. The clock may be set meanwhile, so it is looked at each minute.
async fn forget(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.take(ReceiverEvent::Timer);
        shared.ask();
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(file: &Path) -> Option<History> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file = %file.display(), %error, "who was an l7 node before is not known");
            }
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .inspect_err(
            |error| tracing::warn!(file = %file.display(), %error, "who was an l7 node before is not known"),
        )
        .ok()
}

/// Whole under another name, then renamed: a crash leaves the old or the new one.
fn write(file: &Path, history: &History) -> io::Result<()> {
    let next = file.with_extension("json.next");
    let mut open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    open.write_all(&serde_json::to_vec_pretty(history)?)?;
    open.sync_all()?;
    fs::rename(&next, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_for_the_next_process_and_rubbish_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        assert_eq!(read(&file), None);
        let fleet = Arc::new(weir_core::config::parse("example", weir_core::config::EXAMPLE).unwrap());
        let receiver = Receiver::new(fleet, "l7-1", None, now());
        write(&file, receiver.history()).unwrap();
        assert_eq!(read(&file).as_ref(), Some(receiver.history()));
        fs::write(&file, "{").unwrap();
        assert_eq!(read(&file), None);
    }
}
