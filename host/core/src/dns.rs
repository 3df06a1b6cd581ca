//! The DNS tier's decisions: zone files to zones, and queries to answers.
//!
//! An authoritative server without sockets: [`zonefile::read`] makes a [`zone::Zone`] of a text, [`zone::Zones`] is
//! what a node serves, and [`answer::Responder::respond`] makes the answer to a message, asking
//! [`answer::Policies`] for the addresses of names that a policy decides. All of it is immutable and
//! shared; the crate around it has the sockets, swaps the zones and calls the plugins.
//!
//! | module | knows |
//! |---|---|
//! | [`answer`] | which answer a query gets |
//! | [`cookie`] | whether a client has proved its address |
//! | [`https`] | what a request over HTTPS asks |
//! | [`name`] | names |
//! | [`policy`] | whose addresses are decided, and how they stand |
//! | [`quic`] | what a stream of QUIC may bring |
//! | [`ratelimit`] | who has had enough answers |
//! | [`record`] | types, and sets of records |
//! | [`wire`] | messages as bytes |
//! | [`zone`] | what exists in a zone |
//! | [`zonefile`] | zones as text |

pub mod answer;
pub mod cookie;
pub mod https;
pub mod name;
pub mod policy;
pub mod quic;
pub mod ratelimit;
pub mod record;
pub mod wire;
pub mod zone;
pub mod zonefile;
