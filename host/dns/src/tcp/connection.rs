//! One connection: messages with their length before them, answered in their order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_core::dns::answer::Transport;

use super::Thread;

/// What is read at once, and what a connection that is idle keeps.
const READ: usize = 4096;

/// How long a message may take from its first byte to its last, and an answer until the client has taken some of it.
const MESSAGE: Duration = Duration::from_secs(5);

/// Answers that are collected before they are written, bytes. A client that asks without end and reads nothing is read no
/// further.
const COLLECTED: usize = 64 * 1024;

/// Serves until the client closes, is idle for too long, or sends what is no message.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, number: u64, thread: &Thread) {
    // An answer is written as a whole, so there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    // However it ends, the client knows by the end of the connection.
    let _ = exchange(stream, peer, number, thread).await;
}

async fn exchange(mut stream: TcpStream, peer: SocketAddr, number: u64, thread: &Thread) -> io::Result<()> {
    let mut read = Vec::with_capacity(READ);
    let (mut answers, mut answer) = (Vec::new(), Vec::new());
    loop {
        let wait = if read.is_empty() { thread.idle } else { MESSAGE };
        if !fill(&mut stream, &mut read, wait).await? {
            return Ok(());
        }
        let mut used = 0;
        let mut goes_on = true;
        while let Some(message) = next(read.get(used..).unwrap_or_default()) {
            used += 2 + message.len();
            goes_on = respond(message, peer, thread, &mut answer, &mut answers);
            if !goes_on {
                break;
            }
            if answers.len() >= COLLECTED {
                write(&mut stream, &mut answers).await?;
            }
        }
        if used > 0 {
            thread.answerer.borrow_mut().end();
            thread.connections.borrow_mut().touch(number);
            read.drain(..used);
        }
        write(&mut stream, &mut answers).await?;
        if !goes_on {
            return Ok(());
        }
        read.shrink_to(READ);
    }
}

/// Reads some more, and where a message has begun until it is whole. False where the client has closed.
async fn fill(stream: &mut TcpStream, read: &mut Vec<u8>, wait: Duration) -> io::Result<bool> {
    if read.is_empty() {
        return Ok(timeout(wait, stream.read_buf(read)).await?? > 0);
    }
    // One limit for the rest of the message: a byte now and then must not prolong it.
    let whole = async {
        while next(read).is_none() {
            if stream.read_buf(read).await? == 0 {
                return Ok::<_, io::Error>(false);
            }
        }
        Ok(true)
    };
    timeout(wait, whole).await?
}

/// The first message, if it is whole.
fn next(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// Adds the answer to this message. False where there is none: such a client is no resolver.
fn respond(
    message: &[u8],
    peer: SocketAddr,
    thread: &Thread,
    answer: &mut Vec<u8>,
    answers: &mut Vec<u8>,
) -> bool {
    let mut answerer = thread.answerer.borrow_mut();
    answerer.begin();
    answerer.answer(message, peer, Transport::Stream, answer);
    let Ok(length) = u16::try_from(answer.len()) else { return false };
    if length == 0 {
        return false;
    }
    answers.extend_from_slice(&length.to_be_bytes());
    answers.extend_from_slice(answer);
    true
}

/// Writes what was collected, as long as the client takes some of it.
async fn write(stream: &mut TcpStream, answers: &mut Vec<u8>) -> io::Result<()> {
    let mut rest = answers.as_slice();
    while !rest.is_empty() {
        let written = timeout(MESSAGE, stream.write(rest)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = rest.get(written..).unwrap_or_default();
    }
    answers.clear();
    answers.shrink_to(READ);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[0]), None);
        assert_eq!(next(&[0, 2, 7]), None);
        assert_eq!(next(&[0, 2, 7, 8, 9]), Some(&[7, 8][..]));
        assert_eq!(next(&[0, 0, 9]), Some(&[][..]));
    }
}
