//! One check of one server: connect, perhaps ask, look at the answer. The time limit is for the whole of it, and
//! the error says how far it came.

mod body;
mod error;
mod http;
mod limit;
mod sockets;
mod tcp;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use weir_core::health::Observation;

pub use error::{CheckError, Stage};
pub use http::{BadRequest, HttpCheck, MAX_BODY, MAX_HEAD};
pub(crate) use limit::Limit;
pub use sockets::{MakeSocket, Making, Sockets};

/// What to check, and how.
#[derive(Debug, Clone)]
pub struct Check {
    /// Where to connect to.
    pub address: SocketAddr,
    /// Sends `PROXY UNKNOWN` first, to a server that expects a PROXY protocol line on every connection.
    pub proxy_line: bool,
    /// Where its socket comes from.
    pub sockets: Sockets,
    /// What makes it a success.
    pub method: Method,
}

/// What makes a check a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// A connection.
    Tcp,
    /// A connection or a refusal: that its kernel lives, whatever runs there.
    Kernel,
    /// An expected status.
    Http(HttpCheck),
}

/// What a check saw. Not yet whether it is good: see [`Check::run`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A connection, after this time.
    Tcp(Duration),
    /// An answer, whatever its status.
    Http {
        /// 100 to 599 by any decent server; at most 999.
        status: u16,
        /// Its first [`MAX_BODY`] bytes, chunks joined.
        body: Vec<u8>,
        /// From the start of the check to the end of the head.
        latency: Duration,
        /// What its header says that is to say a load, if it has that header. Several are joined, which no load is.
        load: Option<Vec<u8>>,
    },
}

impl From<Seen> for Observation {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Tcp(latency) => Self::Tcp(latency),
            Seen::Http { status, body, latency, .. } => Self::Http { status, body, latency },
        }
    }
}

/// The line that a server which expects the PROXY protocol takes for "nobody in particular".
const PROXY_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

impl Check {
    /// Checks once and judges: a connection is good, and so is a status that is expected.
    ///
    /// # Errors
    /// Any other end of the check, with what to look for on the server.
    pub async fn run(&self, timeout: Duration) -> Result<Seen, CheckError> {
        let seen = self.look(timeout).await?;
        self.expects(&seen)?;
        Ok(seen)
    }

    /// Whether what was seen is good: a connection, or a status that is expected.
    ///
    /// # Errors
    /// [`CheckError::Status`].
    pub fn expects(&self, seen: &Seen) -> Result<(), CheckError> {
        match (seen, &self.method) {
            (Seen::Http { status, .. }, Method::Http(http)) => http.judge(*status, self.address),
            _ => Ok(()),
        }
    }

    /// Checks once and does not judge the status: for whoever has a plugin to do that. [`Check::expects`] says what counts without one.
    ///
    /// # Errors
    /// Where there was no answer: refused, timed out, broken off, not HTTP.
    pub async fn look(&self, timeout: Duration) -> Result<Seen, CheckError> {
        let socket = self.sockets.for_address(self.address, timeout).await?;
        // The server's time begins when there is something to ask it with.
        let limit = Limit::new(self.address, timeout);
        let stream = match limit.connect(socket).await {
            Err(CheckError::Connect { source, .. })
                if self.method == Method::Kernel && source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                return Ok(Seen::Tcp(limit.started.elapsed()));
            }
            connected => connected?,
        };
        match &self.method {
            Method::Tcp | Method::Kernel => tcp::look(&limit, stream, self.proxy_line).await,
            Method::Http(http) => http.look(&limit, stream, self.proxy_line).await,
        }
    }
}

#[cfg(test)]
mod tests;
