//! A crowd against peers that misbehave in one way each, on loopback. A run ends after a number of ends, not of seconds.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::clients::orders::channel_of_orders;
use crate::server::DemoServer;
use crate::server::pattern::fill;

/// One connection after the other, downloads only, fast and impatient.
fn plan(destination: SocketAddr) -> Plan {
    Plan {
        sources: vec![destination.ip()],
        destinations: vec![destination],
        connections: 1,
        uploads_share: 0.0,
        steady_share: 1.0,
        body_bytes: 20_000,
        piece_bytes: 4096,
        interval_ms: 2,
        probe_every_ms: 0,
        stall_ms: 100,
        ends_after: Some(4),
        // A test that hangs fails instead.
        for_ms: Some(20_000),
        ..Plan::default()
    }
}

fn ran(plan: Plan) -> Timeline {
    let (_giver, orders) = channel_of_orders().unwrap();
    run(plan, orders, &mut |_| {}).unwrap()
}

/// Reads a request and answers with a head and half of the body, then does something with the connection.
fn peer(then: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let Some(seed) = text.split('/').nth(2).and_then(|seed| seed.parse().ok()) else { continue };
            let mut half = vec![0; 10_000];
            fill(seed, 0, &mut half);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n"));
            drop(stream.write_all(&half));
            then(stream);
        }
    });
    address
}

fn broken(timeline: &Timeline) -> Vec<Outcome> {
    timeline.breaks.iter().map(|each| each.outcome).collect()
}

#[test]
fn a_reset_is_counted_as_one() {
    let address = peer(|stream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    // Whether the client saw the answer's head before the reset is up to chance, so is whether it counts as broken or
    // as failed; it is a reset either way.
    let timeline = ran(plan(address));
    assert_eq!(timeline.outcomes, [(Outcome::Reset, 4)].into());
    let failed: u64 = timeline.attempts.iter().map(|each| each.failed).sum();
    assert_eq!(timeline.breaks.len() as u64 + failed, 4);
}

#[test]
fn a_reset_of_an_upload_breaks_it_for_it_was_established_when_it_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.read(&mut [0; 100]));
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    let timeline = ran(Plan { uploads_share: 1.0, ..plan(address) });
    assert_eq!(broken(&timeline), [Outcome::Reset; 4]);
    assert!(timeline.breaks.iter().all(|each| each.upload && each.destination == address));
}

#[test]
fn a_connection_on_which_nothing_moves_has_stalled() {
    let (held, holding) = std::sync::mpsc::channel();
    let address = peer(move |stream| drop(held.send(stream)));
    let timeline = ran(plan(address));
    assert_eq!(broken(&timeline), [Outcome::Stalled; 4]);
    for each in &timeline.breaks {
        assert!(each.at_ms - each.last_ms >= 100, "{each:?}");
        assert_eq!(each.bytes, 10_000);
    }
    drop(holding);
}

#[test]
fn an_end_in_the_middle_is_early() {
    assert_eq!(broken(&ran(plan(peer(drop)))), [Outcome::ClosedEarly; 4]);
}

#[test]
fn a_byte_that_is_another_is_wrong_content() {
    let address = peer(|mut stream| drop(stream.write_all(&[0; 10_000])));
    let timeline = ran(plan(address));
    assert_eq!(broken(&timeline), [Outcome::WrongContent; 4]);
}

#[test]
fn a_port_on_which_nobody_listens_refuses_and_that_breaks_nothing() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let timeline = ran(plan(address));
    assert_eq!(timeline.outcomes, [(Outcome::Refused, 4)].into());
    assert_eq!(timeline.breaks, []);
    assert_eq!(timeline.attempts.iter().map(|each| each.failed).sum::<u64>(), 4);
}

#[test]
fn a_status_other_than_200_is_a_failure_with_its_number() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let timeline = ran(plan(address));
    assert_eq!(timeline.outcomes, [(Outcome::WrongStatus, 4)].into());
    assert_eq!(timeline.statuses, [(503, 4)].into());
}

#[test]
fn downloads_and_uploads_over_both_families_are_right_to_their_last_byte() {
    let four = DemoServer::start("four").unwrap();
    let six = DemoServer::start_at("six", (Ipv6Addr::LOCALHOST, 0).into()).unwrap();
    let timeline = ran(Plan {
        sources: vec![four.address.ip(), six.address.ip()],
        destinations: vec![four.address, six.address],
        connections: 8,
        uploads_share: 0.5,
        probe_every_ms: 5,
        stall_ms: 10_000,
        ends_after: Some(200),
        ..plan(four.address)
    });
    assert!(timeline.outcomes.keys().eq([&Outcome::Ok]), "{:?}", timeline.outcomes);
    assert!(timeline.outcomes[&Outcome::Ok] >= 200);
    assert!(timeline.by_family["ipv4"][&Outcome::Ok] > 20 && timeline.by_family["ipv6"][&Outcome::Ok] > 20);
    assert!(timeline.by_server.contains_key("four") && timeline.by_server.contains_key("six"));
    assert!(timeline.bytes_up > 20_000 && timeline.bytes_down > 20_000);
}

#[test]
fn a_mark_is_told_with_what_is_open_and_stop_ends_the_run() {
    let server = DemoServer::start("a").unwrap();
    let (mut giver, orders) = channel_of_orders().unwrap();
    let plan = Plan { ends_after: None, body_bytes: 1 << 20, interval_ms: 50, ..plan(server.address) };
    let mut marked = None;
    let timeline = run(plan, orders, &mut |line| match line {
        // Whatever a program does on a line, the clients see on their next turn.
        Line::Second(_) => giver.give(Order::Mark("now".into())),
        Line::Marked(mark) if marked.is_none() => {
            marked = Some(mark.clone());
            giver.give(Order::Stop);
        }
        _ => {}
    })
    .unwrap();
    assert_eq!(marked.as_ref().map(|mark| (mark.label.as_str(), mark.open)), Some(("now", 1)));
    assert_eq!(timeline.mark("now"), marked.as_ref());
    assert!(timeline.lasted_ms < 15_000);
}

#[test]
fn a_source_that_is_not_here_is_named_before_anything_begins() {
    let address = "192.0.2.77".parse().unwrap();
    let plan = Plan { sources: vec![address], ..plan("192.0.2.1:80".parse().unwrap()) };
    let (_giver, orders) = channel_of_orders().unwrap();
    let error = run(plan, orders, &mut |_| {}).err().unwrap();
    assert!(format!("{error:#}").contains("192.0.2.77"), "{error:#}");
}
