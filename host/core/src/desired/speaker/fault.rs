//! Why a speaker's configuration is refused.

use super::{MAX_KEY, MAX_NEIGHBORS, MAX_ROUTES};
use crate::bgp::AdvertError;

/// A configuration that cannot be carried out. What was in force stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither may be 0.
    #[error("AS number 0 or router identifier 0.0.0.0: name both")]
    Identity,
    /// More than any node has.
    #[error(
        "{neighbors} neighbors and {routes} routes are more than {MAX_NEIGHBORS} and {MAX_ROUTES}; name fewer"
    )]
    TooMany {
        /// So many.
        neighbors: usize,
        /// So many.
        routes: usize,
    },
    /// A neighbor's settings.
    #[error("neighbor `{name}`: {problem}")]
    Neighbor {
        /// Which one.
        name: String,
        /// What is wrong.
        problem: Problem,
    },
    /// A route.
    #[error(transparent)]
    Advert(#[from] AdvertError),
}

/// What is wrong with a neighbor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Who connects could be either.
    #[error("another one has the same name or address; each is its own")]
    Twice,
    /// Nobody has it.
    #[error("AS number 0; name the neighbor's")]
    As,
    /// Nobody listens there.
    #[error("port 0; leave it out for 179")]
    Port,
    /// Nobody answers there.
    #[error("its address is none of a single host")]
    Address,
    /// No packet has both.
    #[error("the address of our end is of the other family")]
    Local,
    /// RFC 4271 §4.2.
    #[error("the hold time is 0 or from 3 to 65535 whole seconds")]
    Hold,
    /// Nothing to say.
    #[error("no family; name at least one")]
    Families,
    /// The kernel takes no other.
    #[error("a key has 1 to {MAX_KEY} bytes")]
    Key,
    /// Packets would die at home.
    #[error("a distance is at least 1 hop")]
    Distance,
    /// Outside of what makes sense.
    #[error("BFD intervals are from 1 ms to 60 s, the multiplier and the port at least 1")]
    Bfd,
}
