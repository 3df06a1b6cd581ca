//! The server's end: answers whoever connects with one line of a file. It takes the place of
//! `socat TCP-LISTEN:5555,fork OPEN:/etc/lb/agent-check`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::AgentFile;

/// Connections at a time; one more is closed without an answer, which every client takes for neutral.
pub const MAX_CONNECTIONS: usize = 128;
/// How long a connection may last. A client that is there reads a line in far less.
const MAX_TIME: Duration = Duration::from_secs(2);
/// What a client may say before we close (`agent-send`).
const MAX_HEARD: usize = 4096;

/// Answers every connection with the first line of the file and closes it. Never returns; dropping the future
/// ends it and every connection. A file that cannot be read is no answer, and reported.
pub async fn serve(listener: TcpListener, file: AgentFile) -> Infallible {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the agent cannot accept a connection");
                // Out of descriptors, mostly. Trying again at once would only burn a core.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let file = file.clone();
        connections.spawn(async move {
            // Whether the client was slow or gone makes no difference to us.
            let _ = timeout(MAX_TIME, answer(stream, &file)).await;
            drop(seat);
        });
    }
}

async fn answer(mut stream: TcpStream, file: &AgentFile) -> std::io::Result<()> {
    let mut line = match file.line().await {
        Ok(line) => line,
        Err(error) => {
            tracing::warn!(file = %file.path().display(), %error, "the agent has no answer: its file cannot be read");
            return Ok(());
        }
    };
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await?;
    // Closing with something unread would be a reset, which may overtake the answer.
    let mut heard = [0; 256];
    let mut left = MAX_HEARD;
    while left > 0 {
        match stream.read(&mut heard).await? {
            0 => break,
            n => left = left.saturating_sub(n),
        }
    }
    Ok(())
}
