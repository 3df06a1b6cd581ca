//! What a stream of QUIC may bring (RFC 9250).

use super::wire::{Received, read};

/// The longest stream of a client: a message with its length.
pub const MAX_STREAM: usize = 2 + 65535;

/// The client does what RFC 9250 §4.3.3 forbids; its connection is closed with `DOQ_PROTOCOL_ERROR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// The stream ends before the message does, or goes on behind it: one stream has one query.
    #[error("the stream is not one message")]
    Length,
    /// The message's number is not 0 (§4.2.1).
    #[error("the message's number is not 0")]
    Number,
    /// It asks how long the connection is kept, which is QUIC's affair (§5.5.2).
    #[error("the message has edns-tcp-keepalive")]
    Keepalive,
    /// It is no query.
    #[error("the message is no query")]
    NoQuery,
}

/// The query of a stream that has ended.
///
/// # Errors
/// What is wrong with the stream, or with a message that is no matter of DNS alone. One that is malformed otherwise gets an answer.
pub fn query(stream: &[u8]) -> Result<&[u8], Violation> {
    let (length, message) = stream.split_first_chunk::<2>().ok_or(Violation::Length)?;
    if message.len() != usize::from(u16::from_be_bytes(*length)) {
        return Err(Violation::Length);
    }
    match read(message) {
        Received::Unanswerable => Err(Violation::NoQuery),
        Received::Malformed(read) | Received::Message(read) if read.header.id != 0 => Err(Violation::Number),
        Received::Message(read) => {
            // Options of another version mean something else, or nothing.
            let options = read.opt.filter(|opt| opt.version == 0).and_then(|opt| opt.options());
            if options.is_some_and(|options| options.keepalive) {
                return Err(Violation::Keepalive);
            }
            Ok(message)
        }
        Received::Malformed(_) => Ok(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

    fn sent(message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len()).unwrap();
        [&length.to_be_bytes(), message].concat()
    }

    fn with_options(options: &[u8]) -> Vec<u8> {
        let length = u16::try_from(options.len()).unwrap().to_be_bytes();
        let mut message = [QUERY, &[0, 0, 41, 4, 208, 0, 0, 0, 0], &length, options].concat();
        message[11] = 1;
        message
    }

    #[test]
    fn a_stream_is_one_query_without_a_number() {
        assert_eq!(query(&sent(QUERY)), Ok(QUERY));
        let cookie = with_options(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(query(&sent(&cookie)), Ok(cookie.as_slice()));
        // Malformed, and answered with FORMERR.
        assert_eq!(query(&sent(&QUERY[..15])), Ok(&QUERY[..15]));

        assert_eq!(query(&[]), Err(Violation::Length));
        assert_eq!(query(&[0]), Err(Violation::Length));
        assert_eq!(query(&sent(QUERY)[..20]), Err(Violation::Length));
        assert_eq!(query(&[sent(QUERY), sent(QUERY)].concat()), Err(Violation::Length));
        assert_eq!(query(&sent(&[])), Err(Violation::NoQuery));
        let mut numbered = QUERY.to_vec();
        numbered[1] = 1;
        assert_eq!(query(&sent(&numbered)), Err(Violation::Number));
        assert_eq!(query(&sent(&numbered[..15])), Err(Violation::Number));
        let mut answer = QUERY.to_vec();
        answer[2] |= 0x80;
        assert_eq!(query(&sent(&answer)), Err(Violation::NoQuery));
        assert_eq!(query(&sent(&with_options(&[0, 11, 0, 0]))), Err(Violation::Keepalive));
    }
}
