//! The host against guests that do what they should not, and against a directory that changes under it.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a panic is how they fail"
)]

#[path = "host/choosers.rs"]
mod choosers;
#[path = "host/directory.rs"]
mod directory;
#[path = "host/faults.rs"]
mod faults;
#[path = "host/fixture.rs"]
mod fixture;
#[path = "host/guest.rs"]
mod guest;
#[path = "host/judges.rs"]
mod judges;
#[path = "host/reload.rs"]
mod reload;
