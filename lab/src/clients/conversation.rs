//! One request and its answer, byte by byte, without a socket and without a clock: what to send next, and what it
//! means that this came. Its owner moves the bytes.

use std::net::SocketAddr;

use serde::Deserialize;

use super::Outcome;
use crate::server::pattern::{Digest, Verifier, fill};

/// An answer's head, and the answer to an upload, are shorter than this.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

/// A download or an upload of a body of the pattern.
#[derive(Debug)]
pub(super) struct Conversation {
    upload: bool,
    seed: u64,
    size: u64,
    /// The request's head, as far as it is not sent.
    unsent: Vec<u8>,
    /// Bytes of the body that are sent.
    sent: u64,
    digest: Digest,
    /// What has come and is not understood yet.
    held: Vec<u8>,
    /// The answer's head, once it is there.
    head: Option<Head>,
    verifier: Verifier,
}

#[derive(Debug)]
struct Head {
    status: u16,
    length: Option<u64>,
    server: Option<String>,
}

/// What a server says of an upload.
#[derive(Debug, Deserialize)]
struct Found {
    received: u64,
    right: u64,
    digest: String,
}

impl Conversation {
    /// Asks for a body of `size` bytes.
    pub(super) fn download(to: SocketAddr, seed: u64, size: u64) -> Self {
        Self::new(
            false,
            seed,
            size,
            format!("GET /stream/{seed}/{size} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n"),
        )
    }

    /// Brings a body of `size` bytes.
    pub(super) fn upload(to: SocketAddr, seed: u64, size: u64) -> Self {
        Self::new(
            true,
            seed,
            size,
            format!(
                "POST /upload/{seed} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
            ),
        )
    }

    fn new(upload: bool, seed: u64, size: u64, head: String) -> Self {
        Self {
            upload,
            seed,
            size,
            unsent: head.into_bytes(),
            sent: 0,
            digest: Digest::EMPTY,
            held: Vec::new(),
            head: None,
            verifier: Verifier::new(seed),
        }
    }

    /// Whether it uploads.
    pub(super) fn is_upload(&self) -> bool {
        self.upload
    }

    /// Whether it got as far as a user would notice its breaking: an answer has begun, or an upload may.
    pub(super) fn is_established(&self) -> bool {
        self.upload || self.head.as_ref().is_some_and(|head| head.status == 200)
    }

    /// The status and the server's name, once the answer's head is there.
    pub(super) fn answered(&self) -> Option<(u16, Option<&str>)> {
        self.head.as_ref().map(|head| (head.status, head.server.as_deref()))
    }

    /// Bytes of the body that have moved.
    pub(super) fn moved(&self) -> u64 {
        if self.upload { self.sent } else { self.verifier.right() }
    }

    /// Whether there is something to send.
    pub(super) fn has_to_send(&self) -> bool {
        !self.unsent.is_empty() || (self.upload && self.sent < self.size)
    }

    /// The next bytes to send, at most `most` of the body. The owner says by [`Self::sent`] how many went.
    pub(super) fn next_to_send(&self, most: usize, piece: &mut Vec<u8>) {
        piece.clear();
        piece.extend_from_slice(&self.unsent);
        if self.upload {
            let length = usize::try_from(self.size - self.sent).unwrap_or(most).min(most);
            let head = piece.len();
            piece.resize(head + length, 0);
            fill(self.seed, self.sent, piece.split_at_mut(head).1);
        }
    }

    /// These bytes went.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let head = self.unsent.len().min(bytes.len());
        self.unsent.drain(..head);
        let (_, body) = bytes.split_at(head);
        self.digest.take(body);
        self.sent += body.len() as u64;
    }

    /// These bytes came. Returns how the conversation ended, if it did.
    pub(super) fn came(&mut self, bytes: &[u8]) -> Option<Outcome> {
        if self.head.is_some() {
            return self.body(bytes);
        }
        self.held.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let length = match answer.parse(&self.held) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.held.len() < LONGEST_HEAD => return None,
            _ => return Some(Outcome::WrongContent),
        };
        let header = |name: &str| {
            let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        let head = Head {
            status: answer.code.unwrap_or_default(),
            length: header("content-length").and_then(|text| text.parse().ok()),
            server: header("x-server").map(str::to_owned),
        };
        let wrong = if head.status != 200 {
            Some(Outcome::WrongStatus)
        } else if !self.upload && head.length != Some(self.size) {
            Some(Outcome::WrongContent)
        } else {
            None
        };
        self.head = Some(head);
        let rest = self.held.split_off(length);
        self.held.clear();
        wrong.or_else(|| self.body(&rest))
    }

    fn body(&mut self, bytes: &[u8]) -> Option<Outcome> {
        if self.upload {
            self.held.extend_from_slice(bytes);
            let length = self.head.as_ref().and_then(|head| head.length);
            return match length {
                Some(length) if self.held.len() as u64 >= length => Some(self.judged()),
                _ if self.held.len() > LONGEST_HEAD => Some(Outcome::WrongContent),
                _ => None,
            };
        }
        self.verifier.take(bytes);
        if self.verifier.first_wrong().is_some() || self.verifier.taken() > self.size {
            return Some(Outcome::WrongContent);
        }
        (self.verifier.taken() == self.size).then_some(Outcome::Ok)
    }

    /// What the server's word on an upload is worth.
    fn judged(&self) -> Outcome {
        match serde_json::from_slice::<Found>(&self.held) {
            Ok(found)
                if self.sent == self.size
                    && (found.received, found.right) == (self.size, self.size)
                    && found.digest == self.digest.text() =>
            {
                Outcome::Ok
            }
            _ => Outcome::WrongContent,
        }
    }

    /// The peer closed.
    pub(super) fn closed(&self) -> Outcome {
        let to_the_end = self.upload && self.head.as_ref().is_some_and(|head| head.length.is_none());
        if to_the_end { self.judged() } else { Outcome::ClosedEarly }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to() -> SocketAddr {
        "[2001:db8::1]:80".parse().unwrap()
    }

    fn answer(length: usize) -> Vec<u8> {
        let mut bytes =
            format!("HTTP/1.1 200 OK\r\nX-Server: s1\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        let head = bytes.len();
        bytes.resize(head + length, 0);
        fill(7, 0, &mut bytes[head..]);
        bytes
    }

    #[test]
    fn a_download_is_established_by_its_head_and_ok_at_its_last_byte_in_any_pieces() {
        for size in [1, 3, 1000] {
            let mut download = Conversation::download(to(), 7, 500);
            let bytes = answer(500);
            let mut ends = bytes.chunks(size).filter_map(|piece| download.came(piece));
            assert_eq!((ends.next(), ends.next()), (Some(Outcome::Ok), None));
            drop(ends);
            assert!(download.is_established());
            assert_eq!(download.answered(), Some((200, Some("s1"))));
        }
    }

    #[test]
    fn a_flipped_bit_a_wrong_length_a_wrong_status_and_another_protocol_are_told_apart() {
        let mut flipped = answer(500);
        flipped[400] ^= 4;
        let refused = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec();
        let cases = [
            (flipped, Outcome::WrongContent),
            (answer(499), Outcome::WrongContent),
            (refused, Outcome::WrongStatus),
            (b"SSH-2.0-x\r\n".to_vec(), Outcome::WrongContent),
        ];
        for (bytes, outcome) in cases {
            assert_eq!(Conversation::download(to(), 7, 500).came(&bytes), Some(outcome));
        }
    }

    #[test]
    fn an_end_before_the_last_byte_is_early() {
        let mut download = Conversation::download(to(), 7, 500);
        let bytes = answer(500);
        assert_eq!(download.came(&bytes[..bytes.len() - 1]), None);
        assert_eq!(download.closed(), Outcome::ClosedEarly);
    }

    /// Sends an upload whole and returns it with the body's digest.
    fn sent(size: u64) -> (Conversation, String) {
        let mut upload = Conversation::upload(to(), 7, size);
        let mut piece = Vec::new();
        while upload.has_to_send() {
            upload.next_to_send(100, &mut piece);
            // Half of it goes, as a socket does it.
            let (went, _) = piece.split_at(piece.len().div_ceil(2));
            upload.sent(went);
        }
        let mut body = vec![0; size as usize];
        fill(7, 0, &mut body);
        let mut digest = Digest::EMPTY;
        digest.take(&body);
        (upload, digest.text())
    }

    fn found(right: u64, digest: &str) -> Vec<u8> {
        let body = format!(r#"{{"server":"s1","received":1000,"right":{right},"digest":"{digest}"}}"#);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn an_upload_is_ok_only_where_the_server_saw_every_byte() {
        let (mut upload, digest) = sent(1000);
        assert_eq!(upload.came(&found(1000, &digest)), Some(Outcome::Ok));
        let (mut upload, digest) = sent(1000);
        assert_eq!(upload.came(&found(999, &digest)), Some(Outcome::WrongContent));
        let (mut upload, _) = sent(1000);
        assert_eq!(upload.came(&found(1000, "0")), Some(Outcome::WrongContent));
    }

    #[test]
    fn an_upload_that_is_answered_before_it_was_sent_is_wrong() {
        let (_, digest) = sent(1000);
        let mut upload = Conversation::upload(to(), 7, 1000);
        assert_eq!(upload.came(&found(1000, &digest)), Some(Outcome::WrongContent));
    }
}
