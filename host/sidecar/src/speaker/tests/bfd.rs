//! BFD finds a neighbor, notices that it is gone, and takes the BGP session with it.

use std::net::UdpSocket;

use weir_core::bfd::{Control, State as Bfd};
use weir_core::bgp::{Cease, Notification};
use weir_core::desired::speaker;

use super::super::bfd::packet;
use super::end::{End, listen, open};
use super::*;

/// Three of them are longer than a busy machine lets a thread wait.
const EVERY: Duration = Duration::from_millis(200);

fn watched(mut one: Neighbor, port: u16) -> Neighbor {
    one.bfd = Some(speaker::Bfd { send_every: EVERY, receive_every: EVERY, port, ..speaker::Bfd::default() });
    one
}

/// A speaker that watches one neighbor; `here` and `there` are the ports of BFD.
fn watching(own: u8, other: u8, here: u16, there: u16, bgp: u16) -> Config {
    let mut config = config(own, port());
    config.bfd_listen = vec![SocketAddr::new(ip(own), here)];
    config.neighbors.push(watched(neighbor(own, other, bgp), there));
    config
}

fn bfd_is(state: Bfd) -> impl Fn(&NeighborStatus) -> bool + Copy {
    move |it| it.bfd.is_some_and(|bfd| bfd.state == state)
}

/// A port for UDP that nobody has now.
fn free() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn two_speakers_watch_each_other_and_an_end_by_will_is_no_failure() {
    let (a, b) = (free(), free());
    let (first, second) = (start(watching(50, 51, a, b, 1)), start(watching(51, 50, b, a, 1)));
    for speaker in [&first, &second] {
        let up = wait_one(speaker, "up", bfd_is(Bfd::Up)).bfd.unwrap();
        assert_eq!(up.downs, 0);
    }
    wait_one(&first, "the faster intervals", |it| it.bfd.unwrap().detection == Some(EVERY * 3));
    second.stop("");
    let down = wait_one(&first, "down", bfd_is(Bfd::Down)).bfd.unwrap();
    assert_eq!(down.diagnostic, 3, "the neighbor said so; nothing expired");
}

/// An end that keeps a BFD session up by hand.
struct Hand {
    socket: UdpSocket,
    mine: Control,
}

impl Hand {
    fn new(own: u8) -> (Self, u16) {
        let socket = UdpSocket::bind(SocketAddr::new(ip(own), 0)).unwrap();
        socket.set_ttl(255).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let mine = Control {
            state: Bfd::Down,
            diagnostic: weir_core::bfd::Diagnostic::None,
            poll: false,
            last: false,
            demand: false,
            multipoint: false,
            authenticated: false,
            multiplier: 3,
            mine: 7,
            yours: 0,
            send_every: EVERY,
            receive_every: EVERY,
        };
        (Self { socket, mine }, port)
    }

    /// Takes a packet of the speaker.
    fn take(&self) -> std::io::Result<(Control, SocketAddr)> {
        let mut bytes = [0; 64];
        let (length, from) = self.socket.recv_from(&mut bytes)?;
        Ok((packet::decode(&bytes[..length]).unwrap(), from))
    }

    /// Takes a packet of the speaker, and answers as the RFC says.
    fn answer(&mut self, to: SocketAddr) -> (Control, SocketAddr) {
        let (theirs, from) = self.take().unwrap();
        self.mine.yours = theirs.mine;
        self.mine.state = match theirs.state {
            Bfd::AdminDown => Bfd::Down,
            Bfd::Down => Bfd::Init,
            Bfd::Init | Bfd::Up => Bfd::Up,
        };
        self.mine.last = theirs.poll;
        self.socket.send_to(&packet::encode(&self.mine), to).unwrap();
        (theirs, from)
    }

    /// Brings the session up, with intervals that both have acknowledged; gives what the speaker says then.
    fn bring_up(&mut self, to: SocketAddr) -> Control {
        loop {
            let (theirs, _) = self.answer(to);
            if theirs.state == Bfd::Up && !theirs.poll {
                return theirs;
            }
        }
    }
}

#[test]
fn silence_takes_the_bgp_session_with_it_and_the_neighbor_is_told_that_it_was_bfd() {
    let (mut hand, there) = Hand::new(53);
    let (listener, bgp) = listen(53);
    let here = free();
    let speaker = start(watching(52, 53, here, there, bgp));
    let mut end = End::accept(&listener);
    end.greet(&open(53, 65000));
    end.table();
    let to = SocketAddr::new(ip(52), here);
    while !speaker.status().neighbors.iter().all(bfd_is(Bfd::Up)) {
        let (_, from) = hand.answer(to);
        assert!((49152..).contains(&from.port()), "a port of RFC 5881: {from}");
    }
    assert_eq!(end.reason(), Notification::cease(Cease::BfdDown));
    let down = wait_one(&speaker, "down", |it| it.downs == 1);
    assert!(down.last_error.unwrap().contains("BFD down"), "as the neighbor was told");
    assert_eq!((down.bfd.unwrap().downs, down.bfd.unwrap().diagnostic), (1, 1));
    // The next session does not wait for BFD, or one side alone could never turn it on.
    let mut end = End::accept(&listener);
    end.greet(&open(53, 65000));
    wait_one(&speaker, "up again", is_up);
}

#[test]
fn packets_from_afar_and_of_others_are_not_read() {
    let (hand, there) = Hand::new(55);
    let here = free();
    let speaker = start(watching(54, 55, here, there, 1));
    let to = SocketAddr::new(ip(54), here);
    wait(&speaker, "listening", |status| {
        status.listeners.iter().any(|one| one.address == to && one.error.is_none())
    });
    hand.socket.set_ttl(254).unwrap();
    hand.socket.send_to(&packet::encode(&hand.mine), to).unwrap();
    let seen = wait_one(&speaker, "refused", |it| it.bfd.is_some_and(|bfd| bfd.refused == 1)).bfd.unwrap();
    assert_eq!((seen.received, seen.state), (0, Bfd::Down));
    let (stranger, _) = Hand::new(56);
    stranger.socket.send_to(&packet::encode(&stranger.mine), to).unwrap();
    hand.socket.set_ttl(255).unwrap();
    hand.socket.send_to(&packet::encode(&hand.mine), to).unwrap();
    let seen = wait_one(&speaker, "taken", |it| it.bfd.is_some_and(|bfd| bfd.received == 1)).bfd.unwrap();
    assert_eq!(seen.refused, 1, "a stranger's packet is nobody's");
}

#[test]
fn changed_intervals_are_agreed_on_while_the_session_stays_up() {
    let (mut hand, there) = Hand::new(61);
    let here = free();
    let mut wanted = watching(60, 61, here, there, 1);
    let mut speaker = start(wanted.clone());
    let to = SocketAddr::new(ip(60), here);
    let before = hand.bring_up(to);
    let slower = speaker::Bfd { send_every: EVERY * 2, ..wanted.neighbors[0].bfd.unwrap() };
    wanted.neighbors[0].bfd = Some(speaker::Bfd { multiplier: 4, ..slower });
    speaker.set(wanted).unwrap();
    let mut polled = false;
    loop {
        let (said, _) = hand.answer(to);
        assert_eq!((said.state, said.mine), (Bfd::Up, before.mine), "the same session");
        polled |= said.poll;
        if said.send_every == EVERY * 2 && !said.poll {
            assert!(polled, "the neighbor was asked to follow");
            assert_eq!(said.multiplier, 4);
            break;
        }
    }
    assert_eq!(wait_one(&speaker, "up", bfd_is(Bfd::Up)).bfd.unwrap().downs, 0);
}

#[test]
fn a_neighbor_that_is_not_watched_any_more_is_told_so_until_it_would_have_missed_us() {
    let (mut hand, there) = Hand::new(63);
    let here = free();
    let mut wanted = watching(62, 63, here, there, 1);
    let mut speaker = start(wanted.clone());
    hand.bring_up(SocketAddr::new(ip(62), here));
    wanted.neighbors[0].bfd = None;
    speaker.set(wanted).unwrap();
    wait_one(&speaker, "not watched", |it| it.bfd.is_none());
    // Some were on their way; each of the others but one may be lost.
    let mut told = 0;
    while told < 3 {
        let (said, _) = hand.take().unwrap();
        assert!(said.state == Bfd::AdminDown || told == 0, "{said:?}");
        told += u32::from(said.state == Bfd::AdminDown);
    }
    // A session that nobody needs would send one a second.
    hand.socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert!((0..3).any(|_| hand.take().is_err()), "it is over");
}

#[test]
fn who_stops_waits_until_its_neighbors_know() {
    let (mut hand, there) = Hand::new(65);
    let here = free();
    let speaker = start(watching(64, 65, here, there, 1));
    hand.bring_up(SocketAddr::new(ip(64), here));
    speaker.stop("");
    hand.socket.set_nonblocking(true).unwrap();
    let said = std::iter::from_fn(|| hand.take().ok()).filter(|(said, _)| said.state == Bfd::AdminDown);
    assert!(said.count() >= 2, "the first one may be lost");
}
