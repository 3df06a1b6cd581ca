//! Connections that are too many, or never begin.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};
use weir_core::dns::answer::Transport;

use crate::clients::{ask, framed, https, post, quic, quic_endpoint, request, stream, tls, www};
use crate::serve::{Fixture, HOST};

#[tokio::test]
async fn the_connection_that_has_been_idle_for_longest_makes_room() {
    let fixture = Fixture::with(|options| options.connections = 2);

    let (mut first, mut second) = (tls(&fixture).await, tls(&fixture).await);
    assert!(ask(&mut second, &www(1)).await.is_ok() && ask(&mut first, &www(1)).await.is_ok());
    let mut third = tls(&fixture).await;
    assert!(ask(&mut third, &www(1)).await.is_ok());
    assert!(!matches!(second.read(&mut [0]).await, Ok(1..)));
    assert!(ask(&mut first, &www(1)).await.is_ok());

    let (mut first, mut second) = (https(&fixture).await, https(&fixture).await);
    for send in [&mut second, &mut first] {
        assert_eq!(request(send, post(), &www(1)).await.unwrap().status, 200);
    }
    let mut third = https(&fixture).await;
    assert_eq!(request(&mut third, post(), &www(1)).await.unwrap().status, 200);
    assert!(request(&mut second, post(), &www(1)).await.is_err());
    assert_eq!(request(&mut first, post(), &www(1)).await.unwrap().status, 200);

    let (first, second) = (quic(&fixture).await, quic(&fixture).await);
    for (_, connection) in [&second, &first] {
        assert!(stream(connection, &framed(&www(0))).await.is_ok());
    }
    let third = quic(&fixture).await;
    assert!(stream(&third.1, &framed(&www(0))).await.is_ok());
    let quinn::ConnectionError::ApplicationClosed(closed) = second.1.closed().await else {
        panic!("not closed")
    };
    assert_eq!(closed.error_code, quinn::VarInt::from_u32(4), "DOQ_EXCESSIVE_LOAD");
    assert!(stream(&first.1, &framed(&www(0))).await.is_ok());

    fixture.until(|stats| stats.evicted == [0, 1, 1, 1] && stats.open == [0, 2, 2, 2]).await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends_within_its_limit() {
    let fixture = Fixture::with(|options| {
        if let Some(encrypted) = &mut options.encrypted {
            encrypted.handshake = Duration::from_millis(100);
        }
    });
    for transport in [Transport::Tls, Transport::Https] {
        let mut silent = TcpStream::connect(fixture.at(transport)).await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "{transport:?}");
    }
    half_a_handshake(&fixture).await;
    fixture.until(|stats| stats.handshakes_failed == 3 && stats.open == [0; 4]).await;
}

#[tokio::test]
async fn a_client_that_is_silent_in_its_handshake_keeps_nobody_waiting() {
    // Its limit is a minute: whoever waits for it does not end.
    let fixture = Fixture::start();
    half_a_handshake(&fixture).await;
    let _silent = TcpStream::connect(fixture.at(Transport::Tls)).await.unwrap();
    let (_endpoint, connection) = quic(&fixture).await;
    assert!(stream(&connection, &framed(&www(0))).await.is_ok());
    assert!(ask(&mut tls(&fixture).await, &www(0)).await.is_ok());
}

/// Sends the first datagram of a QUIC handshake and takes no answer.
async fn half_a_handshake(fixture: &Fixture) {
    let hole = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = quic_endpoint(fixture);
    let _connecting = endpoint.connect(hole.local_addr().unwrap(), HOST).unwrap();
    let mut first = vec![0; 2000];
    let length = hole.recv(&mut first).await.unwrap();
    hole.send_to(&first[..length], fixture.at(Transport::Quic)).await.unwrap();
    fixture.until(|stats| stats.connections[3] == 1).await;
}
