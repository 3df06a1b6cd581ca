//! How a check can end badly. Every text names the server and how far it came, so that it can be read alone.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How far a check was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The connection was not there yet.
    Connect,
    /// Something was to be sent.
    Send,
    /// The answer was waited for, up to the end of its head or line.
    Answer,
    /// The body was being read.
    Body,
}

/// Why a check failed. All but [`CheckError::Untried`] and [`CheckError::Local`] are the server's doing, or the network's.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There was no socket to be had. Look at the node, not at the server.
    #[error("{address} is not checked, there is no socket to be had for it: {source}")]
    Untried {
        /// Whom it wanted to check.
        address: SocketAddr,
        /// What whoever makes sockets said.
        source: io::Error,
    },
    /// This node could not even try: out of ports or memory. Look at the node, not at the server.
    #[error("this node cannot connect to anything like {address}: {source}")]
    Local {
        /// Where it wanted to connect to.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Refused, unreachable, reset.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Who did not let us in.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The time was over.
    #[error("{}", timed_out(*.stage, *.address, *.timeout))]
    TimedOut {
        /// How far it was.
        stage: Stage,
        /// Whom it waited for.
        address: SocketAddr,
        /// The limit of the whole check.
        timeout: Duration,
    },
    /// The connection broke.
    #[error("{address} broke the connection off {}: {source}", during(*.stage))]
    Broken {
        /// How far it was.
        stage: Stage,
        /// Who.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection was closed too early.
    #[error("{address} closed the connection {}", during(*.stage))]
    Closed {
        /// How far it was.
        stage: Stage,
        /// Who.
        address: SocketAddr,
    },
    /// The head is larger than anybody's should be.
    #[error("the head of the answer of {address} is larger than {limit} bytes")]
    HeadTooLarge {
        /// Whose.
        address: SocketAddr,
        /// What is read at most.
        limit: usize,
    },
    /// It answered, but not with HTTP/1.
    #[error("{address} does not answer with HTTP: {why}")]
    NotHttp {
        /// Who.
        address: SocketAddr,
        /// What the parser stumbled over.
        why: String,
    },
    /// It answered with a status that is not expected.
    #[error("{address} answered with status {status}, expected {expected}")]
    Status {
        /// Who.
        address: SocketAddr,
        /// What it said.
        status: u16,
        /// What would have been right, as `200-399`.
        expected: String,
    },
}

fn timed_out(stage: Stage, address: SocketAddr, timeout: Duration) -> String {
    match stage {
        Stage::Connect => format!("no connection to {address} within {timeout:?}"),
        Stage::Send => format!("{address} took no request within {timeout:?} after connecting"),
        Stage::Answer => format!("no answer within {timeout:?} after connecting to {address}"),
        Stage::Body => format!("the answer of {address} was not complete within {timeout:?}"),
    }
}

fn during(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "while connecting",
        Stage::Send => "before it had the request",
        Stage::Answer => "before it answered",
        Stage::Body => "in the middle of its answer",
    }
}
