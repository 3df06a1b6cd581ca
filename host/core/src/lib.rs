//! What Weir knows and decides, and nothing of how it is done.
//!
//! *An event comes in, a pure function decides, an action goes out.* This crate is the middle part.
//! It has no clock, socket, thread, file or environment: `now` is an argument ([`time::Moment`]), state
//! machines return actions and deadlines, and the crates around it (`weir-wasm`, `weir-proxy`,
//! `weir-probe`, `weir`) carry them out. That is why everything here is tested in microseconds and why
//! an incident can be replayed. `clippy.toml` beside the manifest refuses the calls that would break this.
//!
//! | module | decides |
//! |---|---|
//! | [`bfd`] | whether a router is there, within a second |
//! | [`bgp`] | what an L4 node says to its routers, and when it withdraws |
//! | [`config`] | what a fleet file says, and what is wrong with it |
//! | [`desired`] | nothing: what the network side of a node shall be, as a value that host and sidecar pass |
//! | [`dns`] | what a DNS query is answered, by zone files and policies |
//! | [`health`] | what is known of a server, and what may therefore be done with it |
//! | [`ipvs`] | which commands make the kernel's balancer what it shall be, and which it can do without |
//! | [`l4`] | what an L4 node wants of its kernel and its routers, and where a flow goes |
//! | [`maglev`] | where the kernel of an L4 node puts a flow, and what a change would move |
//! | [`model`] | what a server is: state, weight, load |
//! | [`plugin`] | which version of a plugin is loaded, serves, or is out |
//! | [`pool`] | who is in a pool, and when its plan is void |
//! | [`schedule`] | which server a request goes to, given a plan or a policy |
//! | [`time`] | what a moment is |

pub mod bfd;
pub mod bgp;
pub mod config;
pub mod desired;
pub mod dns;
pub mod health;
pub mod ipvs;
pub mod l4;
pub mod maglev;
pub mod model;
pub mod plugin;
pub mod pool;
pub mod schedule;
pub mod time;
