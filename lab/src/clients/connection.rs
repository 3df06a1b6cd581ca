//! A conversation on a socket that never blocks. The crowd says when; this says what came of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::event::epoll::EventFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::Outcome;
use super::conversation::Conversation;

/// Kernel buffers of a connection, bytes each way. Small, so that a way that broke shows within a second or two of
/// reading instead of after megabytes that were under way, and so that servers feel a slow reader.
const SOCKET_BUFFER: usize = 32 * 1024;

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What is said on it.
    pub(super) talk: Conversation,
    /// Where from; the port is known once it is connected.
    pub(super) source: SocketAddr,
    /// Where to.
    pub(super) destination: SocketAddr,
    /// When the attempt began, milliseconds since the run did.
    pub(super) began_ms: u64,
    /// When a byte last moved.
    pub(super) moved_ms: u64,
    /// Whether the handshake is done.
    pub(super) connected: bool,
    /// Whether it has been counted as established.
    pub(super) counted: bool,
    /// Whether the client wants to go on and cannot.
    pub(super) waits: bool,
    /// What the poller watches for.
    pub(super) watched: EventFlags,
}

/// What a turn of reading or writing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many bytes moved, down and up.
    Moved(u64, u64),
    /// Nothing can move now.
    Blocked,
    /// It is over.
    Ended(Outcome),
}

impl Connection {
    /// Begins to connect.
    ///
    /// # Errors
    /// The outcome that this attempt is to be counted as.
    pub(super) fn begin(
        source: SocketAddr,
        destination: SocketAddr,
        talk: Conversation,
        now_ms: u64,
    ) -> Result<Self, Outcome> {
        let outcome = |error: std::io::Error| Outcome::of_error(&error);
        let socket = Socket::new(
            Domain::for_address(destination),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )
        .map_err(outcome)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER).map_err(outcome)?;
        socket.set_send_buffer_size(SOCKET_BUFFER).map_err(outcome)?;
        // An address that a connection of this place left a moment ago may be had again; another place's is not to be had.
        socket.set_reuse_address(true).map_err(outcome)?;
        socket
            .bind(&source.into())
            .or_else(|_| socket.bind(&SocketAddr::new(source.ip(), 0).into()))
            .map_err(outcome)?;
        match socket.connect(&destination.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(outcome(error)),
        }
        let stream = TcpStream::from(socket);
        let source = stream.local_addr().unwrap_or(source);
        Ok(Self {
            stream,
            talk,
            source,
            destination,
            began_ms: now_ms,
            moved_ms: now_ms,
            connected: false,
            counted: false,
            waits: false,
            watched: EventFlags::OUT,
        })
    }

    /// The socket, for the poller.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The poller found the socket ready while it was connecting.
    pub(super) fn handshake_over(&mut self, now_ms: u64) -> Option<Outcome> {
        match self.stream.take_error() {
            Ok(None) => {
                self.connected = true;
                self.moved_ms = now_ms;
                None
            }
            Ok(Some(error)) if error.kind() == ErrorKind::TimedOut => Some(Outcome::ConnectTimeout),
            Ok(Some(error)) | Err(error) => Some(Outcome::of_error(&error)),
        }
    }

    /// The poller saw an error, which ends every connection. What came before it counts first: a status says more than
    /// a reset.
    pub(super) fn erred(&mut self, piece: &mut [u8]) -> Outcome {
        if self.talk.is_upload()
            && let Turn::Ended(outcome) = self.read(piece)
        {
            return outcome;
        }
        match self.stream.take_error() {
            Ok(Some(error)) | Err(error) => Outcome::of_error(&error),
            Ok(None) => Outcome::Reset,
        }
    }

    /// Reads once or writes once, whatever is next, at most a piece.
    pub(super) fn turn(&mut self, piece: &mut [u8], out: &mut Vec<u8>, now_ms: u64) -> Turn {
        let turn = if self.talk.has_to_send() { self.write(piece.len(), out) } else { self.read(piece) };
        self.waits = turn == Turn::Blocked;
        if let Turn::Moved(..) = turn {
            self.moved_ms = now_ms;
        }
        turn
    }

    /// Reads once.
    pub(super) fn read(&mut self, piece: &mut [u8]) -> Turn {
        match (&self.stream).read(piece) {
            Ok(0) => Turn::Ended(self.talk.closed()),
            Ok(length) => {
                let (came, _) = piece.split_at(length);
                self.talk.came(came).map_or(Turn::Moved(length as u64, 0), Turn::Ended)
            }
            Err(error) => failed(&error),
        }
    }

    fn write(&mut self, most: usize, out: &mut Vec<u8>) -> Turn {
        self.talk.next_to_send(most, out);
        match (&self.stream).write(out) {
            Ok(length) => {
                let (went, _) = out.split_at(length);
                self.talk.sent(went);
                Turn::Moved(0, length as u64)
            }
            Err(error) => failed(&error),
        }
    }
}

fn failed(error: &std::io::Error) -> Turn {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Turn::Blocked,
        _ => Turn::Ended(Outcome::of_error(error)),
    }
}
