//! Many datagrams with one system call, and each answered from the address that it was sent to.
//!
//! A socket on the wildcard address learns with each datagram to which of the machine's addresses it came
//! (`IP_PKTINFO`), and says so again when it sends; without that the kernel chooses, and a client
//! that gets an answer from another address than it asked drops it.

#![allow(unsafe_code, reason = "recvmmsg, sendmmsg and socket options that no safe crate has")]

use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

/// Datagrams of one call. gdnsd has 16, Knot 10 to 64; beyond 32 nothing is gained here.
const WIDTH: usize = 32;

/// Room for so many is offered at least; more as more come. What is offered has to be made ready, also where it stays empty.
const LEAST: usize = 4;

/// The longest query that is read, bytes. What is longer is cut and so malformed.
const LONGEST: usize = 4096;

/// A peer's address as the kernel writes it: `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Peer([u8; 32]);

/// Room for one control message with an `in6_pktinfo`, the larger of the two: a head of 16 bytes, and 20.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 40]);

/// One datagram: what came, from whom and to whom, and what goes back.
struct Slot {
    query: Box<[u8; LONGEST]>,
    length: usize,
    peer: Peer,
    peer_length: u32,
    control: Control,
    control_length: usize,
    answer: Vec<u8>,
}

/// Datagrams that were received together.
pub(super) struct Batch {
    slots: Box<[Slot]>,
    /// Written anew before each system call, as far as it looks at them.
    heads: Box<[libc::mmsghdr; WIDTH]>,
    parts: Box<[libc::iovec; WIDTH]>,
    /// How many the next call may receive.
    offered: usize,
    received: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        let slot = || Slot {
            query: Box::new([0; LONGEST]),
            length: 0,
            peer: Peer([0; 32]),
            peer_length: 0,
            control: Control([0; 40]),
            control_length: 0,
            answer: Vec::with_capacity(LONGEST),
        };
        Self {
            slots: std::iter::repeat_with(slot).take(WIDTH).collect(),
            heads: Box::new([EMPTY; WIDTH]),
            parts: Box::new([libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; WIDTH]),
            offered: LEAST,
            received: 0,
        }
    }

    /// Waits for a datagram, at most as long as the socket's read timeout, and takes those that are there with it.
    ///
    /// # Errors
    /// As `recvmmsg`; nothing was received then.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.received = 0;
        let offered = self.offered.min(WIDTH);
        let places = self.slots.iter_mut().zip(self.parts.iter_mut()).zip(self.heads.iter_mut());
        for ((slot, part), head) in places.take(offered) {
            part.iov_base = slot.query.as_mut_ptr().cast();
            part.iov_len = LONGEST;
            head.msg_hdr.msg_name = slot.peer.0.as_mut_ptr().cast();
            head.msg_hdr.msg_namelen = 32;
            head.msg_hdr.msg_iov = part;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
            head.msg_hdr.msg_controllen = size_of::<Control>();
        }
        // SAFETY: each of the first `offered` heads was just made to point to buffers of `self.slots` and to a part of `self.parts`
        // with their true lengths. All of them live until after the call, and nothing else refers to them during it.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.heads.as_mut_ptr(),
                offered as libc::c_uint,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else { return Err(io::Error::last_os_error()) };
        self.received = count.min(offered);
        self.offered = (self.received * 2).clamp(LEAST, WIDTH);
        for (slot, head) in self.slots.iter_mut().zip(self.heads.iter()).take(self.received) {
            let cut = head.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            // A query of which the end is missing must not be taken for a whole one: its header is enough to refuse it.
            let length = if cut { 12 } else { head.msg_len };
            slot.length = usize::try_from(length).unwrap_or_default().min(LONGEST);
            slot.peer_length = head.msg_hdr.msg_namelen.min(32);
            slot.control_length = match head.msg_hdr.msg_flags & libc::MSG_CTRUNC {
                0 => head.msg_hdr.msg_controllen.min(size_of::<Control>()),
                _ => 0,
            };
        }
        Ok(())
    }

    /// Has each query answered. An answer that is left empty is not sent.
    pub(super) fn answer(&mut self, mut answer: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>)) {
        for slot in self.slots.iter_mut().take(self.received) {
            slot.answer.clear();
            let query = slot.query.get(..slot.length).unwrap_or_default();
            if let Some(from) = peer(&slot.peer.0) {
                answer(query, from, &mut slot.answer);
            }
        }
    }

    /// Sends the answers. Returns how many the kernel refused.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        let mut count = 0;
        let answered = self.slots.iter_mut().take(self.received).filter(|slot| !slot.answer.is_empty());
        for ((slot, part), head) in answered.zip(self.parts.iter_mut()).zip(self.heads.iter_mut()) {
            part.iov_base = slot.answer.as_mut_ptr().cast();
            part.iov_len = slot.answer.len();
            head.msg_hdr.msg_name = slot.peer.0.as_mut_ptr().cast();
            head.msg_hdr.msg_namelen = slot.peer_length;
            head.msg_hdr.msg_iov = part;
            head.msg_hdr.msg_iovlen = 1;
            slot.control_length = to_reply(&mut slot.control.0, slot.control_length);
            head.msg_hdr.msg_control =
                if slot.control_length > 0 { slot.control.0.as_mut_ptr().cast() } else { ptr::null_mut() };
            head.msg_hdr.msg_controllen = slot.control_length;
            head.msg_hdr.msg_flags = 0;
            count += 1;
        }
        self.received = 0;
        let (mut done, mut failed) = (0, 0);
        while let Some(rest) = self.heads.get_mut(done..count).filter(|rest| !rest.is_empty()) {
            // SAFETY: `rest` are heads that were written above; each points to a whole answer, address and control message in
            // `self.slots`, which is not touched until the loop ends.
            let sent = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0)
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => done += sent,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of the rest is at fault: nobody can be reached there, or a filter forbids it.
                _ => {
                    failed += 1;
                    done += 1;
                }
            }
        }
        failed
    }
}

const EMPTY: libc::mmsghdr = libc::mmsghdr {
    msg_hdr: libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: ptr::null_mut(),
        msg_iovlen: 0,
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    },
    msg_len: 0,
};

/// Reads `sockaddr_in` or `sockaddr_in6`.
fn peer(bytes: &[u8; 32]) -> Option<SocketAddr> {
    let at = |from: usize, to: usize| bytes.get(from..to);
    let family = u16::from_ne_bytes(at(0, 2)?.try_into().ok()?);
    let port = u16::from_be_bytes(at(2, 4)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => Some((Ipv4Addr::from(<[u8; 4]>::try_from(at(4, 8)?).ok()?), port).into()),
        libc::AF_INET6 => Some((Ipv6Addr::from(<[u8; 16]>::try_from(at(8, 24)?).ok()?), port).into()),
        _ => None,
    }
}

/// Makes of a control message that came the one that goes back: from the address that it came to, over whichever
/// interface leads to the client. Returns its length; 0 is none, and then the kernel chooses the address.
fn to_reply(control: &mut [u8; 40], length: usize) -> usize {
    let Some(received) = control.get_mut(..length) else { return 0 };
    let word =
        |bytes: &[u8], from: usize| Some(i32::from_ne_bytes(bytes.get(from..from + 4)?.try_into().ok()?));
    let (level, kind) = (word(received, 8), word(received, 12));
    let Some(data) = received.get_mut(16..) else { return 0 };
    if level == Some(libc::IPPROTO_IPV6) && kind == Some(libc::IPV6_PKTINFO) {
        // An address that means something else on each interface needs it.
        let is_link_local = matches!(data, [0xfe, second, ..] if *second & 0xc0 == 0x80);
        match data.get_mut(16..20) {
            Some(interface) if !is_link_local => interface.fill(0),
            Some(_) => {}
            None => return 0,
        }
        return length;
    }
    if level == Some(libc::IPPROTO_IP) && kind == Some(libc::IP_PKTINFO) {
        return match data.get_mut(..4) {
            Some(interface) => {
                interface.fill(0);
                length
            }
            None => 0,
        };
    }
    0
}

/// Has a socket on the wildcard address tell to which address a datagram came, and every socket send as it should: never wait longer than `wait`, and let nobody shrink its
/// path MTU (an answer then comes in fragments of an attacker's choice).
///
/// # Errors
/// Where the kernel does not tell the address; the rest is done as far as it can be.
pub(crate) fn prepare(socket: &UdpSocket, wait: std::time::Duration) -> io::Result<()> {
    socket.set_read_timeout(Some(wait))?;
    let local = socket.local_addr()?;
    let is_v6 = local.is_ipv6();
    let (level, tell, path) = match is_v6 {
        true => {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, (libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT))
        }
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO, (libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)),
    };
    let _ = set(socket, level, path.0, path.1);
    if is_v6 {
        // For what comes over IPv4 to a socket of both.
        let _ = set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT);
    }
    // A socket of one address has no other to answer from, and the kernel need not look for a way by it.
    if local.ip().is_unspecified() { set(socket, level, tell, 1) } else { Ok(()) }
}

fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option's value is read from `value`, which lives until after the call, in its true length.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        prepare(&socket, Duration::from_secs(10)).unwrap();
        socket
    }

    /// Answers everything that is there with itself, backwards.
    fn mirror(batch: &mut Batch, socket: &UdpSocket) -> usize {
        batch.receive(socket).unwrap();
        let mut answered = 0;
        batch.answer(|query, _, out| {
            out.extend(query.iter().rev());
            answered += 1;
        });
        assert_eq!(batch.send(socket), 0);
        answered
    }

    #[test]
    fn each_gets_its_own_answer_from_the_address_that_it_asked() {
        for (wildcard, asked) in [
            ("0.0.0.0:0", "127.0.0.2"),
            ("[::]:0", "127.0.0.3"),
            ("[::]:0", "::1"),
            ("127.0.0.1:0", "127.0.0.1"),
        ] {
            let server = socket(wildcard);
            let to = SocketAddr::new(asked.parse().unwrap(), server.local_addr().unwrap().port());
            let local = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
            let clients: Vec<UdpSocket> = (0..40).map(|_| UdpSocket::bind(local).unwrap()).collect();
            for (number, client) in (0u8..).zip(&clients) {
                // Connected, so that an answer from another address is not received.
                client.connect(to).unwrap();
                client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                client.send(&[number, 1, 2, 3]).unwrap();
            }
            let (mut batch, mut answered) = (Batch::new(), 0);
            while answered < clients.len() {
                answered += mirror(&mut batch, &server);
            }
            for (number, client) in (0u8..).zip(&clients) {
                let mut buffer = [0; 16];
                let length = client.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], &[3, 2, 1, number], "{wildcard} {asked}");
            }
        }
    }

    #[test]
    fn a_query_that_is_too_long_is_cut_to_its_header() {
        let server = socket("127.0.0.1:0");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(&[7; LONGEST + 1], server.local_addr().unwrap()).unwrap();
        client.send_to(&[8; LONGEST], server.local_addr().unwrap()).unwrap();
        let (mut batch, mut lengths) = (Batch::new(), Vec::new());
        while lengths.len() < 2 {
            batch.receive(&server).unwrap();
            batch.answer(|query, _, _| lengths.push(query.len()));
        }
        assert_eq!(lengths, [12, LONGEST]);
    }

    #[test]
    fn nothing_that_comes_is_no_wait_without_end() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        prepare(&server, Duration::from_millis(1)).unwrap();
        let error = Batch::new().receive(&server).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_answer_that_cannot_be_sent_does_not_hold_up_the_others() {
        let server = socket("127.0.0.1:0");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for byte in [1, 2] {
            client.send_to(&[byte], server.local_addr().unwrap()).unwrap();
        }
        let (mut batch, mut answered, mut failed) = (Batch::new(), 0, 0);
        while answered < 2 {
            batch.receive(&server).unwrap();
            batch.answer(|query, _, out| {
                answered += 1;
                // Longer than any datagram can be.
                out.resize(if query == [1] { 70_000 } else { 3 }, 0);
            });
            failed += batch.send(&server);
        }
        assert_eq!((failed, client.recv(&mut [0; 8]).unwrap()), (1, 3));
    }
}
