//! The 24 bytes of a control packet (RFC 5880 §4.1).

use std::time::Duration;

use weir_core::bfd::{Control, Diagnostic, State};

const LENGTH: usize = 24;
/// With the longest authentication section, which nobody is offered; more is not read.
pub(in crate::speaker) const MAX: usize = 64;
const VERSION: u8 = 1;

/// `None` where the bytes are no control packet (RFC 5880 §6.8.6, the first of its rules).
pub(in crate::speaker) fn decode(bytes: &[u8]) -> Option<Control> {
    let (&[first, flags, multiplier, length, ref words @ ..], _) = bytes.split_first_chunk::<LENGTH>()?;
    let fits = (LENGTH..=bytes.len()).contains(&usize::from(length));
    if first >> 5 != VERSION || !fits {
        return None;
    }
    let state = match flags >> 6 {
        0 => State::AdminDown,
        1 => State::Down,
        2 => State::Init,
        _ => State::Up,
    };
    let word = |at: usize| words.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let bit = |number: u8| flags & 1 << number != 0;
    Some(Control {
        state,
        diagnostic: Diagnostic::from_number(first & 31),
        poll: bit(5),
        last: bit(4),
        // C, between them, says whether the other end's forwarding lives apart from its speaker: nothing here depends on it.
        authenticated: bit(2),
        demand: bit(1),
        multipoint: bit(0),
        multiplier,
        mine: word(0)?,
        yours: word(4)?,
        send_every: Duration::from_micros(word(8)?.into()),
        receive_every: Duration::from_micros(word(12)?.into()),
    })
}

pub(in crate::speaker) fn encode(control: &Control) -> [u8; LENGTH] {
    let micros = |every: Duration| u32::try_from(every.as_micros()).unwrap_or(u32::MAX);
    let bit = |set: bool, number: u8| u8::from(set) << number;
    let flags = (control.state as u8) << 6
        | bit(control.poll, 5)
        | bit(control.last, 4)
        | bit(control.authenticated, 2)
        | bit(control.demand, 1)
        | bit(control.multipoint, 0);
    let mut bytes = [0; LENGTH];
    let head = [VERSION << 5 | control.diagnostic.number(), flags, control.multiplier, LENGTH as u8];
    // The last word is the interval of echo packets: 0, none are wanted.
    let words = [control.mine, control.yours, micros(control.send_every), micros(control.receive_every)];
    let all = head.into_iter().chain(words.into_iter().flat_map(u32::to_be_bytes));
    for (to, from) in bytes.iter_mut().zip(all) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> Control {
        Control {
            state: State::Up,
            diagnostic: Diagnostic::Expired,
            poll: true,
            last: false,
            demand: false,
            multipoint: false,
            authenticated: false,
            multiplier: 3,
            mine: 0x0102_0304,
            yours: 0x0a0b_0c0d,
            send_every: Duration::from_millis(300),
            receive_every: Duration::from_millis(100),
        }
    }

    #[test]
    fn a_packet_has_the_layout_of_the_rfc() {
        let bytes = [
            0x21, 0xe0, 3, 24, 1, 2, 3, 4, 0x0a, 0x0b, 0x0c, 0x0d, 0, 4, 0x93, 0xe0, 0, 1, 0x86, 0xa0, 0, 0,
            0, 0,
        ];
        assert_eq!(encode(&control()), bytes);
        assert_eq!(decode(&bytes), Some(control()));
    }

    #[test]
    fn each_flag_has_its_place() {
        let plain = Control { poll: false, state: State::AdminDown, ..control() };
        for (bit, one) in [
            (0x10, Control { last: true, ..plain }),
            (0x04, Control { authenticated: true, ..plain }),
            (0x02, Control { demand: true, ..plain }),
            (0x01, Control { multipoint: true, ..plain }),
            (0x40, Control { state: State::Down, ..plain }),
            (0x80, Control { state: State::Init, ..plain }),
        ] {
            assert_eq!(encode(&one)[1], bit);
            assert_eq!(decode(&encode(&one)), Some(one));
        }
    }

    #[test]
    fn other_versions_short_packets_and_wrong_lengths_are_no_packets() {
        let good = encode(&control());
        for short in 0..LENGTH {
            assert_eq!(decode(&good[..short]), None);
        }
        for length in [0, 23, 25, 255] {
            let mut bytes = good;
            bytes[3] = length;
            assert_eq!(decode(&bytes), None, "length {length}");
        }
        for version in [0, 2, 7] {
            let mut bytes = good;
            bytes[0] = version << 5;
            assert_eq!(decode(&bytes), None, "version {version}");
        }
    }
}
