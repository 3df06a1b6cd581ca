//! Bytes of BGP messages: [`weir_core::bgp::Message`] to and from what is on the wire.
//!
//! `bgpkit-parser` knows capabilities, path attributes and prefixes; [`open`] and [`update`] name it, and nothing else does: its
//! interface changes with most releases. It was made to read archives, and believes what it reads; therefore all that
//! a session depends on is done here, before it is asked: marker, lengths, types, and which error is answered how (RFC 4271 §6,
//! RFC 7606). What this speaker has no use for never reaches it.

mod open;
#[cfg(test)]
mod tests;
mod update;

use weir_core::bgp::{Family, Message, Notification};

/// Marker, length, type.
pub(super) const HEADER: usize = 19;
/// The largest message: no larger ones are negotiated (RFC 8654).
pub(super) const MAX: usize = 4096;

const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;
const ROUTE_REFRESH: u8 = 5;

/// Bytes that make no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The session ends with this answer.
    Answer(Notification),
    /// An `UPDATE` with an error that breaks nothing.
    Unread,
}

/// A message of ours that cannot be said: an error in this program, since [`weir_core::bgp`] keeps within what can.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsayable {
    /// An attribute or capability.
    #[error("no bytes for a message: {0}")]
    Value(#[from] bgpkit_parser::error::EncodingError),
    /// Larger than [`MAX`].
    #[error("a message of {0} bytes is longer than {MAX}")]
    Length(usize),
}

/// How long the message is that these bytes begin with; `None` where more of them are needed to tell, or to make it whole.
///
/// # Errors
/// What to answer to bytes that begin no message (RFC 4271 §6.1). Told as early as it shows: the rest may never come.
pub(super) fn whole(bytes: &[u8]) -> Result<Option<usize>, Notification> {
    if bytes.iter().take(16).any(|byte| *byte != 0xff) {
        return Err(Notification::new(1, 1));
    }
    let Some(&[high, low, kind]) = bytes.get(16..HEADER) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let fits = match kind {
        OPEN => (29..=MAX).contains(&length),
        UPDATE | ROUTE_REFRESH => (23..=MAX).contains(&length),
        NOTIFICATION => (21..=MAX).contains(&length),
        KEEPALIVE => length == HEADER,
        // The length comes first: without it nobody knows where the next message would begin.
        _ if (HEADER..=MAX).contains(&length) => {
            return Err(Notification { data: vec![kind], ..Notification::new(1, 3) });
        }
        _ => false,
    };
    if !fits {
        return Err(Notification { data: vec![high, low], ..Notification::new(1, 2) });
    }
    Ok((bytes.len() >= length).then_some(length))
}

/// Reads a message that [`whole`] has found, with its header. `wide`: AS numbers in paths have four bytes. An `UPDATE` of two
/// families is read as two.
pub(super) fn decode(message: &[u8], wide: bool) -> Result<Vec<Message>, Fault> {
    let kind = message.get(HEADER - 1).copied().unwrap_or_default();
    let body = message.get(HEADER..).unwrap_or_default();
    match kind {
        OPEN => open::decode(body).map(|open| vec![Message::Open(open)]).map_err(Fault::Answer),
        UPDATE => {
            update::decode(body, wide).map(|updates| updates.into_iter().map(Message::Update).collect())
        }
        NOTIFICATION => match *body {
            [code, subcode, ref data @ ..] => {
                Ok(vec![Message::Notification(Notification { code, subcode, data: data.to_vec() })])
            }
            _ => Err(Fault::Answer(Notification::new(1, 2))),
        },
        KEEPALIVE => Ok(vec![Message::Keepalive]),
        ROUTE_REFRESH => {
            // The third byte marks begin and end of an answer (RFC 7313), which nobody was offered here.
            let family = match *body {
                [0, 1, 0, 1, ..] => Some(Family::Ipv4),
                [0, 2, 0, 1, ..] => Some(Family::Ipv6),
                _ => None,
            };
            Ok(vec![Message::RouteRefresh(family)])
        }
        other => Err(Fault::Answer(Notification { data: vec![other], ..Notification::new(1, 3) })),
    }
}

/// Appends a message to what is to be sent. Nothing is appended where it cannot be said.
pub(super) fn encode(message: &Message, wide: bool, bytes: &mut Vec<u8>) -> Result<(), Unsayable> {
    let (kind, body) = match message {
        Message::Open(open) => (OPEN, open::encode(open)?),
        Message::Update(update) => (UPDATE, update::encode(update, wide)?),
        Message::Notification(why) => (NOTIFICATION, notification(why)),
        Message::Keepalive => (KEEPALIVE, Vec::new()),
        Message::RouteRefresh(family) => {
            (ROUTE_REFRESH, vec![0, if *family == Some(Family::Ipv6) { 2 } else { 1 }, 0, 1])
        }
    };
    let length = HEADER + body.len();
    let field = u16::try_from(length).ok().filter(|_| length <= MAX).ok_or(Unsayable::Length(length))?;
    bytes.extend([0xff; 16]);
    bytes.extend(field.to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    Ok(())
}

/// What does not fit is cut: data of a notification are for people.
fn notification(why: &Notification) -> Vec<u8> {
    let data = why.data.iter().copied().take(MAX - HEADER - 2);
    [why.code, why.subcode].into_iter().chain(data).collect()
}
