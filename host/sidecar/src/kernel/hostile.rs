//! Hostile bytes in the place of the kernel's answers about devices and addresses. `rtnetlink` reads them; what is made of them is ours.

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use weir_hostile::{Memory, Shape, Target, attack, corpus};

use super::{address, link};

const ROUTE: &str = include_str!("../../corpus/route.hex");

/// A datagram with an answer about a device or an address.
struct Answer;

impl Target for Answer {
    fn name(&self) -> &'static str {
        "netlink-route"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        corpus::hexadecimal(ROUTE)
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let message = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
            Ok(message) => message,
            Err(error) => return Shape::of(&error.to_string()),
        };
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                let ours = link::ours(&link);
                if let Some((name, _)) = &ours {
                    assert!(name.starts_with(weir_core::desired::PREFIX), "{name} is none of Weir's");
                }
                Shape::of(&ours)
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)) => {
                Shape::of(&address::address(&message))
            }
            other => Shape::of(&other),
        }
    }

    fn mend(&self, bytes: &mut Vec<u8>) {
        let length = (bytes.len() as u32).to_ne_bytes();
        if let Some(place) = bytes.get_mut(..4) {
            place.copy_from_slice(&length);
        }
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[b"weir-a\0", b"ipip\0", b"ip6tnl\0", b"gre\0", b"ip6gre\0", b"dummy\0", &[12, 0, 18, 0, 8, 0, 1, 0]]
    }

    fn memory(&self) -> Memory {
        // The library's messages are large values, and each attribute is one.
        Memory { per_byte: 128, ..Memory::default() }
    }
}

#[test]
fn netlink_route() {
    attack(&Answer);
}
