//! What a request over HTTPS asks (RFC 8484), and why one is refused.

use data_encoding::BASE64URL_NOPAD;

/// The media type of messages in bodies (RFC 8484 §6).
pub const MEDIA_TYPE: &str = "application/dns-message";

/// The longest message, bytes.
pub const MAX_MESSAGE: usize = 65535;

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub struct Head<'r> {
    /// `GET`, `POST` or another.
    pub method: &'r str,
    /// Without its query.
    pub path: &'r str,
    /// What stands behind `?`.
    pub query: Option<&'r str>,
    /// The header `content-type`.
    pub media_type: Option<&'r [u8]>,
}

/// Where the message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// In the body.
    Body,
    /// In the URL, and this is it.
    Inline(Vec<u8>),
}

/// Why a request gets no answer but a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no such path.
    Path,
    /// Neither `GET` nor `POST`.
    Method,
    /// The body is no message by its type.
    MediaType,
    /// The body is longer than a message can be.
    TooLarge,
    /// The body does not come.
    TooSlow,
    /// The URL has no message, or what there is, is none.
    NoMessage,
}

impl Refusal {
    /// The status of the response (RFC 9110 §15.5).
    pub const fn status(self) -> u16 {
        match self {
            Self::NoMessage => 400,
            Self::Path => 404,
            Self::Method => 405,
            Self::TooSlow => 408,
            Self::TooLarge => 413,
            Self::MediaType => 415,
        }
    }

    /// A line for whoever reads the response.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMessage => {
                "no DNS query: GET wants it in base64url, without padding, as ?dns=, POST as the body\n"
            }
            Self::Path => "nothing is here\n",
            Self::Method => "DNS queries come by GET or POST\n",
            Self::TooSlow => "the body did not come in time\n",
            Self::TooLarge => "a DNS message has at most 65535 bytes\n",
            Self::MediaType => "the body must be application/dns-message\n",
        }
    }
}

/// Where the message of a request is, whose path must be this one.
///
/// # Errors
/// The first reason for which there is none.
pub fn message(head: &Head<'_>, path: &str) -> Result<Message, Refusal> {
    if head.path != path {
        return Err(Refusal::Path);
    }
    match head.method {
        "POST" if head.media_type.is_some_and(is_message) => Ok(Message::Body),
        "POST" => Err(Refusal::MediaType),
        "GET" => inline(head.query.unwrap_or_default()).map(Message::Inline),
        _ => Err(Refusal::Method),
    }
}

/// Whether the value of `content-type` is that of messages; it has no parameters that mean anything.
fn is_message(value: &[u8]) -> bool {
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
}

/// The first `dns` of a query.
fn inline(query: &str) -> Result<Vec<u8>, Refusal> {
    let text = query.split('&').find_map(|part| part.strip_prefix("dns=")).ok_or(Refusal::NoMessage)?;
    let message = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Refusal::NoMessage)?;
    if message.len() > MAX_MESSAGE { Err(Refusal::TooLarge) } else { Ok(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str, media_type: Option<&str>) -> Result<Message, Refusal> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        message(&Head { method, path, query, media_type: media_type.map(str::as_bytes) }, "/dns-query")
    }

    #[test]
    fn a_message_is_in_the_body_of_post_and_in_the_url_of_get() {
        for kind in ["application/dns-message", "Application/DNS-Message", "application/dns-message; x=y"] {
            assert_eq!(of("POST", "/dns-query", Some(kind)), Ok(Message::Body), "{kind}");
        }
        // The first example of RFC 8484 §4.1.1.
        let url = "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
        let message = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
        assert_eq!(of("GET", url, None), Ok(Message::Inline(message.to_vec())));
        assert_eq!(of("GET", "/dns-query?x=1&dns=AA&dns=AQ", None), Ok(Message::Inline(vec![0])));
    }

    #[test]
    fn what_is_refused_has_the_status_that_says_why() {
        let dns = Some(MEDIA_TYPE);
        for (method, path, kind, status) in [
            ("POST", "/", dns, 404),
            ("POST", "/dns-query/", dns, 404),
            ("PUT", "/dns-query", dns, 405),
            ("HEAD", "/dns-query?dns=AA", None, 405),
            ("get", "/dns-query?dns=AA", None, 405),
            ("POST", "/dns-query", None, 415),
            ("POST", "/dns-query", Some("application/json"), 415),
            ("POST", "/dns-query", Some("application/dns-messages"), 415),
            ("GET", "/dns-query", None, 400),
            ("GET", "/dns-query?", None, 400),
            ("GET", "/dns-query?xdns=AA", None, 400),
            ("GET", "/dns-query?dns=A", None, 400),
            ("GET", "/dns-query?dns=AA==", None, 400),
            ("GET", "/dns-query?dns=+/AA", None, 400),
            // Bits beyond the last byte: two texts would be one message, and one cache would keep two.
            ("GET", "/dns-query?dns=AB", None, 400),
        ] {
            assert_eq!(of(method, path, kind).map_err(Refusal::status), Err(status), "{method} {path}");
        }
        let long = "A".repeat(MAX_MESSAGE.div_ceil(3) * 4 + 4);
        assert_eq!(of("GET", &format!("/dns-query?dns={long}"), None), Err(Refusal::TooLarge));
    }
}
