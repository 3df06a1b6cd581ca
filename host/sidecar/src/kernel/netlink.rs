//! Generic netlink: how the kernel's subsystems are asked and told.
//!
//! The kernel answers a request before `send` returns, so nothing here waits for anybody and a caller needs no runtime. Many
//! requests go in one datagram: the kernel handles them one after the other and says nothing of those that went well, except of
//! the last, which asks for it.
//!
//! The bytes are written and read here, without a crate for it: it is little, every length is checked, and a plan of a hundred
//! thousand commands costs no allocation for each. What comes from the kernel is not trusted to be well formed; a datagram from
//! anybody else is dropped.
//!
//! | module | is |
//! |---|---|
//! | [`attribute`] | type, length, value |
//! | [`message`] | headers, and requests one after the other |
//! | [`socket`] | sending, receiving, and what can go wrong |

pub mod attribute;
pub mod message;
pub mod socket;

pub use message::{Malformed, Requests};
pub use socket::{NetlinkError, Socket};
