//! What EDNS says over each transport.

use hickory_server::proto::op::Message;
use hickory_server::proto::rr::rdata::opt::EdnsCode;

use crate::clients::{ask, framed, https, post, query, quic, request, stream, tcp, tls};
use crate::serve::Fixture;

const KEEPALIVE: [u8; 4] = [0, 11, 0, 0];
const PADDING: [u8; 8] = [0, 12, 0, 4, 0, 0, 0, 0];

/// Length of the answer, whether it tells how long a connection is kept, whether it is padded.
fn said(answer: &[u8]) -> (usize, bool, bool) {
    // Read by somebody else's code.
    let read = Message::from_vec(answer).unwrap();
    let options = read.edns.as_ref().unwrap().options();
    (answer.len(), options.get(EdnsCode::Keepalive).is_some(), options.get(EdnsCode::Padding).is_some())
}

#[tokio::test]
async fn padding_is_for_encrypted_answers_and_keepalive_where_tcp_is_all_there_is() {
    let fixture = Fixture::start();
    let both = query(0, "www.a.test", 1, Some(&[&KEEPALIVE[..], &PADDING].concat()));
    let (length, keepalive, padding) = said(&tcp(&fixture, &both).await);
    assert_eq!((length < 468, keepalive, padding), (true, true, false));

    let (length, keepalive, padding) = said(&ask(&mut tls(&fixture).await, &both).await.unwrap());
    assert_eq!((length, keepalive, padding), (468, true, true));

    let response = request(&mut https(&fixture).await, post(), &both).await.unwrap();
    let (length, keepalive, padding) = said(&response.body);
    assert_eq!((length, keepalive, padding), (468, false, true));

    // A query over QUIC must not ask for keepalive at all.
    let (_endpoint, connection) = quic(&fixture).await;
    let padded = framed(&query(0, "www.a.test", 1, Some(&PADDING)));
    let (length, keepalive, padding) = said(&stream(&connection, &padded).await.unwrap()[2..]);
    assert_eq!((length, keepalive, padding), (468, false, true));
    let plain = framed(&query(0, "www.a.test", 1, Some(&[])));
    assert!(!said(&stream(&connection, &plain).await.unwrap()[2..]).2);
}
