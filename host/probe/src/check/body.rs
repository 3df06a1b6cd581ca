//! The beginning of a body: as much as a plugin may look at, and not a byte more.

use tokio::net::TcpStream;

use super::Limit;
use super::error::{CheckError, Stage};
use super::http::MAX_BODY;

/// Bytes as they come, chunk heads included, that are read at most. A server that sends chunks of one byte fills this
/// before [`MAX_BODY`]; then that is all that is seen.
const MAX_RAW: usize = 4 * MAX_BODY;

/// How the end of the body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Framing {
    pub(super) fn of(status: u16, headers: &[httparse::Header<'_>]) -> Result<Self, &'static str> {
        if status < 200 || status == 204 || status == 304 {
            return Ok(Self::None);
        }
        let fields = |name: &'static str| headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name));
        if let Some(encoding) = fields("transfer-encoding").next_back() {
            let chunked = encoding.value.trim_ascii().to_ascii_lowercase().ends_with(b"chunked");
            return Ok(if chunked { Self::Chunked } else { Self::UntilClosed });
        }
        let Some(length) = fields("content-length").next() else { return Ok(Self::UntilClosed) };
        std::str::from_utf8(length.value)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map(Self::Length)
            .ok_or("content-length is no number")
    }
}

/// A body being read.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    raw: Vec<u8>,
}

impl Body {
    /// `raw` is what came with the head.
    pub(super) fn new(framing: Framing, raw: Vec<u8>) -> Self {
        Self { framing, raw }
    }

    /// Reads until the body ends or enough of it is there.
    pub(super) async fn read(mut self, limit: &Limit, stream: &mut TcpStream) -> Result<Vec<u8>, CheckError> {
        let address = limit.address;
        loop {
            let body = match self.framing {
                Framing::None => return Ok(Vec::new()),
                Framing::Length(length) => self.upto(length.min(MAX_BODY)),
                Framing::UntilClosed => self.upto(MAX_BODY),
                Framing::Chunked => {
                    joined(&self.raw).map_err(|why| CheckError::NotHttp { address, why: why.to_owned() })?
                }
            };
            if let Some(body) = body {
                return Ok(body);
            }
            if !limit.read_more(Stage::Body, stream, &mut self.raw, MAX_RAW).await? {
                return match self.framing {
                    Framing::UntilClosed => Ok(self.raw),
                    _ if self.raw.len() >= MAX_RAW => Ok(prefix(&self.raw)),
                    _ => Err(CheckError::Closed { stage: Stage::Body, address }),
                };
            }
        }
    }

    fn upto(&self, length: usize) -> Option<Vec<u8>> {
        self.raw.get(..length).map(<[u8]>::to_vec)
    }
}

/// The chunks joined, once the last one or [`MAX_BODY`] is reached; `None` while there is more to come.
fn joined(raw: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    match chunks(raw)? {
        (_, false) => Ok(None),
        (body, true) => Ok(Some(body)),
    }
}

fn prefix(raw: &[u8]) -> Vec<u8> {
    chunks(raw).map(|(body, _)| body).unwrap_or_default()
}

/// What the chunks so far hold, and whether that is enough.
fn chunks(raw: &[u8]) -> Result<(Vec<u8>, bool), &'static str> {
    let mut body = Vec::new();
    let mut rest = raw;
    loop {
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((_, 0))) => return Ok((body, true)),
            Ok(httparse::Status::Complete((start, size))) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let data = rest.get(start..).unwrap_or_default();
                let have = data.get(..size.min(data.len())).unwrap_or_default();
                body.extend_from_slice(have);
                if body.len() >= MAX_BODY {
                    body.truncate(MAX_BODY);
                    return Ok((body, true));
                }
                // After the data comes a line end of its own.
                match size.checked_add(2).and_then(|end| data.get(size..end).map(|line| (end, line))) {
                    Some((end, b"\r\n")) => rest = data.get(end..).unwrap_or_default(),
                    Some(_) => return Err("a chunk is longer than it says"),
                    None => return Ok((body, false)),
                }
            }
            Ok(httparse::Status::Partial) => return Ok((body, false)),
            Err(_) => return Err("a chunk size is no number"),
        }
    }
}
