//! A TCP check: whoever accepts is up.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::error::{CheckError, Stage};
use super::{Limit, PROXY_UNKNOWN, Seen};

pub(super) async fn look(limit: &Limit, mut stream: TcpStream, proxy_line: bool) -> Result<Seen, CheckError> {
    let latency = limit.started.elapsed();
    if proxy_line {
        limit.within(Stage::Send, stream.write_all(PROXY_UNKNOWN)).await?;
    }
    // Closing with a reset leaves no TIME_WAIT here; a node that checks a thousand servers would run out of ports
    // in the end. Load balancers do so, and servers are used to it. An error only means that the server was faster.
    let _ = stream.set_zero_linger();
    Ok(Seen::Tcp(latency))
}
