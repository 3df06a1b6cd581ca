//! Answers, asked for and read as a client does it: with a decoder of its own, so that the writer is not
//! judged by itself.

mod ask;
mod edns;
mod freshness;
mod hostile;
mod known;
mod policies;
mod probes;
mod zones;
