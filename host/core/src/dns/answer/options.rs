//! The options of an answer, and what those of a query say of the client.

use std::net::IpAddr;

use super::{Settings, Transport};
use crate::dns::cookie::Cookie;
use crate::dns::wire::{COOKIE, KEEPALIVE, NSID, Options, SUBNET, Subnet};

/// The longest identifier. With it, all options and the longest question fit in 512 bytes.
pub(super) const MAX_NSID: usize = 128;

/// The OPT record without its options.
const OPT: usize = 11;

/// An option without its value.
const HEAD: usize = 4;

/// Four options with their heads: NSID, cookie, subnet, keepalive.
const ROOM: usize = 4 + MAX_NSID + 28 + 24 + 6;

/// The options that an answer has.
pub(super) struct Extras<'q> {
    nsid: Option<&'q [u8]>,
    cookie: Option<Cookie>,
    subnet: Option<Subnet<'q>>,
    keepalive: Option<u16>,
    is_padded: bool,
}

impl<'q> Extras<'q> {
    pub(super) fn new(
        settings: &'q Settings,
        asked: &Options<'q>,
        cookie: Option<Cookie>,
        transport: Transport,
    ) -> Self {
        Self {
            nsid: Some(settings.nsid.as_slice()).filter(|n| asked.nsid && !n.is_empty()),
            cookie,
            subnet: asked.subnet,
            keepalive: settings.keepalive.filter(|_| asked.keepalive && transport.tells_keepalive()),
            is_padded: asked.padding && transport.is_padded(),
        }
    }

    /// A cookie, or nothing.
    pub(super) const fn only(cookie: Option<Cookie>) -> Self {
        Self { nsid: None, cookie, subnet: None, keepalive: None, is_padded: false }
    }

    /// Whether the answer is made so long that its length says little. What fills it is written by [`crate::dns::wire::Writer`],
    /// which knows the length.
    pub(super) const fn is_padded(&self) -> bool {
        self.is_padded
    }

    /// Bytes that the OPT record takes at most, but for what fills it.
    pub(super) fn room(&self) -> usize {
        let nsid = self.nsid.map_or(0, |nsid| HEAD + nsid.len());
        let cookie = self.cookie.map_or(0, |cookie| HEAD + cookie.len());
        let subnet = self.subnet.map_or(0, |subnet| HEAD + 4 + subnet.bytes.len());
        let keepalive = self.keepalive.map_or(0, |_| HEAD + 2);
        let padding = if self.is_padded { HEAD } else { 0 };
        OPT + nsid + cookie + subnet + keepalive + padding
    }

    /// The options and their length. A subnet is answered where the answer has a scope, and never otherwise.
    pub(super) fn write(&self, scope: Option<u8>) -> ([u8; ROOM], usize) {
        let mut out = Out { bytes: [0; ROOM], length: 0 };
        if let Some(nsid) = self.nsid {
            out.option(NSID, &[nsid]);
        }
        if let Some(cookie) = &self.cookie {
            out.option(COOKIE, &[cookie]);
        }
        if let (Some(subnet), Some(scope)) = (&self.subnet, scope) {
            out.option(SUBNET, &[&subnet.family.to_be_bytes(), &[subnet.prefix, scope], subnet.bytes]);
        }
        if let Some(tenths) = self.keepalive {
            out.option(KEEPALIVE, &[&tenths.to_be_bytes()]);
        }
        (out.bytes, out.length)
    }
}

struct Out {
    bytes: [u8; ROOM],
    length: usize,
}

impl Out {
    fn option(&mut self, code: u16, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|p| p.len()).sum();
        self.push(&code.to_be_bytes());
        self.push(&u16::try_from(length).unwrap_or_default().to_be_bytes());
        parts.iter().for_each(|p| self.push(p));
    }

    fn push(&mut self, part: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + part.len()) {
            place.copy_from_slice(part);
            self.length += part.len();
        }
    }
}

/// Who asks, as far as a policy may know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Bits of the address that are known.
    pub(super) prefix: u8,
    /// Bits that a scope may have: those the resolver sent, and none where it sent no subnet.
    pub(super) scope_limit: u8,
}

/// The client's subnet where the resolver sent one that says something, else the resolver itself.
pub(super) fn client(options: &Options<'_>, from: IpAddr) -> Client {
    if let Some(subnet) = options.subnet.filter(|s| s.prefix > 0)
        && let Some(address) = subnet.address()
    {
        return Client { address, prefix: subnet.prefix, scope_limit: subnet.prefix };
    }
    Client { address: from, prefix: if from.is_ipv4() { 32 } else { 128 }, scope_limit: 0 }
}
