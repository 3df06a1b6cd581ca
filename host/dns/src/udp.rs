//! The UDP loop of one thread: take what is there, answer it in place, send it.

mod batch;

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_core::dns::answer::Transport;

use crate::answerer::Answerer;
use batch::Batch;
pub(crate) use batch::prepare;

/// How long a thread waits for a query before it looks whether it is to stop. Also how old a line of the query log can become.
pub(crate) const LOOK_UP: Duration = Duration::from_millis(200);

/// How long a socket is left alone that reports an error which is not a single datagram's.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// Runs until it is told to stop. The socket was made by [`crate::listen`] and [`prepare`]d.
pub(crate) fn run(socket: &UdpSocket, mut answerer: Answerer, stop: &AtomicBool) {
    let mut batch = Batch::new();
    while !stop.load(Ordering::Relaxed) {
        match batch.receive(socket) {
            Ok(()) => {}
            Err(error) if is_nothing(&error) => {
                answerer.idle();
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "receiving queries");
                std::thread::sleep(AFTER_ERROR);
                continue;
            }
        }
        answerer.begin();
        batch.answer(|query, from, out| answerer.answer(query, from, Transport::Udp, out));
        answerer.stats.send_failed += batch.send(socket);
        answerer.end();
    }
    answerer.idle();
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
