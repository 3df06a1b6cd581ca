//! What is answered, and how often a plugin is asked for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::config;
use crate::dns::answer::choose::{Address, Chooser, ChooserSource, Chosen, Names};
use crate::dns::policy::{Candidate, StateFile};
use crate::dns::record::Type;
use crate::dns::zone::{Place, PolicyRecord};
use crate::model::State;
use crate::schedule::Failure;

/// Says always the same, or fails, and counts how often it is asked.
#[derive(Default)]
struct Fixed {
    says: Option<Choice>,
    asked: AtomicU64,
    updates: AtomicU64,
    generation: AtomicU64,
    failures: AtomicU64,
    given_out: AtomicU64,
    /// The value of the last question's first label, an IPv4 address; 0 where it had none.
    told: AtomicU64,
}

struct Hand(Arc<Fixed>);

/// The source, and what its instances share.
struct Source(Arc<Fixed>);

impl Chooser for Hand {
    fn update(&mut self, _: &Arc<str>, _: &Arc<[Address]>) -> Result<u32, Failure> {
        self.0.updates.fetch_add(1, Ordering::Relaxed);
        Ok(5)
    }

    fn decide(&mut self, question: &Question) -> Result<Choice, Failure> {
        assert_eq!(question.name, 5, "the number that it gave");
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let told = question.labels.first().map_or(0, |(_, value)| address(value));
        self.0.told.store(told, Ordering::Relaxed);
        self.0.says.clone().ok_or_else(|| Failure::Trap("unreachable".into()))
    }
}

impl ChooserSource for Source {
    fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Relaxed)
    }

    fn instance(&self, worker: usize) -> Option<Box<dyn Chooser>> {
        assert_eq!(worker, 3);
        self.0.given_out.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(Hand(Arc::clone(&self.0))))
    }

    fn names(&self, _: Names) {}

    fn failed(&self, _: usize, _: u64, _: &'static str, _: &Failure) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn seen(&self, _: usize, _: &Arc<str>, _: &Question) {}
}

struct Bench {
    deciders: Deciders,
    policy: Policy,
    table: Arc<Table>,
    plugin: Arc<Fixed>,
}

/// A policy with these addresses, decided by a plugin that says this.
fn bench(addresses: &[(&str, State)], says: Option<Choice>) -> Bench {
    let list: Vec<String> = addresses.iter().map(|(ip, _)| format!("{{ address = \"{ip}\" }}")).collect();
    let text = format!(
        "version = 1\n[nodes.n]\nroles = [\"dns\"]\n[dns.policies.web]\nall-down = \"no-data\"\naddresses = [{}]\n",
        list.join(", ")
    );
    let fleet = config::parse("fleet.toml", &text).unwrap();
    let config = &fleet.dns.policies["web"];
    let candidates = config.addresses.iter().zip(addresses).map(|(configured, (_, state))| {
        let mut candidate = Candidate::new(config, configured, None, &StateFile::default());
        candidate.address.state = *state;
        candidate
    });
    let plugin = Arc::new(Fixed { says, ..Fixed::default() });
    let source = Arc::new(Source(Arc::clone(&plugin)));
    let policy = Policy::new("web".into(), config, candidates.collect(), Some(source));
    let table = Arc::new(Table::new([Arc::new(policy.clone())]));
    Bench { deciders: Deciders::new(3, Arc::clone(&table), 7), policy, table, plugin }
}

impl Bench {
    fn at(&mut self, micros: u64) -> &mut Self {
        self.deciders.at(Moment::from_micros(micros), &self.table);
        self
    }

    /// Another table with the same policy.
    fn publish(&mut self, change: impl FnOnce(&mut Policy)) -> &mut Self {
        change(&mut self.policy);
        self.table = Arc::new(Table::new([Arc::new(self.policy.clone())]));
        self
    }

    /// Addresses, TTL and scope.
    fn ask(&mut self, client: &str) -> (Vec<String>, u32, u8) {
        self.ask_within(client, 24)
    }

    fn ask_within(&mut self, client: &str, prefix: u8) -> (Vec<String>, u32, u8) {
        let record = record();
        let client = client.parse().unwrap();
        let asked = Asked { record: &record, name: b"\0", kind: Type::A, client, prefix };
        let decision = self.deciders.decide(&asked).unwrap();
        let addresses = decision.addresses.iter().map(ToString::to_string).collect();
        (addresses, decision.ttl, decision.scope)
    }

    fn asked(&self) -> u64 {
        self.plugin.asked.load(Ordering::Relaxed)
    }
}

fn record() -> PolicyRecord {
    PolicyRecord { policy: "web".into(), max_ttl: 60, place: Place { file: "zone".into(), line: 1 } }
}

fn answer(addresses: &[u32], scope: u8, lifetime: Duration) -> Option<Choice> {
    Some(Choice::Answer(Chosen { addresses: addresses.to_vec(), ttl: 30, scope, lifetime }))
}

const TWO: [(&str, State); 3] =
    [("192.0.2.1", State::Up), ("2001:db8::1", State::Up), ("192.0.2.2", State::Up)];

fn texts(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|a| (*a).to_owned()).collect()
}

#[test]
fn a_plugin_is_asked_once_within_scope_and_lifetime() {
    let mut b = bench(&TWO, answer(&[2, 0], 16, Duration::from_micros(50)));
    let decided = (texts(&["192.0.2.2", "192.0.2.1"]), 30, 16);
    assert_eq!(b.at(0).ask("203.0.113.1"), decided);
    assert_eq!(b.deciders.take_origin(), Some(Origin { by: By::Policy, repeated: false }));
    assert_eq!(b.at(49).ask("203.0.0.1"), decided, "the same /16");
    assert_eq!(b.deciders.take_origin(), Some(Origin { by: By::Policy, repeated: true }));
    assert_eq!((b.asked(), b.deciders.take_origin()), (1, None));
    b.ask("203.1.0.1");
    assert_eq!(b.asked(), 2);
    b.at(50).ask("203.0.113.1");
    assert_eq!(b.asked(), 3, "its time is over");
    assert_eq!(b.plugin.updates.load(Ordering::Relaxed), 1, "told of the addresses once");
}

#[test]
fn what_was_decided_for_half_of_the_internet_is_no_decision_for_a_client_in_it() {
    let mut b = bench(&TWO, answer(&[2, 0], 24, Duration::from_secs(9)));
    assert_eq!(b.ask_within("203.0.113.1", 1).2, 1, "no more than is known");
    b.ask_within("203.0.113.1", 32);
    assert_eq!(b.asked(), 2);
    b.ask_within("203.0.113.1", 1);
    b.ask_within("203.0.113.2", 32);
    b.ask_within("203.0.113.0", 24);
    assert_eq!(b.asked(), 2, "each is repeated to its own");
}

#[test]
fn a_lifetime_of_zero_asks_for_each_query() {
    let mut b = bench(&TWO, answer(&[0], 0, Duration::ZERO));
    for _ in 0..3 {
        b.ask("203.0.113.1");
    }
    assert_eq!(b.asked(), 3);
}

#[test]
fn a_change_of_a_state_or_of_the_plugin_ends_what_is_repeated_at_once() {
    let mut b = bench(&TWO, answer(&[0], 0, Duration::from_secs(9)));
    b.at(0).ask("203.0.113.1");
    b.publish(|policy| policy.addresses = policy.addresses.to_vec().into()).at(1).ask("203.0.113.1");
    assert_eq!((b.asked(), b.plugin.updates.load(Ordering::Relaxed)), (2, 2));
    assert_eq!(b.plugin.given_out.load(Ordering::Relaxed), 1, "the instance stays");
    b.plugin.generation.store(1, Ordering::Relaxed);
    b.at(2).ask("203.0.113.1");
    assert_eq!((b.asked(), b.plugin.given_out.load(Ordering::Relaxed)), (3, 2));
    b.at(3).ask("203.0.113.1");
    assert_eq!(b.asked(), 3);
}

#[test]
fn another_plugin_begins_with_instances_of_its_own() {
    let mut b = bench(&TWO, answer(&[0], 0, Duration::from_secs(9)));
    b.at(0).ask("203.0.113.1");
    let other = Arc::new(Fixed { says: answer(&[2], 0, Duration::ZERO), ..Fixed::default() });
    let source = Arc::new(Source(Arc::clone(&other)));
    assert_eq!(b.publish(|policy| policy.source = Some(source)).at(1).ask("203.0.113.1").0, ["192.0.2.2"]);
    assert_eq!((b.asked(), other.asked.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn where_a_plugin_fails_all_that_are_up_are_the_answer_and_it_is_asked_for_again_later() {
    let mut b = bench(&TWO, None);
    for micros in [0, 1, 99_999] {
        let (mut addresses, _, scope) = b.at(micros).ask("203.0.113.1");
        addresses.sort();
        assert_eq!((addresses, scope), (texts(&["192.0.2.1", "192.0.2.2"]), 0));
    }
    assert_eq!((b.asked(), b.plugin.failures.load(Ordering::Relaxed)), (1, 1));
    b.at(100_000).ask("203.0.113.1");
    assert_eq!(b.asked(), 2);
    let mut lies = bench(&TWO, answer(&[7], 0, Duration::from_secs(9)));
    lies.ask("203.0.113.1");
    lies.ask("203.0.113.1");
    assert_eq!(
        (lies.asked(), lies.plugin.given_out.load(Ordering::Relaxed)),
        (2, 1),
        "a lie poisons nothing"
    );
}

#[test]
fn while_none_is_up_the_answer_is_what_the_fleet_file_says() {
    let mut b = bench(&[("192.0.2.1", State::Down)], Some(Choice::Fallback));
    assert_eq!(b.ask("203.0.113.1").0, texts(&[]));
    assert_eq!(b.deciders.take_origin().unwrap().by, By::NoData);
}

#[test]
fn without_a_plugin_every_address_is_the_first_about_equally_often() {
    let mut b = bench(&TWO, None);
    b.publish(|policy| policy.source = None).at(1);
    let mut first = BTreeMap::new();
    for _ in 0..4000 {
        *first.entry(b.ask("203.0.113.1").0.remove(0)).or_insert(0) += 1;
    }
    assert!(first.len() == 2 && first.values().all(|n| (1800..2200).contains(n)), "{first:?}");
    assert_eq!(b.plugin.given_out.load(Ordering::Relaxed), 0);
}

#[test]
fn a_policy_that_nobody_knows_leaves_the_answer_to_the_zone() {
    let mut b = bench(&TWO, None);
    b.table = Arc::new(Table::default());
    b.at(1);
    let record = record();
    let asked = Asked { record: &record, name: b"\0", kind: Type::A, client: [0; 4].into(), prefix: 0 };
    assert!(b.deciders.decide(&asked).is_none());
}

#[test]
fn a_plugin_is_told_no_more_of_a_client_than_is_known() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(cut(ip("203.0.113.77"), 20), ip("203.0.112.0"));
    assert_eq!(
        (cut(ip("203.0.113.77"), 0), cut(ip("203.0.113.77"), 32)),
        (ip("0.0.0.0"), ip("203.0.113.77"))
    );
    assert_eq!(cut(ip("2001:db8:ffff::1"), 33), ip("2001:db8:8000::"));
}

fn address(text: &str) -> u64 {
    text.parse::<std::net::Ipv4Addr>().unwrap().to_bits().into()
}

/// Knows of every client what its address is.
#[derive(Debug)]
struct Mirror;

impl Networks for Mirror {
    fn labels(&self, client: IpAddr) -> Labels {
        Labels::from([("is".to_owned(), client.to_string())])
    }
}

#[test]
fn a_plugin_is_told_what_is_known_of_the_network_and_asked_again_under_another_database() {
    let mut bench = bench(&[("192.0.2.1", State::Up)], answer(&[0], 24, Duration::from_secs(60)));
    let told = |bench: &Bench| bench.plugin.told.load(Ordering::Relaxed);
    bench.at(0).ask("203.0.113.7");
    assert_eq!(told(&bench), 0);
    bench.table = Arc::new((*bench.table).clone().with_networks(Some(Arc::new(Mirror))));
    bench.at(1).ask("203.0.113.7");
    assert_eq!(told(&bench), address("203.0.113.0"), "the network, not the client");
    bench.at(2).ask("203.0.113.9");
    assert_eq!(bench.plugin.asked.load(Ordering::Relaxed), 2, "repeated within the scope");
}
