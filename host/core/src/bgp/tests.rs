//! Two machines talk to each other; one is given everything that can happen in every state, and then anything in any order.

mod chaos;
mod outbox;
mod table;
mod talk;

use std::net::{IpAddr, Ipv4Addr};

use super::*;

fn id(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

fn advert(text: &str) -> Advert {
    Advert::of(prefix(text))
}

/// iBGP, IPv6 next hop set, IPv4 one taken from the connection.
fn settings(own: u8) -> Settings {
    let next_hop = NextHops { v6: Some("2001:db8::99".parse().unwrap()), ..NextHops::default() };
    Settings { next_hop, ..Settings::new(65000, id(own), 65000) }
}

fn local(own: u8) -> IpAddr {
    id(own).into()
}

/// A generator for tests that must be the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
