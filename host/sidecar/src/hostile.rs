//! Hostile bytes on the socket between host and sidecar, for either end.

use std::fmt::Debug;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_core::desired::Desired;
use weir_core::desired::network::{self, Network};
use weir_core::ipvs::Memory as Table;
use weir_hostile::{Memory, Shape, Target, attack};

use crate::protocol::{self, FrameError, Hello, MAX_FRAME, MAX_HELLO, Order, Report};

const ORDERS: &str = include_str!("../corpus/orders.json");
const REPORTS: &str = include_str!("../corpus/reports.json");

/// Frames of lines of JSON.
fn frames(lines: &str) -> Vec<Vec<u8>> {
    let frame = |line: &str| [&(line.len() as u32).to_be_bytes(), line.as_bytes()].concat();
    lines.lines().map(frame).collect()
}

/// Reads one frame; nothing has to be waited for.
fn read<T: DeserializeOwned>(mut bytes: &[u8], max: usize) -> Result<T, FrameError> {
    protocol::read(&mut bytes, max).now_or_never().unwrap()
}

/// What was understood is written as something that is understood as the same.
fn is_said_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(message: &T) {
    let said = protocol::frame(message).unwrap();
    assert_eq!(&read::<T>(&said, MAX_FRAME).unwrap(), message);
}

fn mend_frame(bytes: &mut [u8]) {
    let length = (bytes.len().saturating_sub(4) as u32).to_be_bytes();
    if let Some(place) = bytes.get_mut(..4) {
        place.copy_from_slice(&length);
    }
}

/// Values of a few bytes each in JSON are hundreds of bytes in memory, and there may be many of them.
const LARGE: Memory = Memory { base: 64 << 10, per_byte: 256 };

/// To the sidecar: whatever is found good is planned as well.
struct Orders;

impl Target for Orders {
    fn name(&self) -> &'static str {
        "socket-order"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        frames(ORDERS)
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let order = match read::<Order>(bytes, MAX_FRAME) {
            Ok(order) => order,
            Err(error) => return Shape::of(&kind(&error)),
        };
        is_said_again(&order);
        let desired = match order {
            Order::Set(desired) => desired,
            // To the state that a sidecar has before anybody has told it anything.
            Order::Change(delta) => match delta.apply(&Desired::default()) {
                Ok(desired) => Box::new(desired),
                Err(misfit) => return Shape::of(&misfit.to_string()),
            },
            other => return Shape::of(&other),
        };
        if let Err(fault) = desired.check() {
            return Shape::of(&fault.to_string());
        }
        let changes = network::changes(&desired, &Network::default());
        let mut table = Table::new();
        let plan = table.plan(&desired.ipvs);
        for change in &plan.changes {
            table.done(change).unwrap();
        }
        assert!(
            table.plan(&desired.ipvs).changes.is_empty(),
            "a plan that was carried out leaves something to do"
        );
        let speaker = desired.speaker.as_ref().map(|config| {
            let all = config.neighbors.iter().map(|neighbor| config.settings(neighbor));
            (config.adverts().map(|adverts| adverts.len()), all.count())
        });
        Shape::of(&(changes.make.len(), plan.changes.len(), speaker))
    }

    fn mend(&self, bytes: &mut Vec<u8>) {
        mend_frame(bytes);
    }

    fn words(&self) -> &'static [&'static [u8]] {
        WORDS
    }

    fn memory(&self) -> Memory {
        LARGE
    }
}

/// What JSON and our fields are made of.
const WORDS: &[&[u8]] = &[
    b"null",
    b"{}",
    b"[]",
    b"[[[[",
    b"-1",
    b"1e999",
    b"18446744073709551615",
    b"\"\"",
    b"\"\\ud800\"",
    b"\"weir-\"",
    b"\"::\"",
    b"\"0.0.0.0/0\"",
    b"\"secs\":18446744073709551615",
    b"\"nanos\":4294967295",
    b"\"hold\"",
    b"\"tunnels\"",
    b"\"addresses\"",
    b"\"prefix\":\"::/0\"",
];

/// To the host.
struct Reports;

impl Target for Reports {
    fn name(&self) -> &'static str {
        "socket-report"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        frames(REPORTS)
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        match read::<Report>(bytes, MAX_FRAME) {
            Ok(report) => {
                is_said_again(&report);
                Shape::of(&report)
            }
            Err(error) => Shape::of(&kind(&error)),
        }
    }

    fn mend(&self, bytes: &mut Vec<u8>) {
        mend_frame(bytes);
    }

    fn words(&self) -> &'static [&'static [u8]] {
        WORDS
    }

    fn memory(&self) -> Memory {
        LARGE
    }
}

/// To either end, before anything else.
struct Greeting;

impl Target for Greeting {
    fn name(&self) -> &'static str {
        "socket-hello"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        vec![protocol::frame(&Hello::ours()).unwrap()]
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        match read::<Hello>(bytes, MAX_HELLO) {
            Ok(hello) => {
                is_said_again(&hello);
                // What is said of it goes into a log.
                let refused = hello.agree().err().map(|error| error.to_string());
                assert!(refused.as_ref().is_none_or(|text| text.len() < 512), "{refused:?}");
                Shape::of(&refused.is_some())
            }
            Err(error) => Shape::of(&kind(&error)),
        }
    }

    fn mend(&self, bytes: &mut Vec<u8>) {
        mend_frame(bytes);
    }

    fn longest(&self) -> usize {
        2 * MAX_HELLO
    }
}

/// An error without what the other side put into it.
fn kind(error: &FrameError) -> String {
    match error {
        FrameError::Malformed(error) => format!("{:?}", error.classify()),
        other => format!("{:?}", std::mem::discriminant(other)),
    }
}

#[test]
fn socket_order() {
    attack(&Orders);
}

#[test]
fn socket_report() {
    attack(&Reports);
}

#[test]
fn socket_hello() {
    attack(&Greeting);
}
