//! What the kernel is asked to do for a socket before anything is read from it: MD5 signatures, hop counts.
//!
//! The standard library and `socket2` know none of these options, hence one `setsockopt` of our own, the only `unsafe` of the
//! speaker but for reading back what `recvmsg` has filled.
#![allow(unsafe_code, reason = "setsockopt of options that no crate wraps; recvmsg's buffers")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use socket2::{MaybeUninitSlice, MsgHdrMut, SockAddr, SockRef};
use weir_core::desired::speaker::{Distance, Key, MAX_KEY};

/// The most hops that a packet can make, and what everybody sends who wants to be believed to be near.
pub(super) const FULL: u8 = 255;

fn set(socket: &impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel only reads, and only `length` bytes of `value`.
    let result =
        unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Packets to and from this address carry a signature made with this key, or none. On a listener it counts for connections that
/// come; on any other socket it has to be there before it connects.
pub(super) fn sign(socket: &impl AsFd, peer: IpAddr, key: Option<&Key>) -> io::Result<()> {
    let result = set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature(peer, key)?);
    // There was none to take away.
    result.or_else(|error| match (key, error.raw_os_error()) {
        (None, Some(libc::ENOENT)) => Ok(()),
        _ => Err(error),
    })
}

/// `struct tcp_md5sig` of `linux/tcp.h`: a `sockaddr_storage` of 128 bytes, flags, prefix length, key length, an interface, the key.
fn signature(peer: IpAddr, key: Option<&Key>) -> io::Result<Vec<u8>> {
    const ADDRESS: usize = 128;
    let mut bytes = Vec::with_capacity(ADDRESS + 8 + MAX_KEY);
    let family = if peer.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes.extend(u16::try_from(family).map_err(io::Error::other)?.to_ne_bytes());
    // Any port.
    bytes.extend([0, 0]);
    match peer {
        IpAddr::V4(peer) => bytes.extend(peer.octets()),
        IpAddr::V6(peer) => {
            // No flow label.
            bytes.extend([0; 4]);
            bytes.extend(peer.octets());
        }
    }
    bytes.resize(ADDRESS, 0);
    let key = key.map_or(&[][..], Key::as_bytes);
    let length = u16::try_from(key.len()).ok().filter(|length| usize::from(*length) <= MAX_KEY);
    let length = length.ok_or_else(|| io::Error::other("a key of TCP-MD5 is too long"))?;
    bytes.extend([0, 0]);
    bytes.extend(length.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(key);
    bytes.resize(ADDRESS + 8 + MAX_KEY, 0);
    Ok(bytes)
}

/// Packets of this socket live for so many hops.
pub(super) fn send_hops(socket: &impl AsFd, v4: bool, hops: u8) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if v4 { socket.set_ttl_v4(hops.into()) } else { socket.set_unicast_hops_v6(hops.into()) }
}

/// Packets with fewer hops left are dropped; 0: none are.
pub(super) fn least_hops(socket: &impl AsFd, v4: bool, hops: u8) -> io::Result<()> {
    let (level, name) =
        if v4 { (libc::IPPROTO_IP, libc::IP_MINTTL) } else { (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT) };
    set(socket, level, name, &i32::from(hops).to_ne_bytes())
}

/// Makes both true of a connection to a neighbor at this distance.
pub(super) fn keep_distance(socket: &impl AsFd, v4: bool, distance: Distance) -> io::Result<()> {
    match distance {
        Distance::Any => Ok(()),
        Distance::Hops(hops) => send_hops(socket, v4, hops),
        Distance::Secured(hops) => {
            send_hops(socket, v4, FULL)?;
            least_hops(socket, v4, least_of(hops))
        }
    }
}

/// What a packet has left, at least, that was sent with 255 and came over so many links.
pub(super) const fn least_of(hops: u8) -> u8 {
    FULL - hops.saturating_sub(1)
}

/// [`receive`] shall know how many hops a packet had left.
pub(super) fn tell_hops(socket: &impl AsFd, v4: bool) -> io::Result<()> {
    let (level, name) =
        if v4 { (libc::IPPROTO_IP, libc::IP_RECVTTL) } else { (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT) };
    set(socket, level, name, &1_i32.to_ne_bytes())
}

/// A packet: its sender, how many hops it had left, and how many of its bytes fit.
pub(super) struct Packet {
    pub(super) from: SocketAddr,
    pub(super) hops: Option<u8>,
    pub(super) length: usize,
}

/// Takes the next packet.
///
/// # Errors
/// `WouldBlock` where none waits.
pub(super) fn receive<const N: usize>(socket: &impl AsFd, bytes: &mut [u8; N]) -> io::Result<Packet> {
    let mut data = [MaybeUninit::new(0); N];
    let mut control = [MaybeUninit::new(0); 64];
    // The larger of both families, for the kernel to write over.
    let mut from = SockAddr::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    let mut buffers = [MaybeUninitSlice::new(&mut data)];
    let mut message =
        MsgHdrMut::new().with_addr(&mut from).with_buffers(&mut buffers).with_control(&mut control);
    let length = SockRef::from(socket).recvmsg(&mut message, libc::MSG_DONTWAIT)?;
    let told = message.control_len();
    // SAFETY: all bytes were 0 before the kernel wrote over some.
    let control = control.map(|byte| unsafe { byte.assume_init() });
    // SAFETY: the same.
    *bytes = data.map(|byte| unsafe { byte.assume_init() });
    let from = from.as_socket().ok_or_else(|| io::Error::other("a packet without a sender"))?;
    let hops = hops(control.get(..told).unwrap_or_default());
    Ok(Packet { from, hops, length })
}

/// The hop count among control messages: `struct cmsghdr` has a length of a machine word, level and type.
fn hops(mut control: &[u8]) -> Option<u8> {
    const WORD: usize = size_of::<usize>();
    const HEADER: usize = WORD + 8;
    loop {
        let length = usize::from_ne_bytes(control.get(..WORD)?.try_into().ok()?);
        let level = i32::from_ne_bytes(control.get(WORD..WORD + 4)?.try_into().ok()?);
        let kind = i32::from_ne_bytes(control.get(WORD + 4..HEADER)?.try_into().ok()?);
        let told = matches!(
            (level, kind),
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
        );
        if told {
            let value = i32::from_ne_bytes(control.get(HEADER..HEADER + 4)?.try_into().ok()?);
            return u8::try_from(value).ok();
        }
        control = control.get(length.max(HEADER).checked_next_multiple_of(WORD)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_the_layout_of_the_kernels_header() {
        let key = Key::new("sesame".into());
        let bytes = signature("192.0.2.254".parse().unwrap(), Some(&key)).unwrap();
        assert_eq!(bytes.len(), 216);
        assert_eq!(bytes[..8], [2, 0, 0, 0, 192, 0, 2, 254]);
        assert_eq!(bytes[128..144], [0, 0, 6, 0, 0, 0, 0, 0, b's', b'e', b's', b'a', b'm', b'e', 0, 0]);
        let bytes = signature("2001:db8::fe".parse().unwrap(), None).unwrap();
        assert_eq!(bytes[..12], [10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!((bytes[23], bytes[130], bytes.len()), (0xfe, 0, 216));
    }

    #[test]
    fn one_hop_means_that_nobody_may_have_forwarded() {
        assert_eq!((least_of(1), least_of(2), least_of(255)), (255, 254, 1));
    }

    #[test]
    fn control_messages_that_lie_about_their_length_are_left() {
        let mut control = Vec::new();
        control.extend(20_usize.to_ne_bytes());
        control.extend(libc::IPPROTO_IP.to_ne_bytes());
        control.extend(libc::IP_TTL.to_ne_bytes());
        control.extend(255_i32.to_ne_bytes());
        assert_eq!(hops(&control), Some(255));
        for length in [0, usize::MAX] {
            control.splice(..8, length.to_ne_bytes());
            control.splice(12..16, 99_i32.to_ne_bytes());
            assert_eq!(hops(&control), None);
        }
        assert_eq!(hops(&[]), None);
    }
}
