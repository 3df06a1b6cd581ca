//! Bodies of a known pattern, sent and taken: what long downloads and uploads are made of, each byte checked.
//!
//! Memory of a connection is bounded whatever the body's size: pieces of [`PIECE`] bytes, kernel buffers of
//! [`SOCKET_BUFFER`]. A peer that does not move for [`PATIENCE`] is left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::pattern::{Digest, Verifier, fill};

/// The longest body, bytes.
pub(crate) const LONGEST: u64 = 1 << 30;
const PIECE: usize = 16 * 1024;
/// Without a bound the kernel lets a slow reader's connection hold some megabytes; hundreds of them fill a small machine.
const SOCKET_BUFFER: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

/// A body that a request's target names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// To be sent: bytes of this seed's pattern.
    Stream { seed: u64, size: u64 },
    /// To be taken and compared with this seed's pattern.
    Upload { seed: u64 },
}

impl Content {
    /// What the target asks for: `/stream/SEED/SIZE`, `/10M` (seed 0), `/upload/SEED`; `None` where it is another.
    pub(super) fn of(target: &str) -> Option<Self> {
        let path = target.split('?').next().unwrap_or(target);
        if let Some(rest) = path.strip_prefix("/stream/") {
            let (seed, size) = rest.split_once('/')?;
            return Some(Self::Stream { seed: seed.parse().ok()?, size: size_of(size)? });
        }
        if let Some(seed) = path.strip_prefix("/upload/") {
            return Some(Self::Upload { seed: seed.parse().ok()? });
        }
        let size = path.strip_prefix('/').filter(|name| name.ends_with(['K', 'M', 'G']))?;
        Some(Self::Stream { seed: 0, size: size_of(size)? })
    }
}

/// `1000`, `64K`, `10M`, `1G`: bytes, at most [`LONGEST`].
pub(crate) fn size_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match text.strip_prefix(digits)? {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|size| *size <= LONGEST)
}

/// Sends a body of the pattern as fast as the peer takes it.
pub(super) fn send(stream: &mut TcpStream, server: &str, seed: u64, size: u64) -> std::io::Result<()> {
    bound(stream)?;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nx-server: {server}\r\ncontent-type: application/octet-stream\r\ncontent-length: {size}\r\n\r\n"
    )?;
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    while offset < size {
        let length = usize::try_from(size - offset).unwrap_or(PIECE).min(PIECE);
        let (part, _) = piece.split_at_mut(length);
        fill(seed, offset, part);
        stream.write_all(part)?;
        offset += length as u64;
    }
    Ok(())
}

/// Takes a body of `size` bytes, of which `begun` are there already, and returns what was found, for the answer.
///
/// # Errors
/// The peer hung up, or did not move for a minute.
pub(super) fn take(
    stream: &mut TcpStream,
    server: &str,
    seed: u64,
    size: u64,
    begun: &[u8],
) -> std::io::Result<String> {
    bound(stream)?;
    let mut verifier = Verifier::new(seed);
    let mut digest = Digest::EMPTY;
    verifier.take(begun);
    digest.take(begun);
    let mut piece = vec![0; PIECE];
    while verifier.taken() < size {
        let length = usize::try_from(size - verifier.taken()).unwrap_or(PIECE).min(PIECE);
        let (part, _) = piece.split_at_mut(length);
        let length = stream.read(part)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (part, _) = piece.split_at(length);
        verifier.take(part);
        digest.take(part);
    }
    let found = json!({
        "server": server, "received": verifier.taken(), "right": verifier.right(),
        "first_wrong": verifier.first_wrong(), "digest": digest.text(),
    });
    Ok(format!("{found}\n"))
}

fn bound(stream: &TcpStream) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::super::DemoServer;
    use super::*;
    use crate::http::Connection;

    #[test]
    fn targets_name_a_seed_and_a_size() {
        for (target, content) in [
            ("/stream/7/64K", Some(Content::Stream { seed: 7, size: 65_536 })),
            ("/stream/7/10?x=1", Some(Content::Stream { seed: 7, size: 10 })),
            ("/10M", Some(Content::Stream { seed: 0, size: 10_485_760 })),
            ("/upload/9", Some(Content::Upload { seed: 9 })),
            ("/stream/7", None),
            ("/stream/x/1K", None),
            ("/stream/7/2G", None),
            ("/stream/7/99999999999999999999", None),
            ("/10", None),
            ("/MOM", None),
        ] {
            assert_eq!(Content::of(target), content, "{target}");
        }
    }

    #[test]
    fn a_stream_is_the_pattern_of_its_seed_and_the_connection_goes_on() {
        let server = DemoServer::start("a").unwrap();
        let mut connection = Connection::tcp(server.address).unwrap();
        for _ in 0..2 {
            let answer = connection.exchange(&crate::http::request("/stream/5/100K", &[])).unwrap();
            let mut verifier = Verifier::new(5);
            verifier.take(&answer.body);
            assert_eq!((verifier.taken(), verifier.right()), (102_400, 102_400));
            assert_eq!(answer.server.as_deref(), Some("a"));
        }
    }

    fn upload(body: &[u8]) -> serde_json::Value {
        let server = DemoServer::start("a").unwrap();
        let mut connection = Connection::tcp(server.address).unwrap();
        let mut request =
            format!("POST /upload/5 HTTP/1.1\r\nhost: lab\r\ncontent-length: {}\r\n\r\n", body.len())
                .into_bytes();
        request.extend(body);
        serde_json::from_slice(&connection.exchange(&request).unwrap().body).unwrap()
    }

    #[test]
    fn an_upload_is_verified_and_answered_with_its_digest() {
        let mut body = vec![0; 300_000];
        fill(5, 0, &mut body);
        let mut digest = Digest::EMPTY;
        digest.take(&body);
        let found = upload(&body);
        assert_eq!((&found["received"], &found["right"]), (&json!(300_000), &json!(300_000)));
        assert_eq!(found["digest"], json!(digest.text()));
        assert_eq!(found["first_wrong"], json!(null));
    }

    #[test]
    fn an_upload_with_a_flipped_bit_is_told() {
        let mut body = vec![0; 300_000];
        fill(5, 0, &mut body);
        body[250_000] ^= 128;
        let found = upload(&body);
        assert_eq!((&found["right"], &found["first_wrong"]), (&json!(299_999), &json!(250_000)));
    }
}
