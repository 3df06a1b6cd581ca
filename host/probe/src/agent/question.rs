//! The client's end: connect, perhaps say something, read one line.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use weir_core::health::{AgentError, AgentReport, MAX_LINE, parse_agent_line};

use crate::check::{CheckError, Limit, Sockets, Stage};

/// Whom to ask, and what to say first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where the agent listens.
    pub address: SocketAddr,
    /// HAProxy's `agent-send`, sent as it is; empty is nothing.
    pub send: String,
}

/// Why there is no report. Neutral for the server's state, whatever it is.
#[derive(Debug, thiserror::Error)]
pub enum AgentFailure {
    /// No line came.
    #[error("agent: {0}")]
    NoLine(#[from] CheckError),
    /// A line came, and nothing in it can be used.
    #[error("agent at {address}: {source}")]
    BadLine {
        /// Who said it.
        address: SocketAddr,
        /// What is wrong with it.
        source: AgentError,
    },
}

impl Question {
    /// Asks once. The timeout is for the whole, and the agent's interval by custom.
    ///
    /// # Errors
    /// Where no line comes in time or nothing in it can be used.
    pub async fn ask(&self, timeout: Duration) -> Result<AgentReport, AgentFailure> {
        let line = self.line(timeout).await?;
        parse_agent_line(&line).map_err(|source| AgentFailure::BadLine { address: self.address, source })
    }

    /// Asks once and returns what was said, up to and with its line end: for whoever has a plugin to read it. Without a
    /// line end where the agent closed before one, or said more than [`MAX_LINE`] bytes.
    ///
    /// # Errors
    /// Where the agent cannot be reached, or neither ends its line nor closes in time.
    pub async fn line(&self, timeout: Duration) -> Result<Vec<u8>, CheckError> {
        let socket = Sockets::Any.for_address(self.address, timeout).await?;
        let limit = Limit::new(self.address, timeout);
        let mut stream = limit.connect(socket).await?;
        if !self.send.is_empty() {
            limit.within(Stage::Send, stream.write_all(self.send.as_bytes())).await?;
        }
        let mut said = Vec::with_capacity(64);
        loop {
            if let Some(end) = said.iter().position(|b| matches!(b, b'\r' | b'\n')) {
                said.truncate(end + 1);
                break;
            }
            // One byte more than a line may have, so that one that is too long is seen to be.
            if !limit.read_more(Stage::Answer, &mut stream, &mut said, MAX_LINE + 1).await? {
                break;
            }
        }
        // As for TCP checks: no TIME_WAIT on the side that asks every server every two seconds.
        let _ = stream.set_zero_linger();
        Ok(said)
    }
}
