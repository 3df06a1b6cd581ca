//! Request in, server picked, answer out. The only crate that knows Pingora.
//!
//! Clients drive it: [`Shards`] listen, and for each request the shard that has the connection asks the
//! [`Pool`] of the connection's [`Service`] for a server. What the servers are, whether they are up and what a
//! policy plans for them comes from outside, as a whole new view each time ([`Pool::set_view`]); which server that
//! means for a request is decided in `weir_core::schedule`.
//!
//! Pingora's `Server` and its load balancing are not used. One shard is one thread with a runtime, listeners and
//! connections of its own, because a request that stays on its core costs about half of one that does not.
//!
//! | module | is |
//! |---|---|
//! | `shards`, `shard` | threads, listeners, accepting, draining |
//! | `stream` | a client's connection |
//! | `upstream` | connections to servers, and which of them wait to be used again |
//! | `gateway`, `exchange` | the steps of a request, and what is known of it |
//! | `worker` | what a shard has for itself: routes, positions in plans, policies' instances |
//! | `pool`, `service`, `settings` | what the node sets |
//! | `key`, `forwarded`, `proxy_line`, `answer` | affinity keys, what servers are told, answers of our own |
//! | `access_log`, `stats` | what is told of it afterwards |

mod access_log;
mod answer;
mod cores;
mod exchange;
mod forwarded;
mod gateway;
mod key;
mod pool;
mod proxy_line;
mod service;
mod settings;
mod shard;
mod shards;
mod stats;
mod stream;
mod upstream;
mod worker;

pub use access_log::AccessLog;
pub use key::hash as key_hash;
pub use pool::Pool;
pub use service::{Service, ServiceError, ServiceTable};
pub use settings::{ClientTimeouts, Key, Options, PoolSettings, Segments, ServerTimeouts};
pub use shards::{Drained, Shards, StartError};
pub use stats::{DECIDERS, LATENCY_BOUNDS, PoolStats, ProxyStats, ServerStats};
