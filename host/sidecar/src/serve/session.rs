//! One connection of a host, from its hello to its end.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use weir_core::desired::Observed;

use super::Heard;
use crate::protocol::{self, FrameError, Hello, MAX_FRAME, MAX_HELLO, Report};

/// How long a stranger may take to say who it is.
const HELLO: Duration = Duration::from_secs(2);

/// A host that speaks this protocol.
pub(super) struct Greeted {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    /// As the kernel says.
    pub(super) pid: Option<i32>,
}

/// What a host is told.
pub(super) struct Told {
    pub(super) announced: BTreeSet<IpAddr>,
    pub(super) observed: watch::Receiver<Arc<Observed>>,
    /// Has no sender any more where another host has taken this one's place.
    pub(super) refused: mpsc::Receiver<String>,
    pub(super) again: Arc<Notify>,
}

/// Lets somebody say who it is. Who does not, or only looks whether anybody listens here, is let go, and no host has noticed.
pub(super) async fn greet(stream: UnixStream, pid: Option<i32>, to_us: mpsc::Sender<Heard>) {
    let (mut from, mut to) = stream.into_split();
    let greeted = tokio::time::timeout(HELLO, hello(&mut from, &mut to)).await;
    match greeted.unwrap_or(Err(FrameError::Closed)) {
        Ok(()) => drop(to_us.send(Heard::Host(Greeted { from, to, pid })).await),
        Err(error) => tracing::warn!(pid, %error, "a connection of no host"),
    }
}

pub(super) async fn hello(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Result<(), FrameError> {
    protocol::write(to, &Hello::ours()).await?;
    protocol::read::<Hello>(from, MAX_HELLO).await?.agree()
}

/// Serves a host until it goes, or another one takes its place.
pub(super) async fn run(host: Greeted, connection: u64, to_us: mpsc::Sender<Heard>, told: Told) {
    let Greeted { from, to, .. } = host;
    tokio::select! {
        () = listen(from, connection, &to_us) => {}
        // Half an order may be lost with this, of somebody who is not heard any more.
        () = report(to, told) => {}
    }
}

async fn listen(mut from: OwnedReadHalf, connection: u64, to_us: &mpsc::Sender<Heard>) {
    loop {
        let order = protocol::read(&mut from, MAX_FRAME).await;
        let is_last = order.is_err();
        if to_us.send(Heard::Order(connection, order)).await.is_err() || is_last {
            return;
        }
    }
}

/// Reports each change, and that there is none.
async fn report(mut to: OwnedWriteHalf, told: Told) {
    let Told { announced, mut observed, mut refused, again } = told;
    observed.mark_changed();
    let mut report = Report::Announced(announced);
    loop {
        if let Err(error) = protocol::write(&mut to, &report).await {
            return tracing::debug!(%error, "a host that does not listen");
        }
        if report == Report::Replaced {
            // It hangs up itself. What it says until then is read, or its kernel would tell it of a reset before it has read this.
            return tokio::time::sleep(HELLO).await;
        }
        report = tokio::select! {
            fault = refused.recv() => match fault {
                Some(fault) => Report::Refused(fault),
                // The sidecar itself ends.
                None if observed.has_changed().is_err() => return,
                None => Report::Replaced,
            },
            () = again.notified() => Report::Again,
            changed = observed.changed() => match changed {
                Ok(()) => Report::Observed(Box::new((**observed.borrow_and_update()).clone())),
                Err(_) => return,
            },
        };
    }
}
