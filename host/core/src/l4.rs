//! What the nodes of the L4 tier want of their kernels and routers, decided from the fleet file and what is known of l7 nodes.
//!
//! ```text
//!   Fleet ---- Layout: which targets are checked, who is behind which service, in join order
//!                |
//!   health ---- Machine ---- Desired: IPVS, addresses, settings, what routers are told
//!   files, words    handle(Event, now) -> Vec<Action>, deadline()
//! ```
//!
//! The table of a service is a function of the fleet file and of the present standing of each l7 node, never of what happened
//! before: two l4 nodes that know the same have the same table. Whoever fails, drains or is in maintenance keeps its place and its
//! rows and takes no new connections; only who leaves the fleet file is deleted. What does depend on the past is whether an
//! address is announced, between the two numbers of the [quorum](crate::config::Quorum): that is what hysteresis is.
//!
//! | module | knows |
//! |---|---|
//! | `layout` | targets, services and members, from the fleet file alone |
//! | `standing` | what is known of a target |
//! | `table` | standings to IPVS |
//! | `quorum` | which addresses may be announced |
//! | `announcement` | what routers are told |
//! | `machine` | events in, desired state out |
//! | `status` | what an operator is shown |
//! | `receiver` | the network side of an l7 node |
//! | `members` | who the l7 nodes are, and who they were |
//! | `second_chance` | what becomes of packets of connections that an l7 node has not |
//! | `settings` | what is asked of the kernels |
//! | `way` | how a check goes through a tunnel |
//! | `explain` | where a flow goes, and where it would go if |

mod announcement;
mod explain;
mod layout;
mod machine;
mod members;
mod quorum;
mod receiver;
mod second_chance;
mod settings;
mod standing;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod way;

pub use announcement::Keys;
pub use explain::{Explanation, Flow, NoExplanation, Outcome, Supposed, Supposition, explain};
pub use layout::{Layout, SERVICE_HEADER, Target};
pub use machine::{Action, Event, Machine};
pub use members::{History, Member, Members};
pub use receiver::{MAX_SEGMENT, Other, Receiver, ReceiverEvent, has_tunnels};
pub use second_chance::REDIRECT_MARKS;
pub use status::{AddressStatus, Announcing, CheckStatus, NodeStatus, Status};
pub use way::{MARKS, MAX_JOIN, Way};
