//! DNS over TLS, HTTPS and QUIC with real sockets: the same answers as over TCP, and nothing that one client does costs another.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends where something is missing"
)]

mod certificate;
mod clients;
mod hostile;
mod https;
mod limits;
mod options;
mod quic;
mod serve;
mod tls;
