//! What a node sees of its servers: TCP and HTTP checks, questions to agents, and the agent that answers them.
//!
//! This crate has the sockets and the clock; what a result *means* is decided by
//! [`weir_core::health`]. [`Watch`] joins the two for the servers of a pool: it drives one machine for each server,
//! carries out its actions as tokio tasks and passes on what changed. It needs a tokio runtime of any kind; a
//! current-thread one will do.
//!
//! | module | is |
//! |---|---|
//! | [`agent`] | the question to a server's agent, and the agent itself |
//! | [`check`] | one TCP or HTTP check |
//! | [`clock`] | from tokio's instants to moments |
//! | [`watch`] | the driver of a pool's machines |

pub mod agent;
pub mod check;
pub mod clock;
pub mod watch;

pub use clock::Clock;
pub use watch::{UnknownServer, Watch, Watched};
