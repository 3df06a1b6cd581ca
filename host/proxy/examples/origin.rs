//! The smallest server that keeps connections alive, to measure a proxy in front of it: `origin ADDRESS... `.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nServer: origin\r\n\r\nhello, world\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    for address in std::env::args().skip(1) {
        let listener = TcpListener::bind(address).await?;
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = tcp.set_nodelay(true);
                    let mut head = vec![0; 4096];
                    // One read is one request: a proxy writes a small head in one piece.
                    while tcp.read(&mut head).await.is_ok_and(|n| n > 0) {
                        if tcp.write_all(ANSWER).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
    std::future::pending().await
}
