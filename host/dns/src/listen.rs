//! Sockets: one UDP socket for each thread and address, one TCP listener for each address; of encrypted transports one of either.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// What the kernel keeps of queries while a thread is busy, bytes: some ten thousand. It gives what its limit allows.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The sockets of one address.
pub(crate) struct Sockets {
    pub(crate) tcp: TcpListener,
    /// One for each thread; the kernel spreads clients over them.
    pub(crate) udp: Vec<UdpSocket>,
}

/// Opens the sockets of one address. Port 0 is any port that is free for both.
///
/// # Errors
/// The first that cannot be opened.
pub(crate) fn open(address: SocketAddr, threads: usize) -> io::Result<Sockets> {
    // `SO_REUSEPORT` would let two nodes of one user share the port without a word, and each would get half of the queries. So
    // somebody else is looked for first, and TCP, which is not shared, holds the place.
    let tcp = stream(address)?;
    let address = tcp.local_addr()?;
    drop(datagram(address, false)?);
    let udp = (0..threads.max(1)).map(|_| datagram(address, true)).collect::<io::Result<_>>()?;
    Ok(Sockets { tcp, udp })
}

/// A listener for TCP, or what is above it.
///
/// # Errors
/// Where somebody else has the address.
pub(crate) fn stream(address: SocketAddr) -> io::Result<TcpListener> {
    let (address, socket) = socket(address, |domain| Socket::new(domain, Type::STREAM, Some(Protocol::TCP)))?;
    both_families(&socket, address)?;
    // For connections of the process before that are still closing; two that listen are refused all the same.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A socket for QUIC.
///
/// # Errors
/// Where somebody else has the address.
pub(crate) fn quic(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = datagram(address, false)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn datagram(address: SocketAddr, is_shared: bool) -> io::Result<UdpSocket> {
    let (address, socket) = socket(address, |domain| Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)))?;
    both_families(&socket, address)?;
    socket.set_reuse_port(is_shared)?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket for this address. On a machine without IPv6 (`ipv6.disable=1`) `[::]` is every address that it has.
fn socket<S>(address: SocketAddr, new: impl Fn(Domain) -> io::Result<S>) -> io::Result<(SocketAddr, S)> {
    match new(Domain::for_address(address)) {
        Err(e)
            if e.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
                && address.ip().is_unspecified() =>
        {
            Ok(((Ipv4Addr::UNSPECIFIED, address.port()).into(), new(Domain::IPV4)?))
        }
        made => Ok((address, made?)),
    }
}

/// `[::]` takes IPv4 as well, whatever the machine's default is; another IPv6 address does not.
fn both_families(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V6(v6) => socket.set_only_v6(!v6.ip().is_unspecified()),
        SocketAddr::V4(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_any_address_is_any_of_ipv4_and_another_one_is_an_error() {
        let without = |domain| match domain {
            Domain::IPV6 => Err(Errno::AFNOSUPPORT.into()),
            other => Ok(other),
        };
        let any = socket("[::]:53".parse().unwrap(), without).unwrap();
        assert_eq!(any, ("0.0.0.0:53".parse().unwrap(), Domain::IPV4));
        assert!(socket("[2001:db8::1]:53".parse().unwrap(), without).is_err());
        let with = socket("[::]:53".parse().unwrap(), Ok).unwrap();
        assert_eq!(with, ("[::]:53".parse().unwrap(), Domain::IPV6));
    }
}
