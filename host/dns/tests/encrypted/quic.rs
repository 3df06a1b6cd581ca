//! DNS over QUIC (RFC 9250).

use quinn::{ConnectionError, VarInt};

use crate::clients::{framed, query, quic, stream, tcp, www};
use crate::serve::Fixture;

/// `DOQ_PROTOCOL_ERROR` (RFC 9250 §8.4).
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);

#[tokio::test]
async fn a_query_has_the_answer_that_it_has_over_tcp() {
    let fixture = Fixture::start();
    let (_endpoint, connection) = quic(&fixture).await;
    for message in [www(0), query(0, "large.a.test", 16, Some(&[])), query(0, "none.a.test", 1, None)] {
        assert_eq!(
            stream(&connection, &framed(&message)).await.unwrap(),
            framed(&tcp(&fixture, &message).await)
        );
    }
    // Malformed is no affair of QUIC's.
    let malformed = www(0)[..20].to_vec();
    assert_eq!(stream(&connection, &framed(&malformed)).await.unwrap()[5] & 15, 1);
    fixture.until(|stats| stats.queries == [0, 3, 0, 0, 4]).await;
}

#[tokio::test]
async fn many_queries_of_one_connection_are_answered_beside_each_other() {
    let fixture = Fixture::start();
    let (_endpoint, connection) = quic(&fixture).await;
    // One that does not end yet keeps no other waiting.
    let (mut slow, mut late) = connection.open_bi().await.unwrap();
    slow.write_all(&framed(&www(0))[..5]).await.unwrap();
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..150 {
        let connection = connection.clone();
        streams.spawn(async move {
            stream(&connection, &framed(&query(0, "large.a.test", 16, None))).await.unwrap().len()
        });
    }
    while let Some(length) = streams.join_next().await {
        assert!(length.unwrap() > 50_000);
    }
    slow.write_all(&framed(&www(0))[5..]).await.unwrap();
    slow.finish().unwrap();
    assert_eq!(late.read_to_end(1000).await.unwrap(), framed(&tcp(&fixture, &www(0)).await));
}

#[tokio::test]
async fn what_the_protocol_forbids_ends_the_connection() {
    let fixture = Fixture::start();
    for (why, bytes) in [
        ("a number", framed(&www(1))),
        ("two queries", [framed(&www(0)), framed(&www(0))].concat()),
        ("half a query", framed(&www(0))[..20].to_vec()),
        ("nothing", vec![]),
        ("keepalive", framed(&query(0, "www.a.test", 1, Some(&[0, 11, 0, 0])))),
        ("more than a message can be", vec![0; 65_538]),
    ] {
        let (_endpoint, connection) = quic(&fixture).await;
        let _ = stream(&connection, &bytes).await;
        let ConnectionError::ApplicationClosed(closed) = connection.closed().await else {
            panic!("{why}: not closed by the server")
        };
        assert_eq!(closed.error_code, PROTOCOL_ERROR, "{why}");
    }
    let (_endpoint, connection) = quic(&fixture).await;
    assert!(stream(&connection, &framed(&www(0))).await.is_ok());
}
