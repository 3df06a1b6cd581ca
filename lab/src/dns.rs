//! DNS as a client of the lab speaks it: queries byte by byte, well-formed or not; answers read by another library than
//! the one under trial, so that a mistake is not made on both sides.
//!
//! | module | is |
//! |---|---|
//! | [`query`] | a message to a server |
//! | [`answer`] | a message from one, on a line |
//! | [`exchange`] | sockets between them |
//! | [`probes`] | queries with the answers that they must have |
//! | [`differ`] | the same questions to several servers |
//! | [`foreign`] | others' clients of encrypted transports |
//! | [`steady`] | a client that looks at every answer |
//! | [`reloading`] | a node whose files are replaced meanwhile |

pub(crate) mod answer;
pub(crate) mod differ;
pub(crate) mod exchange;
pub(crate) mod foreign;
pub(crate) mod probes;
pub(crate) mod query;
pub(crate) mod reloading;
pub(crate) mod steady;
