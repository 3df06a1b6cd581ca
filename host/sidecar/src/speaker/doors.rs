//! Where neighbors may connect: a listening socket lets in who is configured, and closes the door to everybody else at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{SockRef, Socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use weir_core::desired::speaker::{Distance, Key, Neighbor};

use super::board::Board;
use super::options;

/// Connections that wait to be let in.
const BACKLOG: i32 = 64;
/// After an error that is the machine's (no descriptors): so long nobody is let in.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is let in, and to whom.
#[derive(Debug, Clone, Default)]
pub(super) struct Guests(Arc<Mutex<BTreeMap<IpAddr, mpsc::Sender<TcpStream>>>>);

impl Guests {
    /// From now on these.
    pub(super) fn set(&self, guests: BTreeMap<IpAddr, mpsc::Sender<TcpStream>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = guests;
    }

    fn find(&self, address: IpAddr) -> Option<mpsc::Sender<TcpStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()
    }
}

/// All listening sockets.
#[derive(Debug)]
pub(super) struct Doors {
    guests: Guests,
    board: Board,
    open: BTreeMap<SocketAddr, Door>,
}

#[derive(Debug)]
struct Door {
    /// The same socket as the task's, for its options.
    socket: Socket,
    signed: BTreeMap<IpAddr, Key>,
    task: Option<AbortHandle>,
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Doors {
    pub(super) fn new(guests: Guests, board: Board) -> Self {
        Self { guests, board, open: BTreeMap::new() }
    }

    /// Only these addresses are listened at from now on; `bound` are new ones among them.
    pub(super) fn set(
        &mut self,
        addresses: &[SocketAddr],
        bound: Vec<(SocketAddr, io::Result<Socket>)>,
        neighbors: &[Neighbor],
    ) {
        self.open.retain(|address, _| addresses.contains(address));
        for (address, socket) in bound {
            match socket {
                Ok(socket) => {
                    self.open.insert(address, Door { socket, signed: BTreeMap::new(), task: None });
                }
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot listen for BGP neighbors here");
                    self.board.set_listener(address, Some(error.to_string()));
                }
            }
        }
        for (address, door) in &mut self.open {
            // Keys and hop counts first: whoever comes before them would come without them.
            let result = door
                .guard(address.is_ipv4(), neighbors)
                .and_then(|()| door.listen(&self.guests, &self.board));
            if let Err(error) = &result {
                tracing::warn!(%address, %error, "cannot listen for BGP neighbors here");
            }
            self.board.set_listener(*address, result.err().map(|error| error.to_string()));
        }
    }
}

impl Door {
    fn guard(&mut self, v4: bool, neighbors: &[Neighbor]) -> io::Result<()> {
        let family = || neighbors.iter().filter(|one| one.address.is_ipv4() == v4);
        let keys: BTreeMap<IpAddr, &Key> =
            family().filter_map(|one| Some((one.address, one.key.as_ref()?))).collect();
        let gone: BTreeSet<IpAddr> =
            self.signed.keys().copied().filter(|one| !keys.contains_key(one)).collect();
        for address in gone {
            options::sign(&self.socket, address, None)?;
            self.signed.remove(&address);
        }
        for (address, key) in keys {
            if self.signed.get(&address) != Some(key) {
                options::sign(&self.socket, address, Some(key))?;
                self.signed.insert(address, key.clone());
            }
        }
        // A neighbor that enforces the distance drops our answer to its SYN where that looks as if it came from afar.
        let least = |one: &Neighbor| match one.distance {
            Distance::Secured(hops) => options::least_of(hops),
            Distance::Any | Distance::Hops(_) => 0,
        };
        if family().any(|one| least(one) > 0) {
            options::send_hops(&self.socket, v4, options::FULL)?;
        }
        // Where all of them enforce it, a SYN from afar is not even answered.
        options::least_hops(&self.socket, v4, family().map(least).min().unwrap_or(0))
    }

    fn listen(&mut self, guests: &Guests, board: &Board) -> io::Result<()> {
        if self.task.is_some() {
            return Ok(());
        }
        self.socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(self.socket.try_clone()?.into())?;
        let task = tokio::spawn(let_in(listener, guests.clone(), board.clone()));
        self.task = Some(task.abort_handle());
        Ok(())
    }
}

async fn let_in(listener: TcpListener, guests: Guests, board: Board) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a BGP connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(guest) = guests.find(peer.ip()) else {
            tracing::debug!(%peer, "a BGP connection from no neighbor");
            board.count_stranger();
            // A reset: nobody here has anything to say to it, and nothing of it is to stay.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            continue;
        };
        // Full: the neighbor connects faster than it is heard. It may try again.
        let _ = guest.try_send(stream);
    }
}
