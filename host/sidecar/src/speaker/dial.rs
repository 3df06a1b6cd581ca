//! Sockets: how a neighbor is connected to, and where it is listened for.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use weir_core::desired::speaker::Neighbor;

use super::options;

/// Network control (CS6): routers let such packets through when others have to wait.
const CLASS: u32 = 0xc0;

fn socket(v4: bool, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = if v4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
    // Only better with it.
    let _ = if v4 { socket.set_tos_v4(CLASS) } else { socket.set_tclass_v6(CLASS) };
    if !v4 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Says which of our own settings the kernel does not take: it is no fault of the neighbor.
fn about(what: impl Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Connects as the neighbor is configured to be connected to.
pub(super) async fn connect(neighbor: &Neighbor) -> io::Result<TcpStream> {
    let v4 = neighbor.address.is_ipv4();
    let socket = socket(v4, Type::STREAM, Protocol::TCP)?;
    options::keep_distance(&socket, v4, neighbor.distance).map_err(about("hop counts"))?;
    if neighbor.key.is_some() {
        options::sign(&socket, neighbor.address, neighbor.key.as_ref())
            .map_err(about("the key of TCP-MD5"))?;
    }
    if let Some(local) = neighbor.local {
        socket.bind(&SocketAddr::new(local, 0).into()).map_err(about(format!("from {local}")))?;
    }
    let socket = TcpSocket::from_std_stream(socket.into());
    socket.connect(SocketAddr::new(neighbor.address, neighbor.port)).await
}

/// A socket at an address where neighbors may connect. It does not listen yet: keys and hop counts have to be there first. The
/// address need not be there; the port may need a capability, which is why this is a step of its own.
pub(super) fn bind_listener(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket(address.is_ipv4(), Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    bind_early(&socket, address)?;
    Ok(socket)
}

/// A socket that receives BFD packets, with their hop counts.
pub(super) fn bind_bfd(address: SocketAddr) -> io::Result<Socket> {
    let v4 = address.is_ipv4();
    let socket = socket(v4, Type::DGRAM, Protocol::UDP)?;
    options::tell_hops(&socket, v4)?;
    bind_early(&socket, address)?;
    Ok(socket)
}

fn bind_early(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())
}

/// A socket that sends BFD packets to a neighbor, from a port of those that RFC 5881 wants.
pub(super) fn dial_bfd(local: Option<IpAddr>, peer: SocketAddr, port: u16) -> io::Result<Socket> {
    let v4 = peer.is_ipv4();
    let socket = socket(v4, Type::DGRAM, Protocol::UDP)?;
    options::send_hops(&socket, v4, options::FULL)?;
    let any = if v4 { IpAddr::from([0_u8; 4]) } else { IpAddr::from([0_u8; 16]) };
    socket.bind(&SocketAddr::new(local.unwrap_or(any), port).into())?;
    socket.connect(&peer.into())?;
    Ok(socket)
}
