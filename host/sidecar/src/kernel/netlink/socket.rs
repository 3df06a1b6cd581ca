//! A generic netlink socket.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto, socket_with,
};

use super::attribute::{Attributes, put, u16};
use super::message::{Malformed, Message, Messages, Requests, Said};

/// The kernel answers within `send`. Whatever takes so long will not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel fills a datagram of a dump up to 32 KiB where the receiver has room.
const DATAGRAM: usize = 64 * 1024;
/// Room for answers that nobody has read yet: as many refusals as requests can be in one datagram.
const WAITING: usize = 1024 * 1024;
/// How often a list is dumped anew that changes while it is dumped.
const ATTEMPTS: usize = 5;

/// The family that knows the numbers of all others, and its vocabulary.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const CONTROL_VERSION: u8 = 2;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// What went wrong between us and the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("cannot open a netlink socket: {0}")]
    Open(Errno),
    /// The kernel takes no request.
    #[error("cannot send to the kernel: {0}")]
    Send(Errno),
    /// The kernel's answers cannot be read.
    #[error("cannot receive from the kernel: {0}")]
    Receive(Errno),
    /// Answers were lost: it is not known what was done. Look again.
    #[error("answers of the kernel were lost for lack of room; what it has must be looked at again")]
    Overrun,
    /// There is no answer.
    #[error("the kernel did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// An answer is no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Somebody changes things faster than they can be read.
    #[error(
        "what the kernel has changed each time it was read, {ATTEMPTS} times; somebody else changes it all the time"
    )]
    Changing,
    /// The kernel refused.
    #[error("the kernel refuses: {0}")]
    Refused(Errno),
    /// A subsystem is not there.
    #[error("the kernel has no {name}; load its module (modprobe {module})")]
    Absent {
        /// Name of the family.
        name: &'static str,
        /// The module that brings it.
        module: &'static str,
    },
}

/// A request that the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Which one, from 0.
    pub request: usize,
    /// Why.
    pub error: Errno,
}

/// A socket, for one thread. It belongs to the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    number: u32,
    datagram: Vec<u8>,
}

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    /// [`NetlinkError::Open`]
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { fd: descriptor().map_err(NetlinkError::Open)?, number: 0, datagram: vec![0; DATAGRAM] })
    }

    /// The number of a family.
    ///
    /// # Errors
    /// [`NetlinkError::Absent`] where its module is not loaded and cannot be.
    pub fn family(&mut self, name: &'static str, module: &'static str) -> Result<u16, NetlinkError> {
        let mut request = Requests::new();
        request.push(CONTROL, GET_FAMILY, CONTROL_VERSION, |to| {
            put(to, FAMILY_NAME, format!("{name}\0").as_bytes());
        });
        let mut found = None;
        let refused = self.tell(&mut request, |_, attributes| {
            for attribute in Attributes::of(attributes) {
                if let (FAMILY_ID, value) = attribute? {
                    found = Some(u16(value)?);
                }
            }
            Ok(())
        })?;
        match (found, refused.first()) {
            (Some(number), None) => Ok(number),
            (None, Some(Refused { error: Errno::NOENT, .. })) => Err(NetlinkError::Absent { name, module }),
            (_, Some(refused)) => Err(NetlinkError::Refused(refused.error)),
            (None, None) => Err(Malformed::Lacks("FAMILY_ID").into()),
        }
    }

    /// Sends requests in one datagram and waits until the kernel has handled them all. `answer` gets what it says beside. The
    /// kernel goes on after a request that it refuses; those are returned.
    ///
    /// # Errors
    /// Where it is not known what the kernel has done.
    pub fn tell(
        &mut self,
        requests: &mut Requests,
        mut answer: impl FnMut(u8, &[u8]) -> Result<(), Malformed>,
    ) -> Result<Vec<Refused>, NetlinkError> {
        let mut refused = Vec::new();
        if requests.is_empty() {
            return Ok(refused);
        }
        let count = requests.len();
        let first = self.send(requests)?;
        let mut pending = true;
        while pending {
            self.receive(|message| {
                let request = message.number.wrapping_sub(first);
                if request >= count {
                    return Ok(());
                }
                match message.said {
                    Said::Refused(error) => refused.push(Refused { request: request as usize, error }),
                    Said::Answer { command, attributes } => return answer(command, attributes),
                    Said::Done | Said::Nothing => {}
                }
                pending &= request + 1 != count;
                Ok(())
            })?;
        }
        Ok(refused)
    }

    /// Asks for a list. `restart` is called before it comes, again where it changed meanwhile; then `each` for every answer.
    ///
    /// # Errors
    /// Where it did not come whole.
    pub fn dump<S>(
        &mut self,
        request: &mut Requests,
        mut restart: impl FnMut() -> S,
        mut each: impl FnMut(&mut S, u8, &[u8]) -> Result<(), Malformed>,
    ) -> Result<S, NetlinkError> {
        for _ in 0..ATTEMPTS {
            let mut state = restart();
            let first = self.send(request)?;
            let (mut end, mut interrupted) = (None, false);
            while end.is_none() {
                let received = self.receive(|message| {
                    if message.number != first {
                        return Ok(());
                    }
                    interrupted |= message.interrupted;
                    match message.said {
                        Said::Answer { command, attributes } => each(&mut state, command, attributes)?,
                        Said::Done => end = Some(Ok(())),
                        Said::Refused(error) => end = Some(Err(error)),
                        Said::Nothing => {}
                    }
                    Ok(())
                });
                if let Err(error) = received {
                    // The rest of the list would be in the way of the next one.
                    self.fd = descriptor().map_err(NetlinkError::Open)?;
                    return Err(error);
                }
            }
            match end {
                Some(Err(Errno::INTR)) => {}
                Some(Err(error)) => return Err(NetlinkError::Refused(error)),
                _ if interrupted => {}
                _ => return Ok(state),
            }
        }
        Err(NetlinkError::Changing)
    }

    /// Sends, and says which number the first request has.
    fn send(&mut self, requests: &mut Requests) -> Result<u32, NetlinkError> {
        let first = self.number.wrapping_add(1);
        self.number = self.number.wrapping_add(requests.len());
        let bytes = requests.seal(first);
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = retry_on_intr(|| sendto(&self.fd, bytes, SendFlags::empty(), &kernel));
        match sent {
            Ok(sent) if sent == bytes.len() => Ok(first),
            Ok(_) => Err(NetlinkError::Send(Errno::MSGSIZE)),
            Err(error) => Err(NetlinkError::Send(error)),
        }
    }

    /// Receives one datagram.
    fn receive(
        &mut self,
        mut each: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), NetlinkError> {
        let (_, length, sender) =
            retry_on_intr(|| recvfrom(&self.fd, &mut self.datagram[..], RecvFlags::TRUNC)).map_err(
                |error| match error {
                    Errno::NOBUFS => NetlinkError::Overrun,
                    Errno::AGAIN => NetlinkError::Silent,
                    error => NetlinkError::Receive(error),
                },
            )?;
        let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
        if sender.is_none_or(|sender| sender.pid() != 0) {
            return Ok(());
        }
        let bytes = self.datagram.get(..length).ok_or(Malformed::Length)?;
        Messages(bytes).try_for_each(|message| each(message?)).map_err(NetlinkError::Malformed)
    }
}

fn descriptor() -> Result<OwnedFd, Errno> {
    let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC))?;
    bind(&fd, &SocketAddrNetlink::new(0, 0))?;
    set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
    // Needs CAP_NET_ADMIN, as nearly all that is asked of the kernel here does. Without it the room is smaller.
    let _ = set_socket_recv_buffer_size_force(&fd, WAITING);
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_a_family_says_so() {
        let mut socket = Socket::open().unwrap();
        assert_eq!(
            socket.family("no-such-family", "none"),
            Err(NetlinkError::Absent { name: "no-such-family", module: "none" })
        );
    }

    #[test]
    fn the_family_of_families_is_found_and_dumped() {
        let mut socket = Socket::open().unwrap();
        assert_eq!(socket.family("nlctrl", "none"), Ok(CONTROL));
        let mut request = Requests::dump(CONTROL, GET_FAMILY, CONTROL_VERSION, |_| {});
        let count = socket.dump(
            &mut request,
            || 0,
            |count, _, _| {
                *count += 1;
                Ok(())
            },
        );
        assert!(count.unwrap() >= 1);
    }

    #[test]
    fn requests_that_the_kernel_refuses_are_named_and_the_others_done() {
        let mut socket = Socket::open().unwrap();
        let mut requests = Requests::new();
        for name in ["nlctrl\0", "none\0", "nlctrl\0"] {
            requests.push(CONTROL, GET_FAMILY, CONTROL_VERSION, |to| put(to, FAMILY_NAME, name.as_bytes()));
        }
        let mut answers = 0;
        let refused = socket.tell(&mut requests, |_, _| {
            answers += 1;
            Ok(())
        });
        assert_eq!(refused, Ok(vec![Refused { request: 1, error: Errno::NOENT }]));
        assert_eq!(answers, 2);
        assert_eq!(socket.family("nlctrl", "none"), Ok(CONTROL), "the socket is still of use");
    }

    #[test]
    fn what_is_not_understood_in_a_list_leaves_the_socket_of_use() {
        let mut socket = Socket::open().unwrap();
        let mut request = Requests::dump(CONTROL, GET_FAMILY, CONTROL_VERSION, |_| {});
        let failed = socket.dump(&mut request, || (), |(), _, _| Err(Malformed::Value));
        assert_eq!(failed, Err(NetlinkError::Malformed(Malformed::Value)));
        assert_eq!(socket.family("nlctrl", "none"), Ok(CONTROL));
    }
}
