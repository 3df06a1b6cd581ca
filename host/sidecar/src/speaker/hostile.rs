//! Hostile bytes for what neighbors send: BGP messages in a stream, and BFD packets.
//!
//! The corpora are what BIRD, GoBGP, FRR and ExaBGP sent to Weir in `cargo lab trial bgp`, and what Weir sent to them.

use std::net::Ipv4Addr;

use weir_core::bfd;
use weir_core::bgp::{self, Capability, Event, Family, Message, Side, State, Update};
use weir_core::time::Moment;
use weir_hostile::{Memory, Shape, Target, attack, corpus};

use super::bfd::packet;
use super::bytes::{self, Fault, HEADER, MAX};

const BGP: &str = include_str!("../../corpus/bgp.hex");
const BFD: &str = include_str!("../../corpus/bfd.hex");

const OPEN: u8 = 1;
const UPDATE: u8 = 2;

/// Captured messages of one type, or of all.
fn captured(kind: Option<u8>) -> Vec<Vec<u8>> {
    let all = corpus::hexadecimal(BGP).into_iter();
    all.filter(|message| kind.is_none() || message.get(HEADER - 1).copied() == kind).collect()
}

/// Sets the length that the header names to what is there.
fn mend_message(bytes: &mut Vec<u8>) {
    bytes.truncate(MAX);
    let length = (bytes.len() as u16).to_be_bytes();
    let marker = bytes.len().min(16);
    let (marker, rest) = bytes.split_at_mut(marker);
    marker.fill(0xff);
    if let Some(place) = rest.get_mut(..2) {
        place.copy_from_slice(&length);
    }
}

/// What was understood and can be said is understood as the same again.
fn is_said_again(message: &Message, wide: bool) {
    let lossless = match message {
        // Of a capability that is nothing to us only the code is kept where the library knows it.
        Message::Open(open) => {
            open.version == 4 && open.capabilities.iter().all(|one| !matches!(one, Capability::Other { .. }))
        }
        // A next hop of another family is nothing that this speaker says, and a path longer than a segment neither.
        Message::Update(Update { family, announced: Some((attributes, _)), .. }) => {
            attributes.next_hop.address.is_ipv4() == (*family == Family::Ipv4)
                && attributes.as_path.len() <= 255
        }
        Message::RouteRefresh(family) => family.is_some(),
        Message::Notification(why) => why.data.len() <= MAX - HEADER - 2,
        _ => true,
    };
    let mut said = Vec::new();
    if !lossless || bytes::encode(message, wide, &mut said).is_err() {
        return;
    }
    assert_eq!(bytes::whole(&said), Ok(Some(said.len())), "{message:?} is said as no message");
    assert_eq!(bytes::decode(&said, wide).as_deref(), Ok(&[message.clone()][..]), "said as {said:02x?}");
}

/// Reads one message as a connection does.
fn read(message: &[u8], wide: bool) -> Result<Vec<Message>, Fault> {
    let read = bytes::decode(message, wide);
    for one in read.iter().flatten() {
        if let Message::Update(update) = one {
            let announced = update.announced.as_ref().map_or(0, |(_, all)| all.len());
            assert!(update.withdrawn.len() + announced <= message.len(), "more prefixes than bytes");
        }
        is_said_again(one, wide);
    }
    read
}

/// A stream of messages: framed, read, and told to the machine of a session that is up.
struct Stream;

impl Target for Stream {
    fn name(&self) -> &'static str {
        "bgp-stream"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let all = captured(None);
        let pairs = all.windows(3).map(<[_]>::concat);
        all.iter().cloned().chain(pairs).collect()
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let now = Moment::from_micros(1_000_000);
        let mut machine = established(now);
        let mut rest = bytes;
        let mut heard = Vec::new();
        loop {
            let length = match bytes::whole(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(answer) => {
                    heard
                        .push(format!("{:?}", machine.handle(Event::Malformed(Side::Outgoing, answer), now)));
                    break;
                }
            };
            assert!((HEADER..=MAX).contains(&length) && length <= rest.len(), "a message of {length} bytes");
            let (message, after) = rest.split_at(length);
            rest = after;
            let events = match read(message, true) {
                Ok(messages) => {
                    messages.into_iter().map(|one| Event::Received(Side::Outgoing, one)).collect()
                }
                Err(Fault::Unread) => vec![Event::Unread(Side::Outgoing)],
                Err(Fault::Answer(answer)) => vec![Event::Malformed(Side::Outgoing, answer)],
            };
            for event in events {
                heard.push(format!("{:?}", machine.handle(event, now)));
            }
            if machine.state() != State::Established {
                break;
            }
        }
        Shape::of(&heard)
    }

    fn longest(&self) -> usize {
        3 * MAX
    }

    fn memory(&self) -> Memory {
        // The machine, what it wants to say, and what the test writes down of it.
        Memory { per_byte: 256, ..Memory::default() }
    }
}

/// A machine whose session is up, with a route that it has told.
fn established(now: Moment) -> bgp::Neighbor {
    let settings = bgp::Settings::new(65000, Ipv4Addr::new(192, 0, 2, 1), 65001);
    let theirs = bgp::Settings::new(65001, Ipv4Addr::new(192, 0, 2, 2), 65000);
    let mut machine = bgp::Neighbor::new(settings, 1);
    let route = bgp::Advert::of("198.51.100.1/32".parse().unwrap());
    drop(machine.set(bgp::Adverts::new([route]).unwrap(), now));
    for event in [
        Event::Start,
        Event::Connected(Ipv4Addr::new(192, 0, 2, 1).into()),
        Event::Received(Side::Outgoing, Message::Open(bgp::Open::ours(&theirs, false))),
        Event::Received(Side::Outgoing, Message::Keepalive),
    ] {
        drop(machine.handle(event, now));
    }
    assert_eq!(machine.state(), State::Established);
    machine
}

/// One message of a type.
struct One {
    name: &'static str,
    kind: u8,
}

impl Target for One {
    fn name(&self) -> &'static str {
        self.name
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        captured(Some(self.kind))
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let length = match bytes::whole(bytes) {
            Ok(Some(length)) => length,
            other => return Shape::of(&other),
        };
        let (message, _) = bytes.split_at(length);
        let wide = read(message, true);
        if self.kind == UPDATE {
            drop(read(message, false));
        }
        Shape::of(&wide)
    }

    fn mend(&self, bytes: &mut Vec<u8>) {
        mend_message(bytes);
        if let Some(kind) = bytes.get_mut(HEADER - 1) {
            *kind = self.kind;
        }
        // The length of an OPEN's parameters, or of the attributes of an UPDATE that withdraws nothing by the old way.
        let body = bytes.len().saturating_sub(HEADER);
        match self.kind {
            OPEN => {
                if let (Some(place), Ok(length)) =
                    (bytes.get_mut(HEADER + 9), u8::try_from(body.saturating_sub(10)))
                {
                    *place = length;
                }
            }
            _ => {
                let Some([0, 0, high, low]) = bytes.get(HEADER..HEADER + 4) else { return };
                let named = usize::from(u16::from_be_bytes([*high, *low]));
                if named > body.saturating_sub(4)
                    && let (Some(place), Ok(length)) =
                        (bytes.get_mut(HEADER + 2..HEADER + 4), u16::try_from(body.saturating_sub(4)))
                {
                    place.copy_from_slice(&length.to_be_bytes());
                }
            }
        }
    }

    fn words(&self) -> &'static [&'static [u8]] {
        match self.kind {
            // Capabilities, a parameter with them, the extended form.
            OPEN => &[
                &[2, 6, 1, 4, 0, 2, 0, 1],
                &[65, 4, 0xfa, 0x56, 0xea, 1],
                &[64, 6, 0x80, 120, 0, 1, 1, 0x80],
                &[70, 0],
                &[73, 2, 1, b'x'],
                &[69, 4, 0, 1, 1, 3],
                &[5, 6, 0, 1, 0, 1, 0, 2],
                &[255, 255, 0, 4],
                &[9, 1, 0],
            ],
            // Attributes: MP_REACH and MP_UNREACH of a few families, AS4_PATH, extended and large communities, long form.
            _ => &[
                &[0x80, 14, 38, 0, 2, 1, 16],
                &[0x80, 14, 54, 0, 2, 1, 32],
                &[0x80, 14, 9, 0, 1, 1, 4],
                &[0x80, 15, 3, 0, 2, 1],
                &[0x80, 15, 3, 0, 1, 1],
                &[0xc0, 17, 6, 2, 1, 0xfa, 0x56, 0xea, 1],
                &[0xc0, 16, 8, 0x40, 4, 0xfd, 0xe8, 0x4b, 0, 0, 0],
                &[0xc0, 32, 12],
                &[0x50, 2, 0, 6, 2, 1],
                &[0xd0, 8, 1, 0x90],
                &[0x40, 1, 1, 0],
                &[0x40, 3, 4],
            ],
        }
    }
}

/// A datagram on the port of BFD, told to a session that is up.
struct Packet;

impl Target for Packet {
    fn name(&self) -> &'static str {
        "bfd-packet"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        corpus::hexadecimal(BFD)
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let Some(control) = packet::decode(bytes.get(..packet::MAX).unwrap_or(bytes)) else {
            return Shape::of(&"no packet");
        };
        assert_eq!(packet::decode(&packet::encode(&control)), Some(control), "{bytes:02x?}");
        let now = Moment::from_micros(1_000_000);
        let mut session = bfd::Session::new(bfd::Settings::default(), control.yours.max(1), now);
        // The first makes it known, the second is an answer to what was said.
        let said = [0, 1].map(|_| session.handle(bfd::Event::Received(control), 0.5, now));
        if let Some(deadline) = session.deadline() {
            drop(session.handle(bfd::Event::Tick, 0.5, deadline));
        }
        Shape::of(&(control, said, session.state()))
    }

    fn longest(&self) -> usize {
        2 * packet::MAX
    }

    fn mend(&self, bytes: &mut Vec<u8>) {
        if let Some(first) = bytes.get_mut(0) {
            *first = 1 << 5 | *first & 31;
        }
        let length = bytes.len().min(packet::MAX) as u8;
        if let Some(place) = bytes.get_mut(3) {
            *place = length;
        }
    }
}

#[test]
fn bgp_stream() {
    attack(&Stream);
}

#[test]
fn bgp_open() {
    attack(&One { name: "bgp-open", kind: OPEN });
}

#[test]
fn bgp_update() {
    attack(&One { name: "bgp-update", kind: UPDATE });
}

#[test]
fn bfd_packet() {
    attack(&Packet);
}
