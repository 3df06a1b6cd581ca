//! The other end of a session, in the hands of a test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use weir_core::bgp::{Capability, Family, Message, Notification, Open, Settings, Update};

use super::super::bytes;
use super::{PATIENCE, ip};

/// A connection, and what came over it and is not read yet.
pub(super) struct End {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
    messages: Vec<Message>,
}

/// What this end says it is: an old friend, with everything.
pub(super) fn open(own: u8, peer_as: u32) -> Open {
    let settings = Settings::new(peer_as, std::net::Ipv4Addr::new(192, 0, 2, own), peer_as);
    Open::ours(&settings, false)
}

impl End {
    /// Waits for the speaker to connect.
    pub(super) fn accept(listener: &TcpListener) -> Self {
        Self::over(listener.accept().unwrap().0)
    }

    /// Connects to the speaker, from an address.
    pub(super) fn connect(from: u8, to: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(ip(from), 0).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Ok(Self::over(socket.into()))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, received: Vec::new(), messages: Vec::new() }
    }

    pub(super) fn say(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        bytes::encode(message, true, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next message; `None` at the end of the connection.
    pub(super) fn next(&mut self) -> Option<Message> {
        loop {
            if !self.messages.is_empty() {
                return Some(self.messages.remove(0));
            }
            if let Some(length) = bytes::whole(&self.received).unwrap() {
                let message: Vec<u8> = self.received.drain(..length).collect();
                self.messages = bytes::decode(&message, true).unwrap();
                continue;
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => unreachable!("{error}"),
            }
        }
    }

    /// The next message that is no sign of life.
    pub(super) fn heard(&mut self) -> Option<Message> {
        loop {
            match self.next() {
                Some(Message::Keepalive) => {}
                other => return other,
            }
        }
    }

    /// Gets a session up, and gives what the speaker said of itself.
    pub(super) fn greet(&mut self, open: &Open) -> Open {
        self.say(&Message::Open(open.clone()));
        self.say(&Message::Keepalive);
        match self.next() {
            Some(Message::Open(theirs)) => theirs,
            other => unreachable!("{other:?}"),
        }
    }

    /// Updates up to the last End-of-RIB of both families.
    pub(super) fn table(&mut self) -> Vec<Update> {
        let mut updates = Vec::new();
        let mut ends = 0;
        while ends < 2 {
            match self.heard() {
                Some(Message::Update(update)) if update.is_end_of_rib() => ends += 1,
                Some(Message::Update(update)) => updates.push(update),
                other => unreachable!("{other:?}"),
            }
        }
        updates
    }

    pub(super) fn update(&mut self) -> Update {
        match self.heard() {
            Some(Message::Update(update)) => update,
            other => unreachable!("{other:?}"),
        }
    }

    /// The reason that the speaker gives, and the end after it.
    pub(super) fn reason(&mut self) -> Notification {
        loop {
            match self.heard() {
                Some(Message::Notification(why)) => {
                    assert_eq!(self.next(), None, "a notification is the last word");
                    return why;
                }
                Some(Message::Update(_)) => {}
                other => unreachable!("{other:?}"),
            }
        }
    }
}

/// A listener that a speaker connects to.
pub(super) fn listen(own: u8) -> (TcpListener, u16) {
    let listener = TcpListener::bind(SocketAddr::new(ip(own), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Nothing comes for so long.
pub(super) fn nobody_comes(listener: &TcpListener, within: Duration) {
    listener.set_nonblocking(true).unwrap();
    let begin = std::time::Instant::now();
    while begin.elapsed() < within {
        assert!(listener.accept().is_err(), "somebody connected");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether an `OPEN` speaks of both families.
pub(super) fn speaks_both(open: &Open) -> bool {
    [Family::Ipv4, Family::Ipv6]
        .iter()
        .all(|family| open.capabilities.contains(&Capability::Multiprotocol(*family)))
}
