//! One TCP connection to a neighbor: bytes in both directions, never more of them than a limit.
//!
//! A neighbor that reads slowly holds up nobody: what it is to be told waits here, and the task that owns the connection goes on.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::IpAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use weir_core::bgp::{Message, Notification};

use super::bytes::{self, Fault};

/// Read at once.
const CHUNK: usize = 16 * 1024;
/// So often at most where the kernel itself is asked: far more than a neighbor sends in any hold time.
const FETCHES: usize = 16;
/// What may wait for a neighbor that does not read: many times what a full table needs. Beyond it the connection is given up, long
/// before the timer of RFC 9687.
const MOST_UNSENT: usize = 16 * 1024 * 1024;
/// So long a connection that is to be closed goes on to send what is left, and waits for the other end to have read it.
const FAREWELL: Duration = Duration::from_secs(1);

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A message.
    Message(Message),
    /// Bytes that end the session, with this answer.
    Malformed(Notification),
    /// An update that cannot be read, and need not be.
    Unread,
    /// Some of what was to be sent is with the kernel; `true`: all of it.
    Wrote(bool),
    /// The connection is given up, for this reason.
    GivenUp(String),
    /// The connection is over.
    Closed,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    heard: VecDeque<Heard>,
    unsent: VecDeque<u8>,
    wide: bool,
    /// Why it is of no more use.
    given_up: Option<String>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        // A message is written whole and should leave at once. Where this fails, it leaves later.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            received: Vec::new(),
            heard: VecDeque::new(),
            unsent: VecDeque::new(),
            wide: false,
            given_up: None,
        }
    }

    /// The address at our end.
    pub(super) fn local(&self) -> io::Result<IpAddr> {
        self.stream.local_addr().map(|address| address.ip())
    }

    /// AS numbers in paths have four bytes from now on.
    pub(super) const fn widen(&mut self, wide: bool) {
        self.wide = wide;
    }

    /// Puts a message behind all others. What cannot be sent ends the connection: the neighbor would otherwise believe something
    /// that is not true.
    pub(super) fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        if let Err(error) = bytes::encode(message, self.wide, &mut bytes) {
            tracing::error!(%error, "a BGP message cannot be sent; the connection is given up");
            self.given_up = Some(format!("a message cannot be sent: {error}"));
        }
        self.unsent.extend(bytes);
        if self.unsent.len() > MOST_UNSENT {
            let why = || format!("the neighbor does not read, and {} MiB wait for it", MOST_UNSENT >> 20);
            self.given_up.get_or_insert_with(why);
        }
    }

    /// Waits until there is something to tell. Nothing is lost where it is not waited for to the end.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.try_next() {
                return heard;
            }
            let interest = if self.unsent.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            if self.stream.ready(interest).await.is_err() {
                return Heard::Closed;
            }
        }
    }

    /// What there is to tell without waiting.
    pub(super) fn try_next(&mut self) -> Option<Heard> {
        if let Some(why) = self.given_up.take() {
            return Some(Heard::GivenUp(why));
        }
        if let Some(heard) = self.parse() {
            return Some(heard);
        }
        self.write().or_else(|| self.read())
    }

    fn parse(&mut self) -> Option<Heard> {
        if let Some(heard) = self.heard.pop_front() {
            return Some(heard);
        }
        let length = match bytes::whole(&self.received) {
            Ok(length) => length?,
            Err(answer) => return Some(Heard::Malformed(answer)),
        };
        let message: Vec<u8> = self.received.drain(..length).collect();
        match bytes::decode(&message, self.wide) {
            Ok(messages) => self.heard.extend(messages.into_iter().map(Heard::Message)),
            Err(Fault::Answer(answer)) => return Some(Heard::Malformed(answer)),
            Err(Fault::Unread) => return Some(Heard::Unread),
        }
        self.heard.pop_front()
    }

    fn write(&mut self) -> Option<Heard> {
        let (bytes, _) = self.unsent.as_slices();
        if bytes.is_empty() {
            return None;
        }
        match self.stream.try_write(bytes) {
            Ok(written) => {
                self.unsent.drain(..written);
                Some(Heard::Wrote(self.unsent.is_empty()))
            }
            Err(error) if is_nothing(&error) => None,
            // What the neighbor said before it closed is still to be read: it may be the reason.
            Err(_) => {
                self.unsent.clear();
                None
            }
        }
    }

    fn read(&mut self) -> Option<Heard> {
        let mut chunk = [0; CHUNK];
        match self.stream.try_read(&mut chunk) {
            Ok(0) => Some(Heard::Closed),
            Ok(count) => {
                self.received.extend_from_slice(chunk.get(..count).unwrap_or_default());
                self.parse()
            }
            Err(error) if is_nothing(&error) => None,
            Err(_) => Some(Heard::Closed),
        }
    }

    /// Takes what waits from the kernel itself, to be told by [`Connection::try_next`]. After the process was stopped (SIGSTOP, a frozen
    /// cgroup, a debugger) the runtime finds timers that are over before it has asked for news of sockets, and takes them for empty.
    pub(super) fn fetch(&mut self) {
        let mut chunk = [0; CHUNK];
        for _ in 0..FETCHES {
            match (&*SockRef::from(&self.stream)).read(&mut chunk) {
                Ok(count) if count > 0 => {
                    self.received.extend_from_slice(chunk.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The end is seen again by who waits for it.
                _ => return,
            }
        }
    }

    /// Sends what is left, says that nothing more will come, and waits a little for the other end to do the same: a socket that is
    /// closed with unread bytes in it answers with a reset, and that may overtake the reason.
    pub(super) async fn farewell(mut self) {
        let part = async {
            self.stream.write_all(self.unsent.make_contiguous()).await?;
            self.stream.shutdown().await?;
            let mut rest = [0; CHUNK];
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // It is over in any case.
        let _ = tokio::time::timeout(FAREWELL, part).await;
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
