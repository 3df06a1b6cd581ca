//! Hostile bytes in the place of the balancer's answers.

use weir_core::ipvs::{Change, Forwarding};
use weir_core::maglev::Family;
use weir_hostile::{Shape, Target, attack, corpus};

use super::tests::captured;
use super::{decode, encode};
use crate::kernel::netlink::Requests;
use crate::kernel::netlink::message::{Messages, Said};

/// Headers of netlink and generic netlink.
const HEADERS: usize = 20;

/// A datagram of generic netlink. Every answer in it is read as each thing that it could be.
struct Answers;

impl Target for Answers {
    fn name(&self) -> &'static str {
        "netlink-ipvs"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        corpus::hexadecimal(&captured::ALL.join("\n"))
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let mut shapes = Vec::new();
        for message in Messages(bytes) {
            let Ok(message) = message else { break };
            let Said::Answer { attributes, .. } = message.said else {
                shapes.push(Shape::of(&message.said));
                continue;
            };
            shapes.extend([service(attributes), timeouts(attributes)]);
            shapes.extend([Family::V4, Family::V6].map(|family| destination(attributes, family)));
        }
        assert!(shapes.len() <= bytes.len(), "more answers than bytes");
        Shape::of_all(shapes)
    }

    fn mend(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let mut set = |at: usize, value: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + value.len()) {
                place.copy_from_slice(value);
            }
        };
        set(0, &(length as u32).to_ne_bytes());
        // The attribute that holds all others.
        set(HEADERS, &(length.saturating_sub(HEADERS) as u16).to_ne_bytes());
    }
}

/// What a change says, as the kernel would tell it.
fn told(change: &Change) -> Vec<u8> {
    let mut requests = Requests::new();
    encode::change(&mut requests, 0x20, change);
    requests.bytes().get(HEADERS..).unwrap_or_default().to_vec()
}

fn service(attributes: &[u8]) -> Shape {
    let read = decode::service(attributes);
    if let Ok(Some(one)) = &read {
        let again =
            decode::service(&told(&Change::AddService { key: one.key, settings: one.settings.clone() }));
        let again = again.unwrap().unwrap();
        assert_eq!((again.key, &again.settings), (one.key, &one.settings));
    }
    Shape::of(&read)
}

fn destination(attributes: &[u8], family: Family) -> Shape {
    let read = decode::destination(attributes, family);
    // What is done with packets in a way that is not known here is never told to the kernel.
    if let Ok(one) = &read
        && !matches!(one.entry.forwarding, Forwarding::Other { .. })
    {
        let mark = std::num::NonZeroU32::MIN;
        let change =
            Change::SetDestination { service: weir_core::ipvs::Key::Mark { family, mark }, entry: one.entry };
        assert_eq!(decode::destination(&told(&change), family).unwrap().entry, one.entry);
    }
    Shape::of(&read)
}

fn timeouts(attributes: &[u8]) -> Shape {
    let read = decode::timeouts(attributes);
    if let Ok(Some(one)) = read {
        assert_eq!(decode::timeouts(&told(&Change::SetTimeouts(one))), Ok(Some(one)));
    }
    Shape::of(&read)
}

#[test]
fn netlink_ipvs() {
    attack(&Answers);
}
