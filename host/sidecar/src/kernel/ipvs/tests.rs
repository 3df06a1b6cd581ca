//! Messages as a kernel 6.1 sends them.

pub(super) mod captured;

use std::num::{NonZeroU16, NonZeroU32};

use weir_core::ipvs::{
    Change, Checksum, Entry, Flags, Forwarding, Key, Name, Persistence, Protocol, Settings, Thresholds,
    Timeouts, Tunnel,
};
use weir_core::maglev::Family;

use super::{BATCH, batch, decode, encode};
use crate::kernel::netlink::Requests;

const HEADERS: usize = 20;

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn keys() -> [Key; 4] {
    [
        Key::tcp("198.51.100.1:80".parse().unwrap()),
        Key::Address { protocol: Protocol::Udp, address: "2001:db8::1".parse().unwrap(), port: 443 },
        Key::Mark { family: Family::V4, mark: number(7) },
        Key::Mark { family: Family::V6, mark: number(u32::MAX) },
    ]
}

fn attributes(change: &Change) -> Vec<u8> {
    let mut requests = Requests::new();
    encode::change(&mut requests, 0x20, change);
    requests.bytes()[HEADERS..].to_vec()
}

/// What the kernel is told of a service and a destination, it tells in the same attributes.
#[test]
fn a_service_reads_back_as_it_was_told() {
    let engine = || Some(Name::new("sip").unwrap());
    let sticky = |prefix| Some(Persistence { seconds: number(60), prefix });
    for key in keys() {
        for settings in [
            Settings::maglev(),
            Settings { persistence: sticky(24), engine: engine(), ..Settings::maglev() },
            Settings { scheduler: Name::new("wrr").unwrap(), flags: Flags::NONE, ..Settings::maglev() },
        ] {
            let bytes = attributes(&Change::AddService { key, settings: settings.clone() });
            let read = decode::service(&bytes).unwrap().unwrap();
            assert_eq!((read.key, read.settings), (key, settings));
        }
    }
}

#[test]
fn a_destination_reads_back_as_it_was_told() {
    let port = NonZeroU16::new(6080).unwrap();
    let ways = [
        Forwarding::Masquerade,
        Forwarding::Local,
        Forwarding::Route,
        Forwarding::Bypass,
        Forwarding::Tunnel(Tunnel::Ipip),
        Forwarding::Tunnel(Tunnel::Gre { checksum: Checksum::Full }),
        Forwarding::Tunnel(Tunnel::Gue { port, checksum: Checksum::Remote }),
    ];
    for service in keys() {
        for forwarding in ways {
            for endpoint in ["10.0.0.1:80", "[2001:db8:2::1]:8080"] {
                let thresholds = Thresholds { upper: 100, lower: 70 };
                let entry = Entry { endpoint: endpoint.parse().unwrap(), weight: 7, forwarding, thresholds };
                let bytes = attributes(&Change::SetDestination { service, entry });
                assert_eq!(decode::destination(&bytes, service.family()).unwrap().entry, entry);
            }
        }
    }
}

#[test]
fn timeouts_read_back_as_they_were_told() {
    let timeouts = Timeouts { tcp: number(900), tcp_fin: number(30), udp: number(300) };
    assert_eq!(decode::timeouts(&attributes(&Change::SetTimeouts(timeouts))), Ok(Some(timeouts)));
}

#[test]
fn a_datagram_ends_before_something_is_taken_away_from_what_may_not_be_there() {
    let service = keys()[0];
    let entry = |host: u8| {
        let endpoint = std::net::SocketAddr::from(([10, 0, 0, host], 80));
        let weight = 1;
        Entry { endpoint, weight, forwarding: Forwarding::Route, thresholds: Thresholds::default() }
    };
    let add = |host| Change::AddDestination { service, entry: entry(host) };
    let remove = |host| Change::RemoveDestination { service, endpoint: entry(host).endpoint };
    assert_eq!(batch(&[add(1), add(2), remove(3), remove(4)]), 2);
    assert_eq!(batch(&[remove(3), remove(4), add(5), remove(5), add(6)]), 3);
    assert_eq!(batch(&[add(1)]), 1);
    assert_eq!(batch(&vec![add(1); 1000]), BATCH as usize);
}

fn read_service(message: &str) -> (Key, Settings) {
    let read = decode::service(&bytes(message)[HEADERS..]).unwrap().unwrap();
    (read.key, read.settings)
}

fn read_destination(message: &str, family: Family) -> Entry {
    decode::destination(&bytes(message)[HEADERS..], family).unwrap().entry
}

#[test]
fn what_a_kernel_sent_is_read() {
    let [_, six, mark, _] = keys();
    let one = Key::tcp("198.51.100.1:80".parse().unwrap());
    assert_eq!(read_service(captured::SERVICE_MH), (one, Settings::maglev()));
    let sticky = Settings {
        scheduler: Name::new("wrr").unwrap(),
        flags: Flags::NONE,
        persistence: Some(Persistence { seconds: number(60), prefix: 64 }),
        engine: None,
    };
    assert_eq!(read_service(captured::SERVICE_STICKY_V6), (six, sticky));
    assert_eq!(
        read_service(captured::SERVICE_MARK),
        (mark, Settings { flags: Flags::MH_PORT, ..Settings::maglev() })
    );

    let entry = |endpoint: &str, weight, forwarding| Entry {
        endpoint: endpoint.parse().unwrap(),
        weight,
        forwarding,
        thresholds: Thresholds::default(),
    };
    let gre = Forwarding::Tunnel(Tunnel::Gre { checksum: Checksum::Full });
    assert_eq!(read_destination(captured::DEST_GRE, Family::V4), entry("10.0.0.3:80", 3, gre));
    let ipip = Forwarding::Tunnel(Tunnel::Ipip);
    assert_eq!(read_destination(captured::DEST_IPIP, Family::V4), entry("10.0.0.1:80", 10, ipip));
    let limited = Entry { thresholds: Thresholds { upper: 100, lower: 70 }, ..entry("10.0.0.2:80", 0, ipip) };
    assert_eq!(read_destination(captured::DEST_DOWN, Family::V4), limited);
    let gue = Tunnel::Gue { port: NonZeroU16::new(6080).unwrap(), checksum: Checksum::Absent };
    let gue = Forwarding::Tunnel(gue);
    assert_eq!(read_destination(captured::DEST_GUE, Family::V4), entry("10.0.0.9:80", 4, gue));
    let route = entry("[2001:db8:2::1]:443", 1, Forwarding::Route);
    assert_eq!(read_destination(captured::DEST_ROUTE_V6, Family::V6), route);
    let first = Timeouts { tcp: number(900), tcp_fin: number(120), udp: number(300) };
    assert_eq!(decode::timeouts(&bytes(captured::CONFIG)[HEADERS..]), Ok(Some(first)));
}

#[test]
fn counters_are_the_wide_ones() {
    let mut message = bytes(captured::DEST_IPIP);
    // The number of connections in STATS and in STATS64: attribute 1, of 8 and of 12 bytes.
    let at = |message: &[u8], head: [u8; 4]| {
        message
            .windows(4)
            .enumerate()
            .filter(|(_, bytes)| *bytes == head)
            .map(|(at, _)| at + 4)
            .collect::<Vec<_>>()
    };
    let narrow = *at(&message, [8, 0, 1, 0]).last().unwrap();
    let wide = *at(&message, [12, 0, 1, 0]).last().unwrap();
    message[narrow] = 5;
    message[wide..wide + 8].copy_from_slice(&(1_u64 << 40).to_ne_bytes());
    let read = decode::destination(&message[HEADERS..], Family::V4).unwrap().traffic();
    assert_eq!(read.traffic.connections, 1 << 40);
    assert_eq!((read.active, read.inactive, read.traffic.bytes_in), (0, 0, 0));
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
