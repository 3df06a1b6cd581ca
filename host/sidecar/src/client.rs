//! The host's end: the newest desired state goes out, what the sidecar sees comes back, over as many connections as it takes.
//!
//! The first order of a connection is the whole state, later ones are what differs from the last. A sidecar that cannot make
//! anything of a difference is told the whole again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use weir_core::desired::{Desired, Observed, Ways};

use crate::protocol::{self, FrameError, Hello, MAX_FRAME, MAX_HELLO, Order, Report};

/// How often the sidecar hears that somebody still decides. Four of them fit into the shortest hold.
pub const ALIVE_EVERY: Duration = Duration::from_millis(500);

/// The pause before a sidecar that is not there is looked for again.
const AGAIN: Duration = Duration::from_millis(100);

/// The same where it hears another host: two that push each other out take long turns.
const AFTER_ANOTHER: Duration = Duration::from_secs(10);

/// What is known of the sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// What the sidecar announced when it was reached last, by the word of whoever decided before.
    pub announced: Option<Arc<BTreeSet<IpAddr>>>,
    /// Why there is no connection; `None` while there is one.
    pub problem: Option<String>,
    /// Why the last desired state was refused, until one is taken.
    pub refused: Option<String>,
    /// What the sidecar said last, perhaps over a connection that is gone.
    pub observed: Option<Arc<Observed>>,
}

/// Keeps a sidecar told, for as long as `desired` and `ways` have senders. Connects again whenever the connection is lost, and says
/// the whole state then. `ways` are those of checks through tunnels, told before anything is desired.
pub async fn keep(
    socket: PathBuf,
    mut desired: watch::Receiver<Option<Arc<Desired>>>,
    mut ways: watch::Receiver<Ways>,
    link: watch::Sender<Link>,
) {
    loop {
        let (pause, error) = match talk(&socket, &mut desired, &mut ways, &link).await {
            Ok(()) => return,
            Err(error @ FrameError::Replaced) => (AFTER_ANOTHER, error),
            Err(error) => (AGAIN, error),
        };
        let error = format!("{}: {error}", socket.display());
        let is_news = link.send_if_modified(|link| {
            let is_news = link.problem.as_ref() != Some(&error);
            link.problem = Some(error.clone());
            is_news
        });
        if is_news {
            tracing::warn!(%error, "no sidecar");
        }
        tokio::time::sleep(pause).await;
    }
}

/// One connection. `Ok` where nobody wants anything any more.
async fn talk(
    socket: &Path,
    desired: &mut watch::Receiver<Option<Arc<Desired>>>,
    ways: &mut watch::Receiver<Ways>,
    link: &watch::Sender<Link>,
) -> Result<(), FrameError> {
    let (mut from, mut to) = UnixStream::connect(socket).await?.into_split();
    protocol::write(&mut to, &Hello::ours()).await?;
    protocol::read::<Hello>(&mut from, MAX_HELLO).await?.agree()?;
    link.send_modify(|link| link.problem = None);
    tracing::info!(socket = %socket.display(), "the sidecar answers");
    let (told, again) = (link.clone(), Arc::new(Notify::new()));
    let asked = Arc::clone(&again);
    let mut listening = tokio::spawn(async move { listen(&mut from, &told, &asked).await });
    desired.mark_changed();
    ways.mark_changed();
    let mut said: Option<Arc<Desired>> = None;
    let ended = loop {
        let order = tokio::select! {
            changed = desired.changed() => match changed {
                Ok(()) => {
                    let next = desired.borrow_and_update().clone();
                    let order = next.as_deref().map(|next| Order::from(said.as_deref(), next));
                    said = next;
                    order
                }
                Err(_) => break Ok(()),
            },
            changed = ways.changed() => match changed {
                Ok(()) => {
                    let ways = ways.borrow_and_update().clone();
                    (ways != Ways::default()).then(|| Order::Prepare(Box::new(ways)))
                }
                Err(_) => break Ok(()),
            },
            () = again.notified() => {
                tracing::warn!("the sidecar asks for the whole desired state");
                said.as_deref().map(|said| Order::from(None, said))
            }
            () = tokio::time::sleep(ALIVE_EVERY) => Some(Order::Alive),
            ended = &mut listening => return ended.unwrap_or(Err(FrameError::Closed)),
        };
        if let Some(order) = order
            && let Err(error) = protocol::write(&mut to, &order).await
        {
            break Err(error);
        }
    };
    listening.abort();
    ended
}

async fn listen(
    from: &mut tokio::net::unix::OwnedReadHalf,
    link: &watch::Sender<Link>,
    again: &Notify,
) -> Result<(), FrameError> {
    loop {
        match protocol::read(from, MAX_FRAME).await? {
            Report::Observed(observed) => {
                let observed: Arc<Observed> = Arc::from(observed);
                link.send_modify(|link| {
                    let generation = link.observed.as_ref().map(|observed| observed.generation);
                    if generation != Some(observed.generation) {
                        // Something that came later was taken.
                        link.refused = None;
                    }
                    link.observed = Some(observed);
                });
            }
            Report::Announced(addresses) => {
                link.send_modify(|link| link.announced = Some(Arc::new(addresses)));
            }
            Report::Refused(why) => {
                tracing::error!(%why, "the sidecar refuses what this node wants");
                link.send_modify(|link| link.refused = Some(why));
            }
            Report::Again => again.notify_one(),
            Report::Replaced => return Err(FrameError::Replaced),
        }
    }
}
