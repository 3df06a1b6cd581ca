//! Listening sockets: one for each shard and port, on every address of the machine.
//!
//! On every address, because the addresses of a service come and go with tunnels, and because the netfilter `socket`
//! match cannot tell a listener that is bound to a service address from a connection of it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// The kernel takes less where `net.core.somaxconn` says so.
const BACKLOG: i32 = 65_535;

/// Listeners of one port, one for each of the shards. Port 0 is a free one, the same for all.
pub(crate) fn listen(port: u16, shards: usize) -> io::Result<(u16, Vec<TcpListener>)> {
    let mut listeners = Vec::with_capacity(shards);
    let mut port = port;
    for _ in 0..shards {
        let listener = one(port)?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok((port, listeners))
}

fn one(port: u16) -> io::Result<TcpListener> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let (socket, address) = match Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)) {
        Ok(socket) => {
            socket.set_only_v6(false)?;
            (socket, any)
        }
        // A machine without IPv6.
        Err(e) if e.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            (socket, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        Err(e) => return Err(e),
    };
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
