//! Where the socket of a check comes from.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::error::CheckError;

/// Somebody makes a socket.
pub type Making<'a> = Pin<Box<dyn Future<Output = io::Result<TcpSocket>> + Send + 'a>>;

/// Makes sockets that this process may not make itself: with a firewall mark, so that a check goes another way than all other
/// packets to its address.
pub trait MakeSocket: fmt::Debug + Send + Sync {
    /// A TCP socket that is not connected. An error says nothing of whoever is checked: the check is not tried then.
    fn make(&self) -> Making<'_>;
}

/// Where the socket of a check comes from.
#[derive(Debug, Clone, Default)]
pub enum Sockets {
    /// The kernel gives any.
    #[default]
    Any,
    /// This gives one.
    Of(Arc<dyn MakeSocket>),
}

impl Sockets {
    /// A socket for this address, within this time.
    pub(crate) async fn for_address(
        &self,
        address: SocketAddr,
        within: Duration,
    ) -> Result<TcpSocket, CheckError> {
        let made = match (self, address) {
            (Self::Of(maker), _) => timeout(within, maker.make()).await,
            (Self::Any, SocketAddr::V4(_)) => Ok(TcpSocket::new_v4()),
            (Self::Any, SocketAddr::V6(_)) => Ok(TcpSocket::new_v6()),
        };
        let untried = |source| CheckError::Untried { address, source };
        made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(untried)
    }
}
