//! The proxy over loopback: real sockets on both sides, servers that do as a test says.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed, which is right"
)]

mod drain;
mod hostile;
mod policy;
mod retry;
mod serve;
mod site;
