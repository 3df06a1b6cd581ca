//! The proxy over loopback: real sockets on both sides, servers that do as a test says.

mod drain;
mod hostile;
mod policy;
mod retry;
mod serve;
mod site;
