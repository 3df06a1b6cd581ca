//! What only the thread itself can be asked for.

use std::time::Duration;

use socket2::SockRef;

use super::*;

#[test]
fn packets_that_the_runtime_was_not_told_of_are_read_before_time_passes() {
    let neighbor = std::net::UdpSocket::bind("127.0.77.57:0").unwrap();
    neighbor.set_ttl(255).unwrap();
    let from = neighbor.local_addr().unwrap();
    let every = Duration::from_millis(300);
    let said = Control {
        state: State::Down,
        diagnostic: Diagnostic::None,
        poll: false,
        last: false,
        demand: false,
        multipoint: false,
        authenticated: false,
        multiplier: 3,
        mine: 7,
        yours: 0,
        send_every: every,
        receive_every: every,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Nothing is waited for in here, so nobody asks the kernel for news: as where a process that was stopped goes on.
        let clock = Clock::start();
        let (reports, _reported) = mpsc::unbounded_channel();
        let mut watch = Watch::new(clock, Board::new(clock), reports);
        watch.listen(&["127.0.77.58:0".parse().unwrap()]);
        let settings = Settings::default();
        watch.watch(vec![Peer { address: from.ip(), port: from.port(), local: None, settings }]);
        let socket = &watch.sockets[0].1;
        neighbor.send_to(&packet::encode(&said), socket.local_addr().unwrap()).unwrap();
        while SockRef::from(socket).peek(&mut [std::mem::MaybeUninit::uninit()]).is_err() {}
        watch.let_time_pass();
        let watched = &watch.sessions[&from.ip()];
        assert_eq!((watched.received, watched.session.state()), (1, State::Init));
    });
}
