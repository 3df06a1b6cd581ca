//! The kernel's side of a node: what is there, and the changes that make it what shall be there.
//!
//! Order, so that every prefix of the work is safe: tunnel, address, service, destination; in reverse when they go.

pub mod ipvs;
pub mod netlink;
