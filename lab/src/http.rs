//! As much of HTTP/1.1 as a measuring client needs: one request at a time over any stream that reads and writes.
//! Blocking on purpose: a timer of an event loop has a grain of a millisecond, a thread's has not.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a single answer may take before it counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 64 * 1024;

/// Why an exchange gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Nobody listens.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection ended before an answer began.
    ClosedBeforeAnswer,
    /// The connection ended inside an answer.
    ClosedInsideAnswer,
    /// No answer within [`PATIENCE`].
    TimedOut,
    /// What came is not HTTP.
    Garbled,
    /// An answer of this status, where it counts as a failure.
    Status(u16),
    /// Another error of the operating system.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset"),
            Self::ClosedBeforeAnswer => f.write_str("closed before the answer"),
            Self::ClosedInsideAnswer => f.write_str("closed inside the answer"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Garbled => f.write_str("not HTTP"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Other => f.write_str("input/output error"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::UnexpectedEof => Self::ClosedInsideAnswer,
            _ => Self::Other,
        }
    }
}

/// An answer, whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// What `x-server` says: the demo server that answered.
    pub(crate) server: Option<String>,
    /// Whether the connection can carry another request.
    pub(crate) keep_alive: bool,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How the length of a body is known.
enum Body {
    Length(usize),
    Chunked,
    UntilClose,
}

/// A connection with what was read ahead.
pub(crate) struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl Connection<TcpStream> {
    /// Connects over TCP; answers have [`PATIENCE`].
    pub(crate) fn tcp(address: SocketAddr) -> Result<Self, Failure> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// Takes a connected stream; answers have [`PATIENCE`].
    pub(crate) fn over(stream: TcpStream) -> Result<Self, Failure> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }
}

impl Connection<UnixStream> {
    /// Connects to a UNIX socket; answers have [`PATIENCE`].
    pub(crate) fn unix(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }
}

impl<S: Read + Write> Connection<S> {
    /// Sends a request and reads the answer to its end.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.stream.write_all(request)?;
        let (mut answer, body) = self.head()?;
        answer.body = match body {
            Body::Length(length) => self.take(length)?,
            Body::Chunked => self.chunks()?,
            Body::UntilClose => {
                answer.keep_alive = false;
                let mut rest = std::mem::take(&mut self.buffer);
                self.stream.read_to_end(&mut rest)?;
                rest
            }
        };
        Ok(answer)
    }

    fn head(&mut self) -> Result<(Answer, Body), Failure> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            match response.parse(&self.buffer) {
                Ok(httparse::Status::Complete(length)) => {
                    let head = understood(&response)?;
                    self.buffer.drain(..length);
                    // An interim answer (100, 103) has another behind it.
                    if (100..200).contains(&head.0.status) {
                        continue;
                    }
                    return Ok(head);
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => {}
                _ => return Err(Failure::Garbled),
            }
            let empty = self.buffer.is_empty();
            self.more().map_err(|failure| match failure {
                Failure::ClosedInsideAnswer if empty => Failure::ClosedBeforeAnswer,
                other => other,
            })?;
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&self.buffer).map_err(|_| Failure::Garbled)? {
                httparse::Status::Complete((line, size)) => {
                    self.buffer.drain(..line);
                    let size = usize::try_from(size).map_err(|_| Failure::Garbled)?;
                    body.extend(self.take(size)?);
                    // The line end after the chunk. Trailers are not offered by anything measured here.
                    self.take(2)?;
                    if size == 0 {
                        return Ok(body);
                    }
                }
                httparse::Status::Partial => self.more()?,
            }
        }
    }

    fn more(&mut self) -> Result<(), Failure> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece)? {
            0 => Err(Failure::ClosedInsideAnswer),
            length => {
                self.buffer.extend(piece.iter().take(length));
                Ok(())
            }
        }
    }
}

fn understood(response: &httparse::Response<'_, '_>) -> Result<(Answer, Body), Failure> {
    let mut answer =
        Answer { status: response.code.ok_or(Failure::Garbled)?, keep_alive: true, ..Answer::default() };
    let mut body = Body::UntilClose;
    if matches!(answer.status, 100..=199 | 204 | 304) {
        body = Body::Length(0);
    }
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or("");
        if header.name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(value.trim().parse().map_err(|_| Failure::Garbled)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked") {
            body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            answer.keep_alive = false;
        } else if header.name.eq_ignore_ascii_case("x-server") {
            answer.server = Some(value.to_owned());
        }
    }
    Ok((answer, body))
}

/// One GET over a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<Answer, Failure> {
    Connection::tcp(address)?.exchange(&request(path, &[("connection", "close")]))
}

/// One GET over a UNIX socket.
pub(crate) fn get_unix(socket: &Path, path: &str) -> Result<Answer, Failure> {
    Connection::unix(socket)?.exchange(&request(path, &[("connection", "close")]))
}

/// The bytes of a GET.
pub(crate) fn request(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("GET {path} HTTP/1.1\r\nhost: demo.test\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that has its answers ready.
    struct Script(io::Cursor<Vec<u8>>);

    impl Read for Script {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            // Three bytes at a time, so that every boundary is crossed.
            let length = into.len().min(3);
            into.get_mut(..length).map_or(Ok(0), |part| self.0.read(part))
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn connection(answers: &str) -> Connection<Script> {
        Connection { stream: Script(io::Cursor::new(answers.as_bytes().to_vec())), buffer: Vec::new() }
    }

    #[test]
    fn answers_of_known_length_follow_each_other_on_one_connection() {
        let mut c = connection(
            "HTTP/1.1 200 OK\r\nx-server: a\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
        );
        let first = c.exchange(b"").unwrap();
        assert_eq!((first.status, first.server.as_deref(), first.text().as_str()), (200, Some("a"), "hello"));
        assert_eq!(c.exchange(b"").unwrap().status, 503);
        assert_eq!(c.exchange(b"").unwrap_err(), Failure::ClosedBeforeAnswer);
    }

    #[test]
    fn chunks_are_joined() {
        let mut c = connection(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        );
        assert_eq!(c.exchange(b"").unwrap().text(), "abcde");
    }

    #[test]
    fn an_answer_cut_short_is_told_from_one_that_never_began() {
        let mut c = connection("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello");
        assert_eq!(c.exchange(b"").unwrap_err(), Failure::ClosedInsideAnswer);
    }
}
