//! Every policy with its addresses as they stand now: immutable, swapped whole.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::networks::Networks;
use super::state_file::StateFile;
use super::ttl::time_to_change;
use crate::config::{AllDown, Check, DnsAddress, DnsPolicy, Unlisted};
use crate::dns::answer::choose::{Address, ChooserSource, Labels, Otherwise, Rules};
use crate::dns::record::Type;
use crate::health::{Load, Status};
use crate::model::State;

/// An address, and what of it plugins are not told.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The address as it stands.
    pub address: Address,
    /// The TTL of answers that depend on it, seconds, before the bounds of its policy.
    pub ttl: u32,
    /// Why it is not up, for a person; empty where it is.
    pub reason: Arc<str>,
}

impl Candidate {
    /// An address of a policy of the fleet file, by what is known of it. `status` is what its checks and operators say, with the
    /// state file's word already among it (see [`inherited`]); `None` where nobody has looked yet.
    pub fn new(
        policy: &DnsPolicy,
        configured: &DnsAddress,
        status: Option<&Status>,
        file: &StateFile,
    ) -> Self {
        let timing = policy.check.as_ref().map(Check::timing);
        // Where nobody has looked it is not up, and that may change at any moment.
        let state = status.map_or(State::Down, |s| s.state);
        let is_in_doubt = status.is_none_or(|s| s.note.is_some());
        let by_checks = time_to_change(timing.as_ref(), state, is_in_doubt).map_or(u32::MAX, seconds);
        let by_file = file.of(configured.address).and_then(|said| said.ttl).unwrap_or(u32::MAX);
        let load = status.and_then(|s| s.load).map(Load::as_f32);
        let labels: Labels = configured.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        Self {
            address: Address { ip: configured.address, state, weight: configured.weight, load, labels },
            ttl: by_checks.min(by_file),
            reason: status.map_or("has not been checked yet".into(), |s| s.reason.as_str().into()),
        }
    }
}

/// What the state file makes of an address, for [`crate::health::Event::Inherited`]: its word is one of several, and any that says
/// "down" is enough.
pub fn inherited(file: &StateFile, address: IpAddr, unlisted: Unlisted) -> State {
    match (file.of(address), unlisted) {
        (Some(said), _) => said.state,
        (None, Unlisted::Up) => State::Up,
        (None, Unlisted::Down) => State::Down,
    }
}

fn seconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// A policy, as it stands.
#[derive(Clone)]
pub struct Policy {
    /// Its name in the fleet file.
    pub name: Arc<str>,
    /// In the order of the fleet file.
    pub candidates: Arc<[Candidate]>,
    /// The same as plugins are told of them.
    pub addresses: Arc<[Address]>,
    /// For A and for AAAA: the TTL of the host's own choices differs, since families are judged apart.
    rules: [Rules; 2],
    /// Where its plugin comes from; `None` where it has none.
    pub source: Option<Arc<dyn ChooserSource>>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Policy {
    /// A policy of the fleet file whose addresses stand so.
    pub fn new(
        name: Arc<str>,
        config: &DnsPolicy,
        candidates: Vec<Candidate>,
        source: Option<Arc<dyn ChooserSource>>,
    ) -> Self {
        let rules = |kind| Rules {
            ttl: (seconds(config.min_ttl.get()), seconds(config.max_ttl.get())),
            // Until the first of the addresses could be noticed to have changed.
            own_ttl: candidates
                .iter()
                .filter(|c| c.address.is_of(kind))
                .map(|c| c.ttl)
                .min()
                .unwrap_or(u32::MAX),
            otherwise: match config.all_down {
                AllDown::All => Otherwise::All,
                AllDown::Fallback => Otherwise::FallbackSet,
                AllDown::NoData => Otherwise::NoData,
            },
            fallback_set: config.fallback.as_slice().into(),
        };
        let rules = [rules(Type::A), rules(Type::AAAA)];
        let addresses = candidates.iter().map(|c| c.address.clone()).collect();
        Self { name, candidates: candidates.into(), addresses, rules, source }
    }

    /// Whether the same holds for its answers as for this one's.
    pub fn is_ruled_as(&self, other: &Self) -> bool {
        self.rules == other.rules
    }

    /// What holds for answers of this type.
    pub fn rules(&self, kind: Type) -> &Rules {
        let [a, aaaa] = &self.rules;
        if kind == Type::A { a } else { aaaa }
    }
}

/// All policies at one moment.
#[derive(Debug, Clone, Default)]
pub struct Table {
    policies: Vec<Arc<Policy>>,
    by_name: HashMap<Arc<str>, u32>,
    networks: Option<Arc<dyn Networks>>,
}

impl Table {
    /// These policies.
    pub fn new(policies: impl IntoIterator<Item = Arc<Policy>>) -> Self {
        let policies: Vec<_> = policies.into_iter().collect();
        let names = policies.iter().map(|policy| Arc::clone(&policy.name));
        let by_name = names.zip(0..).collect();
        Self { policies, by_name, networks: None }
    }

    /// The same, with what is known of clients' networks. A part of the table, since decisions by one database do not hold under another.
    #[must_use]
    pub fn with_networks(self, networks: Option<Arc<dyn Networks>>) -> Self {
        Self { networks, ..self }
    }

    /// What is known of clients' networks.
    pub fn networks(&self) -> Option<&Arc<dyn Networks>> {
        self.networks.as_ref()
    }

    /// The policy of this name, and its number in this table.
    pub fn find(&self, name: &str) -> Option<(u32, &Arc<Policy>)> {
        let number = *self.by_name.get(name)?;
        Some((number, self.policies.get(usize::try_from(number).ok()?)?))
    }

    /// Every policy.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Fleet};
    use crate::health::{Bits, Cause};

    fn fleet(more: &str) -> Fleet {
        let text = format!(
            "version = 1\n[nodes.n]\nroles = [\"dns\"]\n[dns.policies.web]\n{more}\naddresses = [{{ address = \"192.0.2.1\" }}, \
             {{ address = \"192.0.2.2\", weight = 0 }}, {{ address = \"2001:db8::1\" }}]\n"
        );
        config::parse("fleet.toml", &text).unwrap()
    }

    fn status(state: State, note: Option<&str>) -> Status {
        Status {
            state,
            weight: 1,
            max_in_flight: None,
            cause: Cause::Nothing,
            reason: String::new(),
            note: note.map(str::to_owned),
            untried: None,
            judgement: None,
            load: None,
            load_fault: None,
            slow_start: None,
            bits: Bits::default(),
            since: crate::time::Moment::ZERO,
        }
    }

    /// The TTLs of A and AAAA.
    fn ttls(more: &str, statuses: &[Option<Status>], file: &str) -> (u32, u32) {
        let (fleet, file) = (fleet(more), StateFile::parse(file).unwrap());
        let config = &fleet.dns.policies["web"];
        let addresses = config.addresses.iter().zip(statuses);
        let candidates = addresses.map(|(a, s)| Candidate::new(config, a, s.as_ref(), &file)).collect();
        let policy = Policy::new("web".into(), config, candidates, None);
        (policy.rules(Type::A).own_ttl, policy.rules(Type::AAAA).own_ttl)
    }

    #[test]
    fn a_ttl_is_the_time_until_the_first_address_of_its_type_can_have_changed() {
        let check =
            "check = { type = \"http\", interval = \"10s\", fast-interval = \"5s\", rise = 2, fall = 4 }";
        let (up, down) = (Some(status(State::Up, None)), Some(status(State::Down, None)));
        let all = [up.clone(), up.clone(), up.clone()];
        assert_eq!(ttls(check, &all, ""), (25, 25));
        assert_eq!(ttls(check, &[up.clone(), down, up.clone()], ""), (15, 25));
        let doubted = [Some(status(State::Up, Some("1 of 4 failed checks"))), up.clone(), up.clone()];
        assert_eq!(ttls(check, &doubted, ""), (5, 25));
        assert_eq!(ttls(check, &[None, up.clone(), up], ""), (5, 25), "nobody has looked");
        assert_eq!(ttls("", &all, ""), (u32::MAX, u32::MAX), "nobody looks");
        assert_eq!(ttls(check, &all, "2001:db8::1 => UP/7"), (25, 7));
    }

    #[test]
    fn a_weight_of_0_is_no_drain() {
        let fleet = fleet("");
        let config = &fleet.dns.policies["web"];
        assert_eq!((config.addresses[1].weight, config.health(&config.addresses[1]).weight), (0, 1));
        let up = status(State::Up, None);
        let candidate = Candidate::new(config, &config.addresses[1], Some(&up), &StateFile::default());
        assert_eq!((candidate.address.weight, candidate.address.state), (0, State::Up));
    }

    #[test]
    fn the_load_that_its_check_heard_is_what_plugins_are_told_of_an_address() {
        let fleet = fleet("");
        let config = &fleet.dns.policies["web"];
        let of = |status| Candidate::new(config, &config.addresses[0], status, &StateFile::default());
        let busy = Status { load: Load::parse(b"75%").ok(), ..status(State::Up, None) };
        assert_eq!(of(Some(&busy)).address.load, Some(0.75));
        assert_eq!((of(Some(&status(State::Up, None))).address.load, of(None).address.load), (None, None));
    }

    #[test]
    fn an_unlisted_address_is_what_the_fleet_file_says() {
        let file = StateFile::parse("192.0.2.1 => DOWN").unwrap();
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(inherited(&file, one, Unlisted::Up), State::Down);
        assert_eq!(inherited(&file, two, Unlisted::Up), State::Up);
        assert_eq!(inherited(&file, two, Unlisted::Down), State::Down);
        assert_eq!(inherited(&StateFile::default(), one, Unlisted::Down), State::Down);
    }
}
