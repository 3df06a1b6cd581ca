//! What the answering part asks of policies. Who they are (a plugin, a cache of its decisions, a native
//! default) is the business of the crate that calls.

use std::net::IpAddr;

use crate::dns::record::Type;
use crate::dns::zone::PolicyRecord;

/// The most addresses of an answer; what a policy gives beyond them is left out.
pub const MAX_ADDRESSES: usize = 64;

/// A question to a policy.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'q> {
    /// The record that names the policy.
    pub record: &'q PolicyRecord,
    /// The name that was asked for, in wire form and in the case of the query; below a wildcard, not the wildcard's.
    pub name: &'q [u8],
    /// A or AAAA.
    pub kind: Type,
    /// Who asks: the client's subnet as the resolver sent it, else the resolver.
    pub client: IpAddr,
    /// Bits of `client` that are known.
    pub prefix: u8,
}

/// A policy's decision.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'d> {
    /// In the order to be sent. Those of the other family are left out; none at all is NODATA.
    pub addresses: &'d [IpAddr],
    /// Seconds; the record in the zone has the upper limit.
    pub ttl: u32,
    /// Bits of the client's address for which the decision holds; cut to those that the resolver sent.
    pub scope: u8,
}

/// Decides the addresses of names.
pub trait Policies {
    /// The decision; `None` where there is no such policy, and then the zone's static addresses are the answer.
    fn decide(&mut self, asked: &Asked<'_>) -> Option<Decision<'_>>;
}

/// No policy at all: every answer is static.
#[derive(Debug, Clone, Copy, Default)]
pub struct Static;

impl Policies for Static {
    fn decide(&mut self, _: &Asked<'_>) -> Option<Decision<'_>> {
        None
    }
}
