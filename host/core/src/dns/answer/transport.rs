//! How a query came, and what that permits an answer to have.

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// In a datagram: the answer has a size limit, and the client's address proves nothing.
    Udp,
    /// Over a TCP connection.
    Tcp,
    /// Over TLS (RFC 7858).
    Tls,
    /// Over HTTP/2 and TLS (RFC 8484).
    Https,
    /// Over QUIC (RFC 9250).
    Quic,
}

impl Transport {
    /// All there are, in the order of [`Transport::index`].
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::Quic];

    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }

    /// Its place in [`Transport::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether answers may have to be cut, and the client's address is not proved by an exchange before the query.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp)
    }

    /// Whether an answer may say how long the connection is kept (RFC 7828). Over UDP there is none (§3.2.1), QUIC has a limit of its
    /// own (RFC 9250 §5.5.2), and HTTP/2 too, where the next query may take another connection.
    pub(super) const fn tells_keepalive(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether an answer is padded for those who ask for it. Without encryption that hides nothing (RFC 7830 §6).
    pub(super) const fn is_padded(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }
}
