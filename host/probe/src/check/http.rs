//! An HTTP check: one small HTTP/1.1 request on a connection of its own.
//!
//! Written here rather than with a client library, because a check must be bounded in everything that a sick server
//! can do: time, head, body, number of interim answers.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use weir_core::config::Name;

use super::body::{Body, Framing};
use super::error::{CheckError, Stage};
use super::{Limit, PROXY_UNKNOWN, Seen};

/// Bytes of a head that are read at most, interim answers (`100`, `103`) included.
pub const MAX_HEAD: usize = 16 * 1024;
/// Bytes of a body that are kept; what follows is not waited for.
pub const MAX_BODY: usize = 4 * 1024;
/// Header fields that are looked at; one more is not HTTP that we want.
const MAX_FIELDS: usize = 128;

/// What to ask and which statuses are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    request: Vec<u8>,
    expect: Vec<RangeInclusive<u16>>,
    load_header: Option<String>,
}

/// Why a request cannot be made of a host and a path. Whoever wrote the fleet file is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// A blank or control character would end the request line early, or smuggle a header in.
    #[error(
        "{0:?} cannot be the path of a check: it must start with `/`, without blanks or control characters"
    )]
    Path(String),
    /// The same for the header.
    #[error("{0:?} cannot be the host of a check: it must be visible ASCII without blanks")]
    Host(String),
}

impl HttpCheck {
    /// `GET path` with this `Host` header; a status in one of the ranges is good.
    ///
    /// # Errors
    /// Where host or path would not stay inside their part of the request.
    pub fn new(host: &str, path: &str, expect: Vec<RangeInclusive<u16>>) -> Result<Self, BadRequest> {
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadRequest::Path(path.to_owned()));
        }
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadRequest::Host(host.to_owned()));
        }
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: weir-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )
        .into_bytes();
        Ok(Self { request, expect, load_header: None })
    }

    /// The same, with this header. Its value is a name, and stays inside its line as it is.
    #[must_use]
    pub fn with_header(mut self, header: &str, value: &Name) -> Self {
        let line = format!("{header}: {value}\r\n");
        let end = self.request.len() - 2;
        self.request.splice(end..end, line.into_bytes());
        self
    }

    /// The same, and the answer says the server's load in this header.
    #[must_use]
    pub fn saying_load_in(self, header: &str) -> Self {
        Self { load_header: Some(header.to_owned()), ..self }
    }

    pub(super) fn judge(&self, status: u16, address: SocketAddr) -> Result<(), CheckError> {
        if self.expect.iter().any(|range| range.contains(&status)) {
            return Ok(());
        }
        let range = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start}-{end}"),
        };
        let expected = self.expect.iter().map(range).collect::<Vec<_>>().join(", ");
        Err(CheckError::Status { address, status, expected })
    }

    pub(super) async fn look(
        &self,
        limit: &Limit,
        mut stream: TcpStream,
        proxy_line: bool,
    ) -> Result<Seen, CheckError> {
        let proxy: &[u8] = if proxy_line { PROXY_UNKNOWN } else { b"" };
        // One write, so that a server which reads once sees both.
        let question = [proxy, &self.request].concat();
        limit.within(Stage::Send, stream.write_all(&question)).await?;
        let head = read_head(limit, &mut stream, self.load_header.as_deref()).await?;
        let latency = limit.started.elapsed();
        let body = Body::new(head.framing, head.rest).read(limit, &mut stream).await?;
        // As for a TCP check: nothing of it stays behind. All that was wanted has come.
        let _ = stream.set_zero_linger();
        Ok(Seen::Http { status: head.status, body, latency, load: head.load })
    }
}

struct Head {
    status: u16,
    framing: Framing,
    load: Option<Vec<u8>>,
    /// What was read of the body already.
    rest: Vec<u8>,
}

async fn read_head(
    limit: &Limit,
    stream: &mut TcpStream,
    load_header: Option<&str>,
) -> Result<Head, CheckError> {
    let address = limit.address;
    let mut buffer = Vec::with_capacity(1024);
    loop {
        while let Some(head) = parse(&buffer, address, load_header)? {
            if head.status >= 200 {
                return Ok(head);
            }
            // An interim answer; the real one follows. Removed, but MAX_HEAD goes for all together.
            buffer = head.rest;
        }
        if !limit.read_more(Stage::Answer, stream, &mut buffer, MAX_HEAD).await? {
            return Err(match buffer.len() {
                MAX_HEAD => CheckError::HeadTooLarge { address, limit: MAX_HEAD },
                _ => CheckError::Closed { stage: Stage::Answer, address },
            });
        }
    }
}

/// `None` while the head is not complete.
fn parse(buffer: &[u8], address: SocketAddr, load_header: Option<&str>) -> Result<Option<Head>, CheckError> {
    let not_http = |why: String| CheckError::NotHttp { address, why };
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(not_http(error.to_string())),
    };
    let status = response.code.ok_or_else(|| not_http("no status".to_owned()))?;
    let framing = Framing::of(status, response.headers).map_err(|why| not_http(why.to_owned()))?;
    let load = load_header.and_then(|name| values(response.headers, name));
    let rest = buffer.get(length..).unwrap_or_default().to_vec();
    Ok(Some(Head { status, framing, load, rest }))
}

/// All values of a header as one, as if they stood in one line; `None` where there is none.
fn values(headers: &[httparse::Header<'_>], name: &str) -> Option<Vec<u8>> {
    let values: Vec<_> =
        headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}
