//! Bytes that are none of the protocols': they end their own connection at most.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use weir_core::dns::answer::Transport;

use crate::clients::{ask, encrypted, framed, https, post, quic, request, stream, tls, www};
use crate::serve::Fixture;

/// Numbers that look like chance, the same each time.
struct Dice(u64);

impl Dice {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

/// A task that panics ends alone, so it has to be looked for.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn look_for_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name().is_some_and(|name| name.starts_with("dns ")) {
            PANICKED.store(true, Ordering::Relaxed);
        }
        usual(panic);
    }));
}

#[tokio::test]
async fn garbage_on_each_port_costs_no_other_connection() {
    look_for_panics();
    let fixture = Fixture::start();
    let (mut over_tls, mut over_https) = (tls(&fixture).await, https(&fixture).await);
    let (_endpoint, over_quic) = quic(&fixture).await;
    let mut dice = Dice(1);
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    datagrams.connect(fixture.at(Transport::Quic)).await.unwrap();
    for round in 0..50usize {
        for transport in [Transport::Tls, Transport::Https] {
            let mut stream = TcpStream::connect(fixture.at(transport)).await.unwrap();
            // A record of TLS that has no handshake in it, and no record at all.
            let head: &[u8] = if round.is_multiple_of(2) { &[22, 3, 1, 0, 200, 1, 0, 0, 196] } else { &[] };
            // It may be closed before all of it has gone.
            let _ = stream.write_all(&[head, &dice.bytes(300)].concat()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        for (transport, protocol, preface) in [
            (Transport::Tls, &b"dot"[..], &b""[..]),
            (Transport::Https, b"h2", b""),
            (Transport::Https, b"h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ] {
            let mut stream = encrypted(&fixture, transport, &[protocol]).await.unwrap();
            let _ = stream.write_all(&[preface, &dice.bytes(300)].concat()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        for first in [0xc0, 0xd0, 0xe0, 0xf0, 0x40, dice.byte()] {
            // Version 1, so that it is looked at; below 1200 bytes a handshake is not begun.
            let mut datagram = [&[first, 0, 0, 0, 1, 8], dice.bytes(1250).as_slice()].concat();
            datagram.truncate(if round.is_multiple_of(3) { 30 + round } else { 1250 });
            datagrams.send(&datagram).await.unwrap();
        }
    }
    let mut message = www(0);
    for _ in 0..200 {
        // Messages that are messages in length only.
        let at = usize::from(dice.byte()) % message.len();
        message[at] = dice.byte();
        let _ = request(&mut over_https, post(), &message).await.unwrap();
        let mut victim = tls(&fixture).await;
        let _ = ask(&mut victim, &message).await;
    }
    assert!(ask(&mut over_tls, &www(1)).await.is_ok());
    assert_eq!(request(&mut over_https, post(), &www(1)).await.unwrap().status, 200);
    assert!(stream(&over_quic, &framed(&www(0))).await.is_ok());
    drop(over_tls);
    fixture.until(|stats| stats.open == [0, 0, 1, 1]).await;
    assert!(!PANICKED.load(Ordering::Relaxed));
}
