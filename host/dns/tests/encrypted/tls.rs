//! DNS over TLS (RFC 7858).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_core::dns::answer::Transport;

use crate::clients::{answer, ask, encrypted, framed, query, tcp, tls, www};
use crate::serve::Fixture;

#[tokio::test]
async fn a_query_has_the_answer_that_it_has_over_tcp() {
    let fixture = Fixture::start();
    let mut stream = tls(&fixture).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"dot"[..]));
    for message in [www(7), query(8, "large.a.test", 16, Some(&[])), query(9, "none.a.test", 1, None)] {
        assert_eq!(ask(&mut stream, &message).await.unwrap(), tcp(&fixture, &message).await);
    }
    // The protocol need not be named; another one is refused.
    let mut unnamed = encrypted(&fixture, Transport::Tls, &[]).await.unwrap();
    assert!(ask(&mut unnamed, &www(7)).await.is_ok());
    assert!(encrypted(&fixture, Transport::Tls, &[b"h2"]).await.is_err());
    fixture.until(|stats| stats.queries == [0, 3, 4, 0, 0] && stats.handshakes_failed == 1).await;
}

#[tokio::test]
async fn queries_that_come_together_are_answered_in_their_order() {
    let fixture = Fixture::start();
    let mut stream = tls(&fixture).await;
    let all: Vec<u8> = (0..200).flat_map(|id| framed(&query(id, "large.a.test", 16, None))).collect();
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let sent = async {
        write.write_all(&all).await.unwrap();
        write.flush().await.unwrap();
    };
    let received = async {
        for id in 0..200u16 {
            let answer = answer(&mut read).await.unwrap();
            assert_eq!((&answer[..2], answer.len() > 50_000), (&id.to_be_bytes()[..], true));
        }
    };
    tokio::join!(sent, received);
}

#[tokio::test]
async fn what_is_no_query_ends_the_connection_with_a_word() {
    let fixture = Fixture::start();
    let mut stream = tls(&fixture).await;
    stream.write_all(&framed(b"no query")).await.unwrap();
    // A connection that ends without the word is an error here.
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}
