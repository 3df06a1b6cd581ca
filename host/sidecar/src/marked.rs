//! Sockets for checks that go through a tunnel: made here, since a firewall mark takes a privilege, and handed to the host.
//!
//! One connection, one question, one answer: the host says which mark and which of this node's addresses, and gets a socket that it
//! may connect, or a sentence. Only marks are given that lead into the tunnel that the host means, by the balancer's table as it was
//! last seen: a check whose way is not there would end at another node, and pass for the wrong one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt,
};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use weir_core::ipvs::Key;
use weir_core::maglev::Family;

use crate::privileges;
use crate::protocol::{self, PROTOCOL};
use crate::speaker::dice::Dice;

/// How long whoever asks may take to say what it wants. Nobody else is answered meanwhile.
const QUESTION: Duration = Duration::from_millis(200);

/// The longest question, bytes.
const MAX_QUESTION: usize = 256;

/// The longest sentence of an answer, bytes.
const MAX_ANSWER: usize = 256;

/// What is said beside a socket.
const GIVEN: &[u8] = b"\0";

/// The pause after a connection could not be accepted: out of descriptors, most likely.
const AGAIN: Duration = Duration::from_millis(100);

/// Which socket is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedSocket {
    /// [`PROTOCOL`] of who asks.
    protocol: u32,
    /// What its packets shall carry.
    mark: NonZeroU32,
    /// Where that has to lead: the end of the tunnel.
    end: IpAddr,
    /// The address of this node that they come from. Its family is the socket's.
    from: IpAddr,
}

/// The services for marks of checks that there are, and where each leads.
type Ways = BTreeMap<Key, IpAddr>;

impl MarkedSocket {
    /// A TCP socket with this mark, which leads there, bound to this address.
    pub const fn new(mark: NonZeroU32, end: IpAddr, from: IpAddr) -> Self {
        Self { protocol: PROTOCOL, mark, end, from }
    }

    fn key(&self) -> Key {
        let family = if self.from.is_ipv4() { Family::V4 } else { Family::V6 };
        Key::Mark { family, mark: self.mark }
    }

    fn fulfil(&self, ways: &Ways, ports: &mut Ports) -> Result<Socket, String> {
        match ways.get(&self.key()) {
            Some(end) if *end == self.end => {}
            Some(end) => return Err(format!("{} still leads to {end}, not to {}", self.key(), self.end)),
            None => return Err(format!("the balancer has no service for {} yet", self.key())),
        }
        self.make(ports).map_err(|error| format!("no socket with {} from {}: {error}", self.key(), self.from))
    }

    fn make(&self, ports: &mut Ports) -> io::Result<Socket> {
        let domain = Domain::for_address(SocketAddr::new(self.from, 0));
        let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        socket.set_mark(self.mark.get())?;
        // For ports whose last connection is only remembered.
        socket.set_reuse_address(true)?;
        ports.bind(&socket, self.from)?;
        Ok(socket)
    }
}

/// Ports of checks, one after the other. The kernel would draw them, and one that comes again within a minute finds its connection
/// of before in the balancer's table, which looks at that before it looks at the mark: the check would go where the last one went.
struct Ports(u16);

impl Ports {
    /// Those that the kernel gives out by itself, unless it is told otherwise.
    const ALL: RangeInclusive<u16> = 32768..=60999;
    /// Of those in a row that are taken, so many are passed over.
    const TRIES: usize = 64;

    /// From anywhere on: the sidecar before this one has just used some.
    fn new() -> Self {
        let random = u16::try_from(Dice::new().number() & 0x7fff).unwrap_or_default();
        Self((*Self::ALL.start()).saturating_add(random).min(*Self::ALL.end()))
    }

    fn bind(&mut self, socket: &Socket, from: IpAddr) -> io::Result<()> {
        let mut last = Err(io::ErrorKind::AddrInUse.into());
        for _ in 0..Self::TRIES {
            self.0 =
                self.0.checked_add(1).filter(|port| Self::ALL.contains(port)).unwrap_or(*Self::ALL.start());
            last = socket.bind(&SocketAddr::new(from, self.0).into());
            match &last {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                _ => break,
            }
        }
        last
    }
}

/// Where sockets are asked for, beside the sidecar's own socket.
pub fn beside(sidecar: &Path) -> PathBuf {
    sidecar.with_extension("checks")
}

/// Hands out sockets to these users from a thread of its own, for as long as the process lives.
///
/// # Errors
/// There is no thread to be had.
pub(crate) fn start(
    listener: UnixListener,
    allowed: BTreeSet<u32>,
    ways: watch::Receiver<Arc<Ways>>,
) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    let work = move || {
        // Since Linux 5.17; before, marks take CAP_NET_ADMIN, which is too much for this.
        if let Err(error) = privileges::thread_keeps_only(CapabilitySet::NET_RAW) {
            tracing::error!(%error, "there are no sockets for checks through tunnels");
            return;
        }
        let mut ports = Ports::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    let ways = Arc::clone(&ways.borrow());
                    if let Err(error) = answer(stream, &allowed, &ways, &mut ports) {
                        tracing::debug!(%error, "a question for a socket");
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "checks through tunnels get no socket");
                    std::thread::sleep(AGAIN);
                }
            }
        }
    };
    std::thread::Builder::new().name("checks".to_owned()).spawn(work).map(drop)
}

/// Answers the question of one connection, with a socket or a sentence.
fn answer(mut stream: UnixStream, allowed: &BTreeSet<u32>, ways: &Ways, ports: &mut Ports) -> io::Result<()> {
    stream.set_write_timeout(Some(QUESTION))?;
    let uid = sockopt::socket_peercred(&stream)?.uid.as_raw();
    let made = match read(&mut stream)? {
        _ if !allowed.contains(&uid) => Err(format!("user {uid} may not have sockets of this sidecar")),
        Ok(wanted) => wanted.fulfil(ways, ports),
        Err(why) => Err(why),
    };
    match made {
        Ok(socket) => {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let sockets = [socket.as_fd()];
            // There is room for one.
            control.push(SendAncillaryMessage::ScmRights(&sockets));
            sendmsg(&stream, &[IoSlice::new(GIVEN)], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        }
        Err(why) => {
            let why = why.as_bytes();
            stream.write_all(why.get(..MAX_ANSWER).unwrap_or(why))
        }
    }
}

/// The question, or what is wrong with it.
fn read(stream: &mut UnixStream) -> io::Result<Result<MarkedSocket, String>> {
    let until = Instant::now() + QUESTION;
    let mut length = [0; 4];
    read_exact(stream, &mut length, until)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_QUESTION {
        return Ok(Err(format!("a question of {length} bytes is none")));
    }
    let mut body = vec![0; length];
    read_exact(stream, &mut body, until)?;
    // Who speaks otherwise may ask otherwise.
    let protocol = serde_json::from_slice::<Spoken>(&body).map(|spoken| spoken.protocol);
    if let Ok(protocol) = protocol
        && protocol != PROTOCOL
    {
        return Ok(Err(format!("protocol {protocol} is not {PROTOCOL}: restart the older process")));
    }
    Ok(serde_json::from_slice(&body).map_err(|error| format!("a question that is not understood: {error}")))
}

/// What is the same in all protocols.
#[derive(Deserialize)]
struct Spoken {
    protocol: u32,
}

/// Fills `bytes` until then, whoever sends how slowly.
fn read_exact(stream: &mut UnixStream, mut bytes: &mut [u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes = bytes.get_mut(n..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Asks the sidecar for a socket, at [`beside`] of its own.
///
/// # Errors
/// There is no sidecar, or it gives none, and why.
pub async fn ask(path: &Path, wanted: MarkedSocket) -> io::Result<TcpSocket> {
    let of_sidecar = |error: io::Error| io::Error::other(format!("sidecar at {}: {error}", path.display()));
    let said = question(path, wanted).await.map_err(of_sidecar)?;
    match said {
        (_, Some(socket)) => Ok(TcpSocket::from_std_stream(socket.into())),
        (said, None) if said == GIVEN => Err(io::Error::other("this process has no descriptor left")),
        (said, None) if said.is_empty() => Err(of_sidecar(io::ErrorKind::UnexpectedEof.into())),
        (said, None) => Err(of_sidecar(io::Error::other(String::from_utf8_lossy(&said).into_owned()))),
    }
}

async fn question(path: &Path, wanted: MarkedSocket) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut stream = tokio::net::UnixStream::connect(path).await?;
    let question = protocol::frame(&wanted).map_err(io::Error::other)?;
    stream.write_all(&question).await?;
    stream.async_io(Interest::READABLE, || receive(&stream)).await
}

fn receive(stream: &tokio::net::UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut said = [0; MAX_ANSWER];
    let message = recvmsg(stream, &mut [IoSliceMut::new(&mut said)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let socket = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    Ok((said.get(..message.bytes).unwrap_or_default().to_vec(), socket))
}

#[cfg(test)]
mod tests;
