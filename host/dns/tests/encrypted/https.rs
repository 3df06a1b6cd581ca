//! DNS over HTTPS (RFC 8484).

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_core::dns::answer::Transport;

use crate::clients::{base64url, encrypted, https, post, query, request, tcp, www};
use crate::serve::{Fixture, HOST};

fn get(query: &str) -> http::request::Builder {
    http::Request::get(format!("https://{HOST}/dns-query{query}"))
}

#[tokio::test]
async fn a_query_by_either_method_has_the_answer_that_it_has_over_tcp() {
    let fixture = Fixture::start();
    let mut send = https(&fixture).await;
    for (message, age) in [
        (www(0), 60),
        (query(0, "www.a.test", 28, None), 30),
        (query(0, "none.a.test", 1, None), 5),
        (query(0, "elsewhere.test", 1, None), 0),
        (query(0, "large.a.test", 16, None), 60),
    ] {
        let want = tcp(&fixture, &message).await;
        for response in [
            request(&mut send, post(), &message).await.unwrap(),
            request(&mut send, get(&format!("?dns={}", base64url(&message))), &[]).await.unwrap(),
        ] {
            assert_eq!((response.status, response.body == want), (200, true));
            assert_eq!(response.kind.as_deref(), Some("application/dns-message"));
            assert_eq!(response.cache, Some(format!("max-age={age}")));
        }
    }
    fixture.until(|stats| stats.queries == [0, 5, 0, 10, 0]).await;
}

#[tokio::test]
async fn many_queries_of_one_connection_are_answered_beside_each_other() {
    let fixture = Fixture::start();
    let send = https(&fixture).await;
    let mut requests = tokio::task::JoinSet::new();
    for id in 0..100 {
        let mut send = send.clone();
        requests.spawn(async move {
            let response = request(&mut send, post(), &query(id, "large.a.test", 16, None)).await.unwrap();
            (id, response)
        });
    }
    while let Some(done) = requests.join_next().await {
        let (id, response) = done.unwrap();
        assert_eq!((&response.body[..2], response.body.len() > 50_000), (&id.to_be_bytes()[..], true));
    }
}

#[tokio::test]
async fn a_request_that_is_reset_waits_for_nothing_and_is_not_answered() {
    let fixture = Fixture::start();
    // Takes nothing of any answer, so that those who ask first keep the others waiting.
    let stream = encrypted(&fixture, Transport::Https, &[b"h2"]).await.unwrap();
    let (send, mut connection) =
        h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
    let mut ping = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let mut ask = || {
        let (response, mut stream) = send.send_request(post().body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::from(www(0)), true).unwrap();
        (response, stream)
    };
    let first: Vec<_> = (0..4).map(|_| ask()).collect();
    fixture.until(|stats| stats.queries[Transport::Https.index()] == 4).await;
    let mut others: Vec<_> = (0..50).map(|_| ask()).collect();
    // The server has them all before it hears of any end.
    ping.ping(h2::Ping::opaque()).await.unwrap();
    others.iter_mut().for_each(|(_, stream)| stream.send_reset(h2::Reason::CANCEL));
    let (last, _stream) = ask();
    ping.ping(h2::Ping::opaque()).await.unwrap();
    drop(first);
    // It comes behind all of them.
    assert_eq!(last.await.unwrap().status(), 200);
    fixture.until(|stats| stats.queries[Transport::Https.index()] >= 5).await;
    assert_eq!(fixture.server.stats().queries[Transport::Https.index()], 5);
}

#[tokio::test]
async fn long_bodies_one_after_the_other_and_together_find_room() {
    let fixture = Fixture::start();
    let mut send = https(&fixture).await;
    // What stands behind a query is ignored.
    let long = [www(0), vec![0; 60_000]].concat();
    for _ in 0..20 {
        assert_eq!(request(&mut send, post(), &long).await.unwrap().status, 200);
    }
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (mut send, long) = (send.clone(), long.clone());
        requests.spawn(async move { request(&mut send, post(), &long).await.unwrap().status });
    }
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_request_without_a_query_gets_the_status_that_says_why() {
    let fixture = Fixture::start();
    let mut send = https(&fixture).await;
    let dns = format!("?dns={}", base64url(&www(0)));
    let elsewhere = |path: &str| {
        http::Request::post(format!("https://{HOST}{path}")).header("content-type", "application/dns-message")
    };
    let mut answer = www(0);
    answer[2] |= 0x80;
    for (head, body, status) in [
        (elsewhere("/"), www(0), 404),
        (elsewhere("/dns-query/x"), www(0), 404),
        (get(&dns).method("PUT"), vec![], 405),
        (http::Request::post(format!("https://{HOST}/dns-query")), www(0), 415),
        (get(""), vec![], 400),
        (get("?dns=%41"), vec![], 400),
        (get("?dns=AAAA"), vec![], 400),
        (post(), vec![], 400),
        (post(), answer, 400),
        (post(), vec![0; 65_536], 413),
        (post().header("content-length", "65536"), vec![], 413),
    ] {
        let said = format!("{head:?}");
        // What a length promises must come, or the client ends the stream itself.
        let got = if said.contains("content-length") {
            let (response, stream) = send.send_request(head.body(()).unwrap(), false).unwrap();
            let status = response.await.unwrap().status().as_u16();
            drop(stream);
            status
        } else {
            let response = request(&mut send, head, &body).await.unwrap();
            assert_eq!((response.kind.as_deref(), response.cache), (Some("text/plain"), None));
            response.status
        };
        assert_eq!(got, status, "{said}");
    }
    // None of it costs the connection.
    assert_eq!(request(&mut send, post(), &www(0)).await.unwrap().status, 200);
    // A head without end is refused before it is kept.
    let long = request(&mut send, get(&format!("?dns={}", "A".repeat(60_000))), &[]).await;
    assert!(long.map_or(true, |response| response.status == 431));
}

#[tokio::test]
async fn whoever_does_not_name_http2_is_not_kept_waiting() {
    let fixture = Fixture::start();
    let mut stream = encrypted(&fixture, Transport::Https, &[]).await.unwrap();
    let _ = stream.write_all(b"GET /dns-query HTTP/1.1\r\n\r\n").await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    assert!(read.is_empty());
    assert!(encrypted(&fixture, Transport::Https, &[b"http/1.1"]).await.is_err());
}
