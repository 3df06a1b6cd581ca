//! One connection: messages with their length before them, answered in their order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::thread::{Guard, MESSAGE};

/// What is read at once, and what a connection that is idle keeps.
const READ: usize = 4096;

/// Answers that are collected before they are written, bytes. A client that asks without end and reads nothing is read no
/// further.
const COLLECTED: usize = 64 * 1024;

/// How long a client may take to hear that the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves until the client closes, is idle for too long, or sends what is no message.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, peer: SocketAddr, guard: &Guard) {
    // However it ends, the client knows by the end of the connection; over TLS that has a word of its own, without which it could be
    // somebody else who ended it.
    let _ = exchange(&mut stream, peer, guard).await;
    let _ = timeout(FAREWELL, stream.shutdown()).await;
}

async fn exchange<S>(stream: &mut S, peer: SocketAddr, guard: &Guard) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let thread = &*guard.thread;
    let mut read = Vec::with_capacity(READ);
    let (mut answers, mut answer) = (Vec::new(), Vec::new());
    loop {
        let wait = if read.is_empty() { thread.limits.idle } else { MESSAGE };
        if !fill(stream, &mut read, wait).await? {
            return Ok(());
        }
        let mut used = 0;
        let mut goes_on = true;
        while let Some(message) = next(read.get(used..).unwrap_or_default()) {
            used += 2 + message.len();
            thread.answer(message, peer, &mut answer);
            goes_on = collect(&answer, &mut answers);
            if !goes_on {
                break;
            }
            if answers.len() >= COLLECTED {
                write(stream, &mut answers).await?;
            }
        }
        if used > 0 {
            thread.answered(guard.number);
            read.drain(..used);
        }
        write(stream, &mut answers).await?;
        if !goes_on {
            return Ok(());
        }
        read.shrink_to(READ);
    }
}

/// Reads some more, and where a message has begun until it is whole. False where the client has closed.
async fn fill<S>(stream: &mut S, read: &mut Vec<u8>, wait: Duration) -> io::Result<bool>
where
    S: AsyncRead + Unpin,
{
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

/// Adds an answer. False where there is none.
fn collect(answer: &[u8], answers: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(answer.len()) else { return false };
    if length == 0 {
        return false;
    }
    answers.extend_from_slice(&length.to_be_bytes());
    answers.extend_from_slice(answer);
    true
}

/// Writes what was collected, as long as the client takes some of it.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, answers: &mut Vec<u8>) -> io::Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    let mut rest = answers.as_slice();
    while !rest.is_empty() {
        let written = timeout(MESSAGE, stream.write(rest)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = rest.get(written..).unwrap_or_default();
    }
    // TLS takes what it is given before the kernel does.
    timeout(MESSAGE, stream.flush()).await??;
    answers.clear();
    answers.shrink_to(READ);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_stream_keeps_back_is_sent_as_well() {
        let (near, mut far) = tokio::io::duplex(1024);
        // As TLS does, it takes more than it passes on.
        let mut stream = tokio::io::BufWriter::new(near);
        write(&mut stream, &mut vec![7; 100]).await.unwrap();
        let mut sent = [0; 100];
        timeout(MESSAGE, far.read_exact(&mut sent)).await.expect("sent").unwrap();
        assert_eq!(sent, [7; 100]);
    }

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[0]), None);
        assert_eq!(next(&[0, 2, 7]), None);
        assert_eq!(next(&[0, 2, 7, 8, 9]), Some(&[7, 8][..]));
        assert_eq!(next(&[0, 0, 9]), Some(&[][..]));
    }
}
