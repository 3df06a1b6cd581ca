//! What this node answers itself.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;

use crate::access_log::Term;

/// A small answer.
pub(crate) struct Answer {
    status: u16,
    kind: &'static str,
    body: &'static str,
}

/// `/healthcheck`: send clients here. HAProxy's words, which checks of existing stacks look for.
pub(crate) const READY: Answer = Answer {
    status: 200,
    kind: "text/html",
    body: "<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n",
};

/// `/healthcheck`: send clients elsewhere.
pub(crate) const NOT_READY: Answer = Answer {
    status: 503,
    kind: "text/html",
    body: "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n",
};

/// The answer with this status, for a request that got none from a server.
pub(crate) const fn error(status: u16) -> Answer {
    let body = match status {
        400 => "400 Bad Request: this is not a request that can be understood in one way only\n",
        408 => "408 Request Timeout: the request did not come in time\n",
        421 => "421 Misdirected Request: no service has this address\n",
        431 => "431 Request Header Fields Too Large\n",
        501 => "501 Not Implemented: no transfer encoding but chunked is understood\n",
        502 => "502 Bad Gateway: the server's connection broke or its answer was none\n",
        503 => "503 Service Unavailable: no server can take this request now\n",
        504 => "504 Gateway Timeout: the server did not answer in time\n",
        _ => "500 Internal Server Error\n",
    };
    Answer { status, kind: "text/plain", body }
}

/// [`error`] 431 as it is sent, for a head that Pingora has not come to the end of: then there is no session to send it with.
pub(crate) const HEAD_TOO_LARGE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\n\
     Content-Type: text/plain\r\nContent-Length: 36\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n\
     431 Request Header Fields Too Large\n";

/// Status and reason of a request that failed. 0: there is nobody left to answer.
pub(crate) fn verdict(e: &Error, known: Term) -> (u16, Term) {
    if let ErrorType::HTTPStatus(status) = e.etype() {
        return (*status, if known == Term::Ok { Term::Internal } else { known });
    }
    match e.esource() {
        ErrorSource::Upstream => match known {
            Term::ConnectFailed => (503, known),
            Term::ServerTimeout => (504, known),
            _ => (502, Term::ServerError),
        },
        ErrorSource::Downstream => match e.etype() {
            ErrorType::ReadTimedout => (408, Term::ClientTimeout),
            ErrorType::WriteTimedout => (0, Term::ClientTimeout),
            ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed => {
                (0, Term::ClientAbort)
            }
            _ => (400, Term::BadRequest),
        },
        ErrorSource::Internal | ErrorSource::Unset => (500, Term::Internal),
    }
}

impl Answer {
    /// Sends it, whole. `keep` says whether the connection may serve another request.
    pub(crate) async fn send(&self, session: &mut ServerSession, keep: bool) -> Result<()> {
        let mut head = ResponseHeader::build(self.status, Some(5))?;
        head.insert_header(CONTENT_TYPE, self.kind)?;
        head.insert_header(CONTENT_LENGTH, self.body.len())?;
        head.insert_header(CACHE_CONTROL, "no-store")?;
        if !keep {
            session.set_keepalive(None);
        }
        session.write_response_header(Box::new(head)).await?;
        session.write_response_body(Bytes::from_static(self.body.as_bytes()), true).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_blame_decides_the_status() {
        let up = |e| *Error::new_up(e);
        let down = |e| *Error::new_down(e);
        let cases = [
            (up(ErrorType::ConnectRefused), Term::ConnectFailed, (503, Term::ConnectFailed)),
            (up(ErrorType::ReadTimedout), Term::ServerTimeout, (504, Term::ServerTimeout)),
            (up(ErrorType::ConnectionClosed), Term::ServerError, (502, Term::ServerError)),
            (down(ErrorType::ReadTimedout), Term::Ok, (408, Term::ClientTimeout)),
            (down(ErrorType::ConnectionClosed), Term::Ok, (0, Term::ClientAbort)),
            (down(ErrorType::InvalidHTTPHeader), Term::Ok, (400, Term::BadRequest)),
            (*Error::new_in(ErrorType::InternalError), Term::Ok, (500, Term::Internal)),
            (*Error::new(ErrorType::HTTPStatus(503)), Term::NoServer, (503, Term::NoServer)),
        ];
        for (error, known, want) in cases {
            assert_eq!(verdict(&error, known), want, "{error}");
        }
    }
}
