//! Listening sockets: one for each shard and port, on every address of the machine.
//!
//! On every address, because the addresses of a service come and go with tunnels, and because the netfilter `socket`
//! match cannot tell a listener that is bound to a service address from a connection of it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::Segments;

/// The kernel takes less where `net.core.somaxconn` says so.
const BACKLOG: i32 = 65_535;

/// Listeners of one port, for each of the shards. Port 0 is a free one, the same for all.
pub(crate) fn listen(
    port: u16,
    shards: usize,
    segments: Option<Segments>,
) -> io::Result<(u16, Vec<Vec<TcpListener>>)> {
    let mut listeners = Vec::with_capacity(shards);
    let mut port = port;
    for _ in 0..shards {
        let of_shard = match segments {
            None => vec![any(port)?],
            Some(segments) => each(port, segments)?,
        };
        for listener in &of_shard {
            port = listener.local_addr()?.port();
        }
        listeners.push(of_shard);
    }
    Ok((port, listeners))
}

/// One for both families.
fn any(port: u16) -> io::Result<TcpListener> {
    match socket(Domain::IPV6)? {
        Some(socket) => {
            socket.set_only_v6(false)?;
            bind(&socket, (Ipv6Addr::UNSPECIFIED, port).into())?;
            Ok(socket.into())
        }
        None => v4(port, None),
    }
}

/// One for each family, since the largest segment is a property of the socket and differs between them.
fn each(port: u16, segments: Segments) -> io::Result<Vec<TcpListener>> {
    let (mut listeners, mut port) = (Vec::with_capacity(2), port);
    if let Some(socket) = socket(Domain::IPV6)? {
        socket.set_only_v6(true)?;
        socket.set_tcp_mss(segments.v6.into())?;
        bind(&socket, (Ipv6Addr::UNSPECIFIED, port).into())?;
        let listener: TcpListener = socket.into();
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    listeners.push(v4(port, Some(segments.v4))?);
    Ok(listeners)
}

fn v4(port: u16, segment: Option<u16>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    if let Some(segment) = segment {
        socket.set_tcp_mss(segment.into())?;
    }
    bind(&socket, (Ipv4Addr::UNSPECIFIED, port).into())?;
    Ok(socket.into())
}

/// `None` on a machine without this family.
fn socket(domain: Domain) -> io::Result<Option<Socket>> {
    match Socket::new(domain, Type::STREAM, Some(Protocol::TCP)) {
        Ok(socket) => Ok(Some(socket)),
        Err(e) if e.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => Ok(None),
        Err(e) => Err(e),
    }
}

fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    /// The largest segment that a client sends to this port, over the loopback device, whose packets are large.
    fn segment(address: SocketAddr) -> u32 {
        let client = TcpStream::connect(address).unwrap();
        Socket::from(client).tcp_mss().unwrap()
    }

    #[test]
    fn clients_that_come_through_tunnels_send_segments_that_fit_them() {
        let (port, listeners) = listen(0, 2, Some(Segments { v4: 1436, v6: 1396 })).unwrap();
        assert_eq!(listeners.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        // Less the option that carries time stamps.
        assert_eq!(segment((Ipv4Addr::LOCALHOST, port).into()), 1436 - 12);
        assert_eq!(segment((Ipv6Addr::LOCALHOST, port).into()), 1396 - 12);
    }

    #[test]
    fn others_are_asked_for_nothing_and_both_families_share_a_listener() {
        let (port, listeners) = listen(0, 1, None).unwrap();
        assert_eq!(listeners.iter().map(Vec::len).collect::<Vec<_>>(), [1]);
        assert!(segment((Ipv4Addr::LOCALHOST, port).into()) > 1500);
        assert!(segment((Ipv6Addr::LOCALHOST, port).into()) > 1500);
    }
}
