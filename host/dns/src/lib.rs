//! The DNS front: sockets, threads and files around the decisions of [`weir_core::dns`].
//!
//! ```text
//!   zone files ──▶ Serving ─┐            ┌─ UDP thread ─┐
//!   checks ──────▶ Table ───┤ (swapped)  ├─ UDP thread ─┼─▶ counters, query log
//!   state file ──▶ ─────────┘            ├─ TCP thread ─┤
//!   certificate ─▶ Current ── (swapped) ─┴─ TLS thread ─┘  and so HTTPS, QUIC
//! ```
//!
//! Each UDP thread has sockets of its own (`SO_REUSEPORT`), takes and sends many datagrams with one system call, and
//! answers each in place: no task, no queue and no lock between a query and its answer. TCP has one thread with
//! an event loop, and so has each encrypted transport: handshakes cost a thousand queries each, and must not keep those of others waiting. What they answer from is immutable and swapped whole, so a reload never makes a query wait.
//!
//! | module | knows |
//! |---|---|
//! | `answerer` | one thread's way from a query to an answer |
//! | [`certificate`] | a certificate and its key on disk |
//! | [`cookie_file`] | the secret that cookies are made with |
//! | [`directory`] | zone files on disk |
//! | [`explain`] | why an answer is as it is |
//! | [`geography`] | where clients are, by a database on disk |
//! | `listen` | sockets |
//! | [`query_log`] | one line for each query |
//! | [`server`] | threads: start, swap, stop |
//! | [`state_file`] | the file in which people say what is down |
//! | [`stats`] | counters |
//! | `tcp`, `udp`, `quic` | the loops |
//! | `thread` | what the connections of a thread share |
//! | `tls` | which certificate is shown, and what is agreed on |

mod answerer;
pub mod certificate;
pub mod cookie_file;
pub mod directory;
pub mod explain;
pub mod geography;
mod listen;
pub mod query_log;
mod quic;
pub mod server;
pub mod state_file;
pub mod stats;
mod tcp;
mod thread;
mod tls;
mod udp;

pub use server::{Encrypted, Options, Server, Serving, StartError, Tables};
