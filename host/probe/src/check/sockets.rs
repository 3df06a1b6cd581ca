//! Where the socket of a check comes from.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpSocket;

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

impl PartialEq for Sockets {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Of(one), Self::Of(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Sockets {}

impl Sockets {
    /// A socket for this address.
    pub(super) async fn for_address(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        match (self, address) {
            (Self::Of(maker), _) => maker.make().await,
            (Self::Any, SocketAddr::V4(_)) => TcpSocket::new_v4(),
            (Self::Any, SocketAddr::V6(_)) => TcpSocket::new_v6(),
        }
    }
}
