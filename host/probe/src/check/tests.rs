//! Checks against servers that behave in every way a server can. Time is paused: it jumps whenever everybody waits, so a
//! time limit of a second costs nothing and is exact.

use std::future::Future;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;

use super::*;

mod http;
mod tcp;

const SECOND: Duration = Duration::from_secs(1);

/// A server that does this with its first connection.
async fn server<F: Future<Output = io::Result<()>> + Send>(
    act: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // Most clients here hang up at some point, and that is what they are for.
        let _ = act(stream).await;
    });
    address
}

/// An address where nobody listens: it was ours a moment ago.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
