//! The demo server: the application behind the proxy. It answers at once, says who it is, and can be slow on request.
//!
//! A blocking thread for each connection: with keep-alive that is one read and one write for each request, the
//! fewest system calls there can be, so that in a measurement the proxy is the bottleneck and not the server.
//!
//! | path | answer |
//! |---|---|
//! | `/slow?ms=N` | after N milliseconds (default 1000, at most 60000) |
//! | `/status/NNN` | with this status |
//! | `/plain` | two bytes of text, made beforehand: for measurements |
//! | `/stream/SEED/SIZE`, `/10M` | a body of [`pattern`], as fast as the client reads |
//! | `/upload/SEED` | takes a body of [`pattern`], says how many bytes were right |
//! | any other | a JSON object with the server's name, the request line and its headers |

mod content;
pub(crate) mod pattern;

pub(crate) use content::size_of;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use content::Content;

const MAX_HEADERS: usize = 100;
const MAX_REQUEST: usize = 1 << 20;

/// A running server. It stops, connections and all, when dropped.
pub(crate) struct DemoServer {
    /// The name that every answer carries.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    plain: Vec<u8>,
    stopping: AtomicBool,
    served: AtomicU64,
    /// Open connections by number, to be closed at the end.
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl DemoServer {
    /// Starts a server on a free loopback port.
    pub(crate) fn start(name: &str) -> Result<Self> {
        Self::start_at(name, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts a server on this address.
    pub(crate) fn start_at(name: &str, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("server {name}: cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            plain: answer(name, 200, "text/plain", b"ok"),
            stopping: AtomicBool::new(false),
            served: AtomicU64::new(0),
            open: Mutex::new(HashMap::new()),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { name: name.to_owned(), address, shared })
    }

    /// Requests answered so far, health checks among them.
    pub(crate) fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // A connection of our own wakes the accepting thread, which then sees that it is to stop.
        drop(TcpStream::connect(self.address));
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, stream) in (0u64..).zip(listener.incoming()) {
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(copy) = stream.try_clone() {
            shared.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, copy);
        }
        let serving = Arc::clone(shared);
        let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            // An error here is the peer's hanging up.
            drop(serve(stream, &serving));
            serving.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        });
        drop(thread);
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(4096);
    let mut piece = [0; 4096];
    loop {
        if let Some((head, body, request)) = parsed(&buffer) {
            if let Some(content) = Content::of(&request.target) {
                shared.served.fetch_add(1, Ordering::Relaxed);
                if !request.exchanged(content, &mut stream, &mut buffer, (head, body), shared)? {
                    return Ok(());
                }
                continue;
            }
            if buffer.len() - head < body {
                if !read_more(&mut stream, &mut buffer, &mut piece)? {
                    return Ok(());
                }
                continue;
            }
            buffer.drain(..head + body);
            shared.served.fetch_add(1, Ordering::Relaxed);
            let (bytes, keep_alive) = request.answered(shared);
            stream.write_all(bytes.as_ref().map_or(&shared.plain, |bytes| bytes))?;
            if !keep_alive {
                return Ok(());
            }
            continue;
        }
        if !read_more(&mut stream, &mut buffer, &mut piece)? {
            return Ok(());
        }
    }
}

/// Whether more came, within the bound on a request.
fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>, piece: &mut [u8]) -> std::io::Result<bool> {
    let length = stream.read(piece)?;
    buffer.extend(piece.iter().take(length));
    Ok(length > 0 && buffer.len() <= MAX_REQUEST)
}

/// A request whose head is there.
struct Request {
    method: String,
    target: String,
    keep_alive: bool,
    /// Lower-case names; a name that came twice has the values joined.
    headers: Vec<(String, String)>,
    /// The line of PROXY protocol version 1 before the request, where there was one.
    proxied: Option<String>,
}

/// The first request of the buffer, and the bytes of its head and of its body.
fn parsed(buffer: &[u8]) -> Option<(usize, usize, Request)> {
    let mut skipped = 0;
    let mut proxied = None;
    if buffer.starts_with(b"PROXY ") {
        let end = buffer.windows(2).position(|pair| pair == b"\r\n")?;
        proxied = buffer.get(..end).map(|line| String::from_utf8_lossy(line).into_owned());
        skipped = end + 2;
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(buffer.get(skipped..)?).ok()? else { return None };
    let mut body = 0;
    let mut keep_alive = request.version == Some(1);
    let mut pairs = Vec::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let value = String::from_utf8_lossy(header.value).into_owned();
        if name == "content-length" {
            body = value.parse().ok()?;
        } else if name == "connection" && value.eq_ignore_ascii_case("close") {
            keep_alive = false;
        }
        pairs.push((name, value));
    }
    let method = request.method.unwrap_or_default().to_owned();
    let target = request.path.unwrap_or_default().to_owned();
    Some((skipped + head, body, Request { method, target, keep_alive, headers: pairs, proxied }))
}

impl Request {
    /// Sends or takes a body of the pattern. Returns whether the connection goes on.
    fn exchanged(
        &self,
        content: Content,
        stream: &mut TcpStream,
        buffer: &mut Vec<u8>,
        (head, body): (usize, usize),
        shared: &Shared,
    ) -> std::io::Result<bool> {
        match content {
            Content::Stream { seed, size } if self.method == "GET" && body == 0 => {
                buffer.drain(..head);
                content::send(stream, &shared.name, seed, size)?;
            }
            Content::Upload { seed } if self.method == "POST" && body as u64 <= content::LONGEST => {
                if self.headers.iter().any(|(name, value)| name == "expect" && value == "100-continue") {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                let end = buffer.len().min(head + body);
                let begun: Vec<u8> = buffer.drain(..end).skip(head).collect();
                let found = content::take(stream, &shared.name, seed, body as u64, &begun)?;
                stream.write_all(&answer(&shared.name, 200, "application/json", found.as_bytes()))?;
            }
            // The rest of the request is not read, so nothing can follow on this connection.
            _ => {
                stream.write_all(&answer(&shared.name, 400, "text/plain", b"GET /stream, POST /upload\n"))?;
                return Ok(false);
            }
        }
        // A connection that idles between requests is nobody's fault.
        stream.set_read_timeout(None)?;
        Ok(self.keep_alive)
    }

    /// The answer, `None` for the one made beforehand; and whether the connection goes on.
    fn answered(&self, shared: &Shared) -> (Option<Vec<u8>>, bool) {
        if self.target == "/plain" {
            return (None, self.keep_alive);
        }
        if let Some(query) = self.target.strip_prefix("/slow") {
            let millis = query.strip_prefix("?ms=").and_then(|text| text.parse().ok()).unwrap_or(1000);
            std::thread::sleep(Duration::from_millis(u64::min(millis, 60_000)));
        }
        let status = self.target.strip_prefix("/status/").and_then(|text| text.parse().ok()).unwrap_or(200);
        let headers: serde_json::Map<_, _> =
            self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let body = json!({
            "server": shared.name, "method": self.method, "target": self.target,
            "proxied": self.proxied, "headers": headers,
        });
        let bytes = answer(&shared.name, status, "application/json", format!("{body:#}\n").as_bytes());
        (Some(bytes), self.keep_alive)
    }
}

fn answer(name: &str, status: u16, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status} Demo\r\nx-server: {name}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn an_answer_names_the_server_and_repeats_the_request() {
        let server = DemoServer::start("a").unwrap();
        let request = http::request("/x", &[("x-user", "anna")]);
        let answer = http::Connection::tcp(server.address).unwrap().exchange(&request).unwrap();
        assert_eq!(answer.server.as_deref(), Some("a"));
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((&body["server"], &body["headers"]["x-user"]), (&json!("a"), &json!("anna")));
    }

    #[test]
    fn a_line_of_proxy_protocol_is_taken_off_and_shown() {
        let server = DemoServer::start("a").unwrap();
        let mut request = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec();
        request.extend(http::request("/", &[]));
        let answer = http::Connection::tcp(server.address).unwrap().exchange(&request).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["proxied"], json!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2"));
    }

    #[test]
    fn a_stopped_server_closes_its_connections_and_its_port() {
        let server = DemoServer::start("a").unwrap();
        let address = server.address;
        let mut connection = http::Connection::tcp(address).unwrap();
        connection.exchange(&http::request("/plain", &[])).unwrap();
        drop(server);
        assert!(connection.exchange(&http::request("/plain", &[])).is_err());
    }
}
