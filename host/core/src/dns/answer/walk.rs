//! What a zone says to a name: the algorithm of RFC 1034 §4.3.2, with wildcards as in RFC 4592 and DNAME as in RFC 6672.

use std::net::IpAddr;

use super::How;
use super::options::Client;
use super::policy::{Asked, MAX_ADDRESSES, Policies};
use crate::dns::name::{InlineName, suffixes};
use crate::dns::record::{RecordSet, Type};
use crate::dns::wire::{Full, Rcode, Section, Writer};
use crate::dns::zone::{Found, Node, PolicyRecord, Zone};

/// The most aliases that one answer follows. Resolvers follow about as many, and go on by themselves.
const MAX_CHAIN: usize = 16;

/// The answer to ANY, and how long it may be kept (RFC 8482 §4.2): `HINFO "RFC8482" ""`.
const ANY_DATA: &[u8] = b"\x07RFC8482\x00";
const ANY_TTL: u32 = 3600;

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome<'z> {
    pub(super) rcode: Rcode,
    pub(super) authoritative: bool,
    pub(super) how: How,
    pub(super) scope: u8,
    pub(super) policy: Option<&'z PolicyRecord>,
    /// See [`super::Reply::turns`].
    pub(super) turns: u16,
}

/// One question on its way through a zone.
pub(super) struct Walk<'w, 'o, 'z> {
    zone: &'z Zone,
    writer: &'w mut Writer<'o>,
    policies: &'w mut dyn Policies,
    client: Client,
    turn: u32,
    outcome: Outcome<'z>,
}

impl<'w, 'o, 'z> Walk<'w, 'o, 'z> {
    pub(super) fn new(
        zone: &'z Zone,
        writer: &'w mut Writer<'o>,
        policies: &'w mut dyn Policies,
        client: Client,
        turn: u32,
    ) -> Self {
        let outcome = Outcome {
            rcode: Rcode::NOERROR,
            authoritative: true,
            how: How::Data,
            scope: 0,
            policy: None,
            turns: 1,
        };
        Self { zone, writer, policies, client, turn, outcome }
    }

    pub(super) fn outcome(&self) -> Outcome<'z> {
        self.outcome
    }

    /// Writes the records of the answer; `lower` is the name in lower case. [`Full`] where one that must be there does not fit.
    pub(super) fn run(&mut self, asked: &[u8], lower: &InlineName, kind: Type) -> Result<(), Full> {
        // What an alias made of the name that was asked for.
        let mut current: Option<InlineName> = None;
        // An alias that leads back to an owner before it is a circle, and a DNAME is sent once.
        let mut owners = [0; MAX_CHAIN];
        let mut redirects: [Option<&Node>; MAX_CHAIN] = [None; MAX_CHAIN];
        let asks_for_alias = matches!(kind, Type::CNAME | Type::ANY);
        for step in 0..MAX_CHAIN {
            let name = current.as_ref().map_or(asked, InlineName::as_wire);
            let found = match &current {
                None => self.zone.find(lower.as_wire()),
                Some(_) => self.zone.find(InlineName::lower(name).as_wire()),
            };
            let (node, how) = match found {
                Found::Nothing => return self.no_name(),
                Found::Cut(node) if kind == Type::DS && end_of(name, node).len() == name.len() => {
                    return self.records(node, name, kind);
                }
                Found::Cut(node) => return self.referral(node, name),
                Found::Exact(node) => (node, How::Data),
                Found::Wildcard(node) => (node, How::Wildcard),
                Found::Dname(node) => {
                    let known = redirects.iter().flatten().any(|n| std::ptr::eq(*n, node));
                    let Some(next) = self.redirect(node, name, known)? else { return Ok(()) };
                    if let (Some(owner), Some(redirect)) = (owners.get_mut(step), redirects.get_mut(step)) {
                        (*owner, *redirect) = (next.1, Some(node));
                    }
                    // The alias that was made is what these types ask for.
                    if asks_for_alias || !self.goes_on(&next.0, &owners, step) {
                        return Ok(());
                    }
                    current = Some(next.0);
                    continue;
                }
            };
            self.outcome.how = how;
            if kind == Type::DNAME && redirects.iter().flatten().any(|n| std::ptr::eq(*n, node)) {
                // The way led through what is asked for: it stands in the answer.
                return Ok(());
            }
            let alias = node.set(Type::CNAME).filter(|_| !asks_for_alias);
            let Some(alias) = alias else { return self.node(node, name, kind) };
            if let Some(owner) = owners.get_mut(step) {
                *owner = self.writer.position();
            }
            self.writer.record(name, Type::CNAME, alias.ttl, alias.first())?;
            let next = InlineName::copy(alias.first());
            if !self.goes_on(&next, &owners, step) {
                return Ok(());
            }
            current = Some(next);
        }
        Ok(())
    }

    /// Whether this zone has more to say to an alias's target. What other zones say is not told: a resolver
    /// must ask them itself, and would not believe it here.
    fn goes_on(&self, target: &InlineName, owners: &[usize], step: usize) -> bool {
        let origin = self.zone.origin().as_wire();
        let is_ours = suffixes(target.as_wire()).any(|s| s.eq_ignore_ascii_case(origin));
        is_ours && !owners.iter().take(step + 1).any(|at| self.writer.is_at(*at, target.as_wire()))
    }

    /// The DNAME above `name`, unless it is `known`, and the alias it makes: the new name, and where its owner stands. `None`
    /// where that name is too long.
    fn redirect(
        &mut self,
        node: &Node,
        name: &[u8],
        known: bool,
    ) -> Result<Option<(InlineName, usize)>, Full> {
        let Some(redirect) = node.set(Type::DNAME) else { return Ok(None) };
        let end = end_of(name, node);
        if !known {
            self.writer.record(end, Type::DNAME, redirect.ttl, redirect.first())?;
        }
        let Some(made) = InlineName::replace_end(name, end, redirect.first()) else {
            self.outcome.rcode = Rcode::YXDOMAIN;
            return Ok(None);
        };
        let position = self.writer.position();
        self.writer.record(name, Type::CNAME, redirect.ttl, made.as_wire())?;
        Ok(Some((made, position)))
    }

    /// The records of a name that exists, or that a wildcard stands for.
    fn node(&mut self, node: &'z Node, owner: &[u8], kind: Type) -> Result<(), Full> {
        if let Some(record) = node.policy.as_deref()
            && matches!(kind, Type::A | Type::AAAA)
        {
            // Also where nobody decides: there may be such a policy at any moment.
            self.outcome.turns = 0;
            if self.policy(record, owner, kind)? {
                return Ok(());
            }
        }
        if kind != Type::ANY {
            return self.records(node, owner, kind);
        }
        match node.set(Type::CNAME) {
            Some(alias) => self.writer.record(owner, Type::CNAME, alias.ttl, alias.first()),
            None if node.sets.is_empty() && node.policy.is_none() => self.no_data(u32::MAX),
            None => self.writer.record(owner, Type::HINFO, ANY_TTL, ANY_DATA),
        }
    }

    /// The set of this type, as it stands in the zone.
    fn records(&mut self, node: &Node, owner: &[u8], kind: Type) -> Result<(), Full> {
        let Some(set) = node.set(kind) else { return self.no_data(u32::MAX) };
        // Clients take the first address, so each answer starts at another.
        let first = match kind {
            Type::A | Type::AAAA => {
                self.outcome.turns = self.outcome.turns.saturating_mul(set.count());
                self.turn.checked_rem(u32::from(set.count())).unwrap_or_default()
            }
            _ => 0,
        };
        let first = usize::try_from(first).unwrap_or_default();
        for data in set.iter().skip(first).chain(set.iter().take(first)) {
            self.writer.record(owner, kind, set.ttl, data)?;
        }
        if kind == Type::NS {
            // Who asks for servers wants to reach them (RFC 1034 §4.3.2, step 6); what does not fit can be asked for.
            self.writer.section(Section::Additional);
            set.iter().try_for_each(|server| self.addresses(server)).unwrap_or_default();
        }
        Ok(())
    }

    /// What a policy says; false where there is none of this name.
    fn policy(&mut self, record: &'z PolicyRecord, owner: &[u8], kind: Type) -> Result<bool, Full> {
        let Client { address, prefix, scope_limit } = self.client;
        let asked = Asked { record, name: owner, kind, client: address, prefix };
        let Some(decision) = self.policies.decide(&asked) else { return Ok(false) };
        let ttl = decision.ttl.min(record.max_ttl);
        self.outcome.how = How::Policy;
        self.outcome.policy = Some(record);
        self.outcome.scope = decision.scope.min(scope_limit);
        let mut written = 0;
        for address in decision.addresses.iter().take(MAX_ADDRESSES) {
            match (kind, address) {
                (Type::A, IpAddr::V4(v4)) => self.writer.record(owner, kind, ttl, &v4.octets())?,
                (Type::AAAA, IpAddr::V6(v6)) => self.writer.record(owner, kind, ttl, &v6.octets())?,
                _ => continue,
            }
            written += 1;
        }
        if written == 0 {
            // Another decision may come sooner than the zone's negative TTL says.
            self.soa(ttl)?;
        }
        Ok(true)
    }

    fn no_name(&mut self) -> Result<(), Full> {
        self.outcome.how = How::NoName;
        self.outcome.rcode = Rcode::NXDOMAIN;
        self.soa(u32::MAX)
    }

    fn no_data(&mut self, most: u32) -> Result<(), Full> {
        self.outcome.how = How::NoData;
        self.soa(most)
    }

    /// The SOA that says for how long nothing is there (RFC 2308 §3).
    fn soa(&mut self, most: u32) -> Result<(), Full> {
        self.writer.section(Section::Authority);
        let ttl = self.zone.negative_ttl().min(most);
        self.writer.record(self.zone.origin().as_wire(), Type::SOA, ttl, self.zone.soa())
    }

    /// The servers of the zone below, and their addresses as far as they are known here. Of servers that are below
    /// the cut themselves the addresses must be there, since nobody else can say them (RFC 9471 §3.1).
    fn referral(&mut self, cut: &Node, name: &[u8]) -> Result<(), Full> {
        self.outcome.how = How::Referral;
        if self.writer.answers() == 0 {
            self.outcome.authoritative = false;
        }
        let Some(servers) = cut.set(Type::NS) else { return Ok(()) };
        let end = end_of(name, cut);
        self.writer.section(Section::Authority);
        for server in servers.iter() {
            self.writer.record(end, Type::NS, servers.ttl, server)?;
        }
        self.writer.section(Section::Additional);
        let is_below = |server: &[u8]| suffixes(server).any(|s| s.eq_ignore_ascii_case(end));
        for server in servers.iter().filter(|s| is_below(s)) {
            self.addresses(server)?;
        }
        let mut others = servers.iter().filter(|s| !is_below(s));
        others.try_for_each(|server| self.addresses(server)).unwrap_or_default();
        Ok(())
    }

    /// The addresses of a server. A set that does not fit is left out whole: part of it would be kept as if it were all there is, since
    /// only TC says otherwise (RFC 2181 §9).
    fn addresses(&mut self, server: &[u8]) -> Result<(), Full> {
        let Some(node) = self.zone.node_at(InlineName::lower(server).as_wire()) else { return Ok(()) };
        for set in node.sets.iter().filter(|s| matches!(s.kind, Type::A | Type::AAAA)) {
            let before = self.writer.mark();
            if let Err(full) = self.write(server, set) {
                self.writer.back_to(before);
                return Err(full);
            }
        }
        Ok(())
    }

    fn write(&mut self, owner: &[u8], set: &RecordSet) -> Result<(), Full> {
        set.iter().try_for_each(|data| self.writer.record(owner, set.kind, set.ttl, data))
    }
}

/// The end of `name`, which is at or below the node, that is the node's own name.
fn end_of<'n>(name: &'n [u8], node: &Node) -> &'n [u8] {
    let labels = suffixes(name).count().saturating_sub(1);
    suffixes(name).nth(labels.saturating_sub(usize::from(node.labels))).unwrap_or_default()
}
