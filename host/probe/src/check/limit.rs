//! The time limit of a whole check, kept over its stages.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::error::{CheckError, Stage};

/// Whom a check is about and when it must be over.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) address: SocketAddr,
    pub(crate) started: Instant,
    timeout: Duration,
}

impl Limit {
    pub(crate) fn new(address: SocketAddr, timeout: Duration) -> Self {
        Self { address, started: Instant::now(), timeout }
    }

    /// Does one stage within what is left of the time.
    pub(crate) async fn within<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, CheckError> {
        let address = self.address;
        match timeout_at(self.started + self.timeout, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(source)) => Err(CheckError::Broken { stage, address, source }),
            Err(_) => Err(CheckError::TimedOut { stage, address, timeout: self.timeout }),
        }
    }

    pub(crate) async fn connect(&self, socket: TcpSocket) -> Result<TcpStream, CheckError> {
        let address = self.address;
        self.within(Stage::Connect, socket.connect(address)).await.map_err(|error| match error {
            CheckError::Broken { source, .. } if is_local(&source) => CheckError::Local { address, source },
            CheckError::Broken { source, .. } => CheckError::Connect { address, source },
            other => other,
        })
    }

    /// Reads what is there, up to `most` bytes in the buffer. False at the end of the stream or when the buffer is full.
    pub(crate) async fn read_more(
        &self,
        stage: Stage,
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Result<bool, CheckError> {
        let room = most.saturating_sub(buffer.len());
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        let read = self.within(stage, stream.take(room).read_buf(buffer)).await?;
        Ok(read > 0)
    }
}

/// Errors of `connect` that say nothing of the server.
fn is_local(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::AddrNotAvailable | Kind::OutOfMemory | Kind::PermissionDenied)
}
