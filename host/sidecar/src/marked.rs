//! Sockets for checks that go through a tunnel: made here, since a firewall mark takes a privilege, and handed to the host.
//!
//! One connection, one question, one answer: the host says which mark and which of this node's addresses, and gets a socket that it
//! may connect, or a sentence. Only marks are given that lead into a tunnel by the balancer's table as it was last seen: a check
//! whose way is not there would end at whichever node the balancer chooses, and pass for the wrong one.

use std::collections::BTreeSet;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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

/// How long whoever asks may take to say what it wants, and to take the answer. Nobody else is answered meanwhile.
const QUESTION: Duration = Duration::from_millis(200);

/// The longest question, bytes.
const MAX_QUESTION: usize = 256;

/// The longest sentence of an answer, bytes.
const MAX_ANSWER: usize = 256;

/// The pause after a connection could not be accepted: out of descriptors, most likely.
const AGAIN: Duration = Duration::from_millis(100);

/// Which socket is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkedSocket {
    /// [`PROTOCOL`] of who asks.
    protocol: u32,
    /// What its packets shall carry.
    mark: NonZeroU32,
    /// The address of this node that they come from. Its family is the socket's.
    from: IpAddr,
}

impl MarkedSocket {
    /// A TCP socket with this mark, bound to this address.
    pub const fn new(mark: NonZeroU32, from: IpAddr) -> Self {
        Self { protocol: PROTOCOL, mark, from }
    }

    fn key(&self) -> Key {
        let family = if self.from.is_ipv4() { Family::V4 } else { Family::V6 };
        Key::Mark { family, mark: self.mark }
    }

    fn fulfil(&self, ways: &BTreeSet<Key>) -> Result<Socket, String> {
        if self.protocol != PROTOCOL {
            return Err(format!("protocol {} is not {PROTOCOL}: restart the older process", self.protocol));
        }
        if !ways.contains(&self.key()) {
            return Err(format!("the balancer has no service for {} yet", self.key()));
        }
        self.make().map_err(|error| format!("no socket with {} from {}: {error}", self.key(), self.from))
    }

    fn make(&self) -> io::Result<Socket> {
        let from = SocketAddr::new(self.from, 0);
        let socket = Socket::new(
            Domain::for_address(from),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_mark(self.mark.get())?;
        socket.bind(&from.into())?;
        Ok(socket)
    }
}

/// Where sockets are asked for, beside the sidecar's own socket.
pub fn beside(sidecar: &Path) -> PathBuf {
    sidecar.with_extension("checks")
}

/// Hands out sockets to these users from a thread of its own, for as long as the process lives. `ways` are the services for firewall
/// marks that the balancer has.
///
/// # Errors
/// There is no thread to be had.
pub(crate) fn start(
    listener: UnixListener,
    allowed: BTreeSet<u32>,
    ways: watch::Receiver<Arc<BTreeSet<Key>>>,
) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    let work = move || {
        // Since Linux 5.17; before, marks take CAP_NET_ADMIN, which is too much for this.
        if let Err(error) = privileges::thread_keeps_only(CapabilitySet::NET_RAW) {
            tracing::error!(%error, "there are no sockets for checks through tunnels");
            return;
        }
        loop {
            let outcome = listener.accept().and_then(|(stream, _)| answer(stream, &allowed, &ways));
            if let Err(error) = outcome {
                tracing::debug!(%error, "a question for a socket");
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::BrokenPipe
                        | io::ErrorKind::ConnectionReset
                ) {
                    std::thread::sleep(AGAIN);
                }
            }
        }
    };
    std::thread::Builder::new().name("checks".to_owned()).spawn(work).map(drop)
}

fn answer(
    mut stream: UnixStream,
    allowed: &BTreeSet<u32>,
    ways: &watch::Receiver<Arc<BTreeSet<Key>>>,
) -> io::Result<()> {
    let peer = sockopt::socket_peercred(&stream)?;
    if !allowed.contains(&peer.uid.as_raw()) {
        tracing::warn!(uid = peer.uid.as_raw(), "a user that may not have sockets of this sidecar");
        return Ok(());
    }
    stream.set_read_timeout(Some(QUESTION))?;
    stream.set_write_timeout(Some(QUESTION))?;
    let wanted = read(&mut stream)?;
    let ways = Arc::clone(&ways.borrow());
    match wanted.fulfil(&ways) {
        Ok(socket) => {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let sockets = [socket.as_fd()];
            // There is room for one.
            control.push(SendAncillaryMessage::ScmRights(&sockets));
            sendmsg(&stream, &[IoSlice::new(b"\0")], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        }
        Err(why) => {
            let why = why.as_bytes();
            stream.write_all(why.get(..MAX_ANSWER).unwrap_or(why))
        }
    }
}

fn read(stream: &mut UnixStream) -> io::Result<MarkedSocket> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_QUESTION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a question of that length is none"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    serde_json::from_slice(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Asks the sidecar for a socket, at [`beside`] of its own.
///
/// # Errors
/// There is no sidecar, or it gives none, and why.
pub async fn ask(path: &Path, wanted: MarkedSocket) -> io::Result<TcpSocket> {
    let mut stream = tokio::net::UnixStream::connect(path).await?;
    let question = protocol::frame(&wanted).map_err(io::Error::other)?;
    stream.write_all(&question).await?;
    let (said, socket) = stream.async_io(Interest::READABLE, || receive(&stream)).await?;
    match socket {
        Some(socket) => Ok(TcpSocket::from_std_stream(socket.into())),
        None if said.is_empty() => Err(io::Error::other("the sidecar does not answer this user")),
        None => Err(io::Error::other(String::from_utf8_lossy(&said).into_owned())),
    }
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
