//! What this node answers itself.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::ResponseHeader;

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
        502 => "502 Bad Gateway: the server's connection broke or its answer was none\n",
        503 => "503 Service Unavailable: no server can take this request now\n",
        504 => "504 Gateway Timeout: the server did not answer in time\n",
        _ => "500 Internal Server Error\n",
    };
    Answer { status, kind: "text/plain", body }
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
