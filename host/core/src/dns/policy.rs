//! Names whose addresses are decided: what is known of the addresses, and who chooses.
//!
//! A policy of the fleet file has addresses, whose states come from checks, a state file and operators. Whoever
//! knows of a change publishes a new [`Table`], and each thread that answers has [`Deciders`], which are given the
//! table and make the decisions that [`super::answer`] asks for: natively, or by asking a plugin, whose decision is
//! repeated for as long and for as many clients as the plugin said. A new table ends that at once.
//!
//! | module | knows |
//! |---|---|
//! | [`decider`] | how a decision comes about, and for whom it is repeated |
//! | `instance` | a plugin on one thread |
//! | [`networks`] | where clients are |
//! | `repeat` | decisions that hold for a while, and for whom |
//! | [`state_file`] | gdnsd's form of saying what is down |
//! | [`table`] | every policy with its addresses as they stand |
//! | `ttl` | how long an answer may be believed |

pub mod decider;
#[cfg(test)]
mod hostile;
mod instance;
pub mod networks;
mod repeat;
pub mod state_file;
pub mod table;
mod ttl;

pub use decider::{Deciders, Origin};
pub use networks::Networks;
pub use state_file::{StateFile, StateFileError};
pub use table::{Candidate, Policy, Table};
