//! What host and sidecar say to each other, and how it is framed: a length of four bytes (big endian), then JSON.
//!
//! Both begin with a [`Hello`]. Then the host sends the whole desired state, after that what differs whenever it changes, and a sign
//! of life in between; the sidecar reports what it sees, and asks for the whole where a difference does not fit what it has. JSON,
//! since the desired state is read by people as well when something is wrong, and since a field that one side does not know is
//! refused with its name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weir_core::desired::{Delta, Desired, Observed, Ways};

/// Changes whenever one side would misunderstand the other. Both are the same binary; they differ for as long as an upgrade
/// has restarted only one of them.
pub const PROTOCOL: u32 = 6;

/// The longest frame, bytes: a thousand services with a hundred destinations each are a third of it.
pub const MAX_FRAME: usize = 64 << 20;

/// The longest frame before the other side has said who it is.
pub const MAX_HELLO: usize = 4096;

/// The first frame in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u32,
    /// Version of the sender, for people.
    pub version: String,
}

impl Hello {
    /// What this binary says.
    pub fn ours() -> Self {
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// Whether the other side speaks as we do.
    ///
    /// # Errors
    /// [`FrameError::Protocol`], with what the other side speaks.
    pub fn agree(&self) -> Result<(), FrameError> {
        if self.protocol == PROTOCOL {
            return Ok(());
        }
        Err(FrameError::Protocol { theirs: self.protocol, version: self.version.chars().take(64).collect() })
    }
}

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Make it so. All of it; what is not in it is not wanted.
    Set(Box<Desired>),
    /// Make that of what was said before. Never the first order of a connection.
    Change(Box<Delta>),
    /// The ways of checks through tunnels, which whoever decides needs before it can say what it wants. They are added to what is
    /// there, or was wanted by whoever decided before; nothing else is touched. The next desired state has them in it.
    Prepare(Box<Ways>),
    /// Somebody still decides, and has nothing new to say.
    Alive,
}

impl Order {
    /// What brings somebody to `desired` who was told `before` over the same connection; `None`: nothing yet.
    pub fn from(before: Option<&Desired>, desired: &Desired) -> Self {
        match before {
            Some(before) => Self::Change(Box::new(Delta::between(before, desired))),
            None => Self::Set(Box::new(desired.clone())),
        }
    }
}

/// From the sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// What is announced by the word of an earlier host. The first report of a connection.
    Announced(BTreeSet<IpAddr>),
    /// What it sees, and did.
    Observed(Box<Observed>),
    /// The last desired state was refused as a whole, for this reason; what was in force stays in force.
    Refused(String),
    /// The last change is of another state than the one in force. The whole is to be said.
    Again,
    /// Another host has connected, and is the one that is heard from now on. The last report of a connection.
    Replaced,
}

/// Why a frame was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side has gone, between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// The other side has gone, within a frame.
    #[error("the other side broke off within a frame")]
    BrokenOff,
    /// A frame that no healthy sender makes.
    #[error("a frame of {len} bytes; at most {max} are taken")]
    TooLong {
        /// As announced.
        len: usize,
        /// What is taken at this point.
        max: usize,
    },
    /// A frame that is not understood.
    #[error("a frame that is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version of this protocol.
    #[error(
        "the other side (version {version}) speaks protocol {theirs}, this one {PROTOCOL}: restart the older one"
    )]
    Protocol {
        /// The other side's.
        theirs: u32,
        /// What it says of itself.
        version: String,
    },
    /// Another host is heard instead of this one.
    #[error("another host speaks with this sidecar: two nodes run with one `paths.run`")]
    Replaced,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads one frame of at most `max` bytes. Not to be cancelled: half a frame would be lost.
///
/// # Errors
/// See [`FrameError`]; after any of them the stream is of no more use.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<T, FrameError> {
    let mut length = [0; 4];
    let mut have = 0;
    while let Some(rest) = length.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest).await? {
            0 if have == 0 => return Err(FrameError::Closed),
            0 => return Err(FrameError::BrokenOff),
            n => have += n,
        }
    }
    let len = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if len > max {
        return Err(FrameError::TooLong { len, max });
    }
    // Grows with what comes: a length alone costs the sender nothing, and so it must not cost us.
    let mut body = Vec::new();
    let whole = stream.take(len as u64).read_to_end(&mut body).await?;
    if whole < len {
        return Err(FrameError::BrokenOff);
    }
    Ok(serde_json::from_slice(&body)?)
}

/// A frame, ready to be written.
///
/// # Errors
/// [`FrameError::TooLong`] where the other side would not take it.
pub fn frame(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let len = bytes.len() - 4;
    match u32::try_from(len) {
        Ok(length) if len <= MAX_FRAME => {
            for (to, from) in bytes.iter_mut().zip(length.to_be_bytes()) {
                *to = from;
            }
            Ok(bytes)
        }
        _ => Err(FrameError::TooLong { len, max: MAX_FRAME }),
    }
}

/// Writes one frame.
///
/// # Errors
/// See [`FrameError`].
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), FrameError> {
    stream.write_all(&frame(message)?).await?;
    Ok(stream.flush().await?)
}

#[cfg(test)]
mod tests {
    use weir_core::desired::speaker::Config;
    use weir_core::desired::{ServiceAddress, Sysctl};
    use weir_core::ipvs::{Key, Service, Settings, Table, Wanted};

    use super::*;

    fn read_all<T: DeserializeOwned>(mut bytes: &[u8], max: usize) -> Result<T, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(&mut bytes, max))
    }

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let set = Order::Set(Box::new(Desired { generation: 3, ..Desired::default() }));
        for order in [set, change(), Order::Prepare(Box::default())] {
            let bytes = frame(&order).unwrap();
            assert_eq!(read_all::<Order>(&bytes, MAX_FRAME).unwrap(), order);
        }
    }

    /// A change that says something of everything.
    fn change() -> Order {
        let before = Desired { generation: 1, ..Desired::default() };
        let settings = Settings::maglev();
        let service =
            Service { key: Key::tcp(([198, 51, 100, 1], 80).into()), settings, destinations: Vec::new() };
        let wanted = Wanted { table: Table::of([service]).unwrap(), ..Wanted::default() };
        let after = Desired {
            generation: 2,
            addresses: vec![ServiceAddress([198, 51, 100, 1].into())],
            sysctls: vec![Sysctl::new("net/ipv4/vs/sloppy_tcp", "1")],
            ipvs: wanted,
            speaker: Some(Config::new(65_000, [192, 0, 2, 1].into())),
            ..Desired::default()
        };
        Order::from(Some(&before), &after)
    }

    #[test]
    fn a_length_is_refused_before_it_is_believed() {
        let refused = read_all::<Order>(&[0xff; 4], MAX_FRAME);
        assert!(matches!(refused, Err(FrameError::TooLong { len: 0xffff_ffff, .. })));
        let hello = frame(&Hello { protocol: 1, version: "x".repeat(MAX_HELLO) }).unwrap();
        assert!(matches!(read_all::<Hello>(&hello, MAX_HELLO), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn an_end_between_frames_is_told_from_one_within() {
        assert!(matches!(read_all::<Order>(&[], MAX_FRAME), Err(FrameError::Closed)));
        assert!(matches!(read_all::<Order>(&[0, 0], MAX_FRAME), Err(FrameError::BrokenOff)));
        assert!(matches!(read_all::<Order>(&[0, 0, 0, 9, b'"'], MAX_FRAME), Err(FrameError::BrokenOff)));
    }

    #[test]
    fn brackets_without_end_do_not_reach_the_end_of_the_stack() {
        let mut bytes = vec![0, 1, 0, 0];
        bytes.extend(vec![b'['; 0x1_0000]);
        assert!(matches!(read_all::<Order>(&bytes, MAX_FRAME), Err(FrameError::Malformed(_))));
    }

    #[test]
    fn another_protocol_is_named() {
        let other = Hello { protocol: PROTOCOL + 1, version: "9.9".to_owned() };
        let said = other.agree().unwrap_err().to_string();
        assert!(said.contains("9.9") && said.contains(&format!("protocol {}", PROTOCOL + 1)), "{said}");
        assert!(Hello::ours().agree().is_ok());
    }
}
