//! Clients of each transport, and queries.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_core::dns::answer::Transport;
use weir_core::dns::name::Name;

use crate::serve::{Fixture, HOST};

/// A query for the addresses of `www.a.test`.
pub(crate) fn www(id: u16) -> Vec<u8> {
    query(id, "www.a.test", 1, None)
}

/// A query of this type, with these options.
pub(crate) fn query(id: u16, name: &str, kind: u16, options: Option<&[u8]>) -> Vec<u8> {
    let additionals = u8::from(options.is_some());
    let mut bytes = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, additionals]].concat();
    bytes.extend_from_slice(Name::parse(name).unwrap().as_wire());
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    if let Some(options) = options {
        bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0]);
        bytes.extend_from_slice(&u16::try_from(options.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(options);
    }
    bytes
}

/// A message with its length before it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// Sends one query and reads one answer.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    message: &[u8],
) -> io::Result<Vec<u8>> {
    stream.write_all(&framed(message)).await?;
    stream.flush().await?;
    answer(stream).await
}

/// Reads one answer.
pub(crate) async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

pub(crate) async fn tcp(fixture: &Fixture, message: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(fixture.at(Transport::Tcp)).await.unwrap();
    ask(&mut stream, message).await.unwrap()
}

pub(crate) fn config(fixture: &Fixture, protocols: &[&[u8]]) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(fixture.roots()).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// A connection over which TLS has been agreed on.
pub(crate) async fn encrypted(
    fixture: &Fixture,
    transport: Transport,
    protocols: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(fixture.at(transport)).await?;
    let connector = TlsConnector::from(Arc::new(config(fixture, protocols)));
    connector.connect(HOST.try_into().unwrap(), stream).await
}

pub(crate) async fn tls(fixture: &Fixture) -> TlsStream<TcpStream> {
    encrypted(fixture, Transport::Tls, &[b"dot"]).await.unwrap()
}

/// An HTTP/2 connection, which something drives.
pub(crate) async fn https(fixture: &Fixture) -> SendRequest<Bytes> {
    let stream = encrypted(fixture, Transport::Https, &[b"h2"]).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    send.ready().await.unwrap()
}

/// What came of a request: status, `cache-control`, `content-type`, body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) cache: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) async fn request(
    send: &mut SendRequest<Bytes>,
    head: http::request::Builder,
    body: &[u8],
) -> Result<Response, h2::Error> {
    let (response, mut stream) = send.send_request(head.body(()).unwrap(), body.is_empty())?;
    if !body.is_empty() {
        // It may be refused before all of it has gone.
        let _ = stream.send_data(Bytes::copy_from_slice(body), true);
    }
    let (head, mut incoming) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(part) = incoming.data().await {
        let part = part?;
        incoming.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Ok(Response {
        status: head.status.as_u16(),
        cache: header("cache-control"),
        kind: header("content-type"),
        body,
    })
}

pub(crate) fn post() -> http::request::Builder {
    let head = http::Request::post(format!("https://{HOST}/dns-query"));
    head.header("content-type", "application/dns-message")
}

/// What `dns=` is given.
pub(crate) fn base64url(message: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |bits: u32| char::from(DIGITS[usize::try_from(bits & 63).unwrap()]);
    let mut text = String::new();
    for chunk in message.chunks(3) {
        let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        text.extend([18, 12, 6, 0].into_iter().take(chunk.len() + 1).map(|shift| digit(bits >> shift)));
    }
    text
}

/// An endpoint for clients. Connections live no longer than it.
pub(crate) fn quic_endpoint(fixture: &Fixture) -> quinn::Endpoint {
    let crypto = QuicClientConfig::try_from(config(fixture, &[b"doq"])).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint
}

pub(crate) async fn quic(fixture: &Fixture) -> (quinn::Endpoint, quinn::Connection) {
    let endpoint = quic_endpoint(fixture);
    let connection = endpoint.connect(fixture.at(Transport::Quic), HOST).unwrap().await.unwrap();
    (endpoint, connection)
}

/// Sends these bytes on a stream of their own, and reads what comes.
pub(crate) async fn stream(connection: &quinn::Connection, bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(bytes).await?;
    send.finish()?;
    Ok(receive.read_to_end(70_000).await?)
}
