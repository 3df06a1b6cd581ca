//! Write a Weir plugin in Rust: implement two traits, export the type, build it, put the file into the plugin directory.
//!
//! ```
//! use weir_plugin::scheduler::{Load, Plan, Request, Scheduler, Server};
//! use weir_plugin::{ConfigError, Description, Plugin};
//!
//! /// Everything to the first server that may be used.
//! struct First;
//!
//! impl Plugin for First {
//!     fn describe() -> Description {
//!         weir_plugin::describe!()
//!     }
//!
//!     fn configure(_config: &str) -> Result<Self, ConfigError> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl Scheduler for First {
//!     fn update(&mut self, servers: &[Server]) -> Plan {
//!         match (0..).zip(servers).find(|(_, server)| server.is_usable()) {
//!             Some((index, _)) => Plan::Cycle(vec![index]),
//!             None => Plan::Fallback,
//!         }
//!     }
//! }
//!
//! weir_plugin::export_scheduler!(First);
//! # fn main() {}
//! ```
//!
//! with `crate-type = ["cdylib", "rlib"]` in the manifest, `cargo build --target wasm32-unknown-unknown` makes a file that the
//! host loads as it is. A plugin can call what is in [`log`], [`metrics`], [`mod@env`] and [`scheduler::Load`], and nothing
//! else: no files, sockets or threads, and `println!` and `std::time` do nothing.
//!
//! | kind | trait | export |
//! |---|---|---|
//! | chooses servers | [`scheduler::Scheduler`] | [`export_scheduler!`] |
//! | chooses servers and learns how it went | [`scheduler::Feedback`] | [`export_scheduler_with_feedback!`] |
//! | judges health checks and agent lines | [`agent_check::AgentCheck`] | [`export_agent_check!`] |
//! | chooses the addresses of names | [`dns_answers::DnsAnswers`] | [`export_dns_answers!`] |
//!
//! Every kind is a [`Plugin`] as well. Types and rules are those of `wit/`, whose documentation is repeated here.
//!
//! # Building
//!
//! The host takes what `cargo build` leaves, whatever its profile. This makes it small and quick to load:
//!
//! ```toml
//! [profile.release]
//! lto = "fat"
//! codegen-units = 1
//! panic = "abort"
//! strip = true
//! ```
//!
//! # Testing
//!
//! A plugin is an ordinary library too. In a unit test its logic runs natively, with [`harness`] as its host: loads are
//! what the test says, log lines and counters can be read back, and randomness comes from a seed.
//!
//! # State
//!
//! Each worker thread of the host has an instance of its own. It keeps its memory between calls and may be thrown away
//! between any two of them, so what it holds may be a cache and must not be a truth.
//! A panic is written to the host's log, ends the instance, and the host does its default for that call.

pub mod agent_check;
mod alias;
#[doc(hidden)]
pub mod bindings;
pub mod config;
pub mod dns_answers;
pub mod env;
#[doc(hidden)]
pub mod export;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
mod lifecycle;
pub mod log;
pub mod metrics;
pub mod random;
pub mod scheduler;

pub use alias::Alias;
pub use config::Config;
pub use lifecycle::{ConfigError, Description, Label, Plugin, State};
pub use random::Random;
