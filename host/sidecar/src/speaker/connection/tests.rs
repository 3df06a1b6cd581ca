//! What a speaker on the loopback does not get to see.

use std::io::Write;
use std::net::{TcpListener, TcpStream as Other};

use weir_core::bgp::{Capability, Open, Settings};

use super::*;

/// Both ends. Nothing is waited for by who has the first one.
fn pair() -> (Connection, Other) {
    let listener = TcpListener::bind("127.0.77.59:0").unwrap();
    let other = Other::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    (Connection::new(TcpStream::from_std(stream).unwrap()), other)
}

fn here(test: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { test() });
}

#[test]
fn what_the_runtime_was_not_told_of_is_fetched_from_the_kernel() {
    here(|| {
        let (mut connection, mut other) = pair();
        let mut bytes = Vec::new();
        bytes::encode(&Message::Keepalive, true, &mut bytes).unwrap();
        other.write_all(&[&bytes[..], &bytes, &bytes[..5]].concat()).unwrap();
        // Nobody asks the kernel for news in here: as where a process that was stopped goes on.
        while SockRef::from(&connection.stream).peek(&mut [std::mem::MaybeUninit::uninit()]).is_err() {}
        connection.fetch();
        let heard: Vec<_> = std::iter::from_fn(|| connection.try_next()).collect();
        assert_eq!(heard, [Heard::Message(Message::Keepalive), Heard::Message(Message::Keepalive)]);
        drop(other);
        connection.fetch();
        assert_eq!(connection.try_next(), None, "the end is told by who waits for it");
    });
}

#[test]
fn a_message_that_cannot_be_sent_is_no_end_by_the_neighbor() {
    here(|| {
        let (mut connection, _other) = pair();
        let ours = Open::ours(&Settings::new(65000, [192, 0, 2, 1].into(), 65000), false);
        let long = Capability::Other { code: 200, value: vec![0; 5000] };
        connection.send(&Message::Open(Open { capabilities: vec![long], ..ours }));
        let heard = connection.try_next();
        assert!(
            matches!(&heard, Some(Heard::GivenUp(why)) if why.starts_with("a message cannot be sent: ")),
            "{heard:?}"
        );
        assert!(connection.unsent.is_empty(), "nothing half said is before the last word");
    });
}
