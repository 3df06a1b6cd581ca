//! Speakers on the loopback: two of ours with each other, and ours with ends that say exactly what a test wants.
//!
//! Nothing here waits for a fixed time but where *nothing* shall happen.

mod bfd;
mod end;
mod guard;
mod sessions;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use weir_core::bgp::State;
use weir_core::desired::speaker::{Config, Neighbor, NeighborStatus, Route, Status};

use super::Speaker;

/// Far longer than anything takes; only a failure is that slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this machine that is none of another test's.
fn ip(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 77, number).into()
}

/// A port that nobody has now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A speaker at an address that waits for connections there.
fn config(own: u8, port: u16) -> Config {
    let mut config = Config::new(65000, Ipv4Addr::new(192, 0, 2, own));
    config.listen.push(SocketAddr::new(ip(own), port));
    config.bfd_listen.clear();
    config
}

/// Seen from `own`, by a name that is its address.
fn neighbor(own: u8, other: u8, port: u16) -> Neighbor {
    Neighbor {
        port,
        local: Some(ip(own)),
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_millis(200),
        ..Neighbor::new(ip(other).to_string(), ip(other), 65000)
    }
}

fn route(text: &str) -> Route {
    Route::of(text.parse().unwrap())
}

fn start(config: Config) -> Speaker {
    let mut speaker = Speaker::start(|| Ok(())).unwrap();
    speaker.set(config).unwrap();
    speaker
}

/// Waits until this is so.
fn wait(speaker: &Speaker, what: &str, mut so: impl FnMut(&Status) -> bool) -> Status {
    let begin = Instant::now();
    loop {
        let status = speaker.status();
        if so(&status) {
            return status;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: {status:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until this is so of the only neighbor.
fn wait_one(speaker: &Speaker, what: &str, mut so: impl FnMut(&NeighborStatus) -> bool) -> NeighborStatus {
    let mut status = wait(speaker, what, |status| status.neighbors.len() == 1 && so(&status.neighbors[0]));
    status.neighbors.remove(0)
}

fn is_up(one: &NeighborStatus) -> bool {
    one.state == State::Established
}
