//! The kernel's balancer (IPVS): what it shall be, what it is, and the commands between the two.
//!
//! A [`Table`] says all of it at once: services, and the destinations of each in *join order*, the permanent order in which the
//! nodes of a fleet were given their numbers. [`Observed`] is what a dump of the kernel shows, and what the kernel would make of
//! a [`Change`]. [`Plan`] is the difference: commands in an order of which every prefix is safe, none where nothing differs.
//!
//! Three facts of the kernel shape this:
//!
//! - **Order counts.** A new destination goes to the head of the service's list, and `mh` fills its table in list order. Two
//!   nodes with the same destinations and another order send some flows elsewhere. So the list is kept in join order, and a
//!   destination that is out of order is deleted and added again, with the cost in rows told ([`Disorder`]).
//! - **A weight of 0 is not an absence.** `mh` remembers the latest weight that was not 0 and leaves the rows where they are. A
//!   node that failed therefore has weight 0 and is never deleted; only who left the fleet is.
//! - **A dump does not tell what is remembered.** Whoever adopts a table in which a destination has weight 0 cannot see its rows.
//!   [`Memory`] knows what this process did; after a restart such a destination is *stated again*: its weight, then 0, two
//!   commands in one message to the kernel. What it costs: for some microseconds a failed node takes new flows.

mod change;
mod delta;
mod destination;
mod memory;
mod observed;
mod plan;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod traffic;
mod wanted;

pub use change::Change;
pub use delta::{Changed, Delta, Rest, Unfit};
pub use destination::{Checksum, Destination, Entry, Forwarding, Thresholds, Tunnel};
pub use memory::Memory;
pub use observed::{Observed, ObservedDestination, ObservedService, Refusal};
pub use plan::{Disorder, Plan};
pub use service::{Flags, Key, Name, NoName, Persistence, Protocol, Service, Settings};
pub use table::{Table, TableError};
pub use traffic::{DestinationTraffic, ServiceTraffic, Traffic};
pub use wanted::{Marks, Order, Ownership, Timeouts, Wanted};
