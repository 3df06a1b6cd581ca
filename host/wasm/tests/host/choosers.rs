//! Plugins of the world `dns-answers`: what they choose, and what is answered when they fail.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_core::dns::answer::choose::{
    Address, Choice, Chooser, ChooserSource, Chosen, MAX_LIFETIME, Otherwise, Question,
};
use weir_core::dns::record::Type;
use weir_core::model::State;
use weir_core::schedule::Failure;
use weir_wasm::{Compiler, HostedChooser, Kind, inspect};

use crate::fixture::Node;
use crate::guest::{ChooserGuest, SPIN, TRAP, addresses, decision};

fn some(count: u8) -> Arc<[Address]> {
    let up = |n| Address {
        ip: IpAddr::from([192, 0, 2, n]),
        state: State::Up,
        weight: 1,
        load: None,
        labels: Arc::new([]),
    };
    (0..count).map(up).collect()
}

fn question(name: u32, prefix: u8) -> Question {
    let client = IpAddr::from([203, 0, 113, 0]);
    Question { name, kind: Type::A, client, prefix, labels: Arc::new([]) }
}

fn answer(indices: &[u32]) -> Choice {
    Choice::Answer(Chosen { addresses: indices.to_vec(), ..Chosen::default() })
}

/// A worker of the DNS front, without the front.
struct Worker {
    source: Arc<HostedChooser>,
    generation: u64,
    instance: Option<Box<dyn Chooser>>,
}

impl Worker {
    fn new(source: &Arc<HostedChooser>) -> Self {
        Self { source: Arc::clone(source), generation: 0, instance: None }
    }

    /// Asks about a name of these addresses.
    fn ask(&mut self, name: &Arc<str>, addresses: &Arc<[Address]>, prefix: u8) -> Choice {
        let generation = self.source.generation();
        if generation != self.generation {
            (self.generation, self.instance) = (generation, None);
        }
        if self.instance.is_none() {
            self.instance = self.source.instance(0);
        }
        let Some(instance) = &mut self.instance else { return Choice::Fallback };
        let number = instance.update(name, addresses).unwrap();
        let question = question(number, prefix);
        self.source.seen(0, name, &question);
        instance.decide(&question).unwrap_or_else(|failure| {
            if failure.poisons() {
                self.instance = None;
            }
            self.source.failed(0, generation, "decide", &failure);
            Choice::Fallback
        })
    }
}

/// Does `then` for 203.0.113.0/24, which is none of the made-up clients, and otherwise answers with address 1.
fn time_bomb(version: &str, then: &str) -> Vec<u8> {
    let client = u32::from_le_bytes([203, 0, 113, 0]);
    let trips = format!(
        "(i32.and (i32.eq (local.get $prefix) (i32.const 24)) (i32.eq (i32.load (local.get $client)) (i32.const {client})))"
    );
    let decide = format!("(if {trips} (then {then})) {}", addresses(&[1], 0, 0, 0));
    ChooserGuest::new(version, decide).build()
}

#[test]
fn a_choice_comes_back_within_its_bounds() {
    let node = Node::new();
    node.put("a.wasm", &ChooserGuest::new("1", addresses(&[2, 0, 2], 77, 32, u32::MAX)).build());
    let chooser = node.chooser();
    node.wait_for("1");
    let mut worker = Worker::new(&chooser);
    let (www, three) = ("www".into(), some(3));
    let chosen = Chosen { addresses: vec![2, 0], ttl: 77, scope: 24, lifetime: MAX_LIFETIME };
    assert_eq!(worker.ask(&www, &three, 24), Choice::Answer(chosen));
    let other: [(String, Choice); 4] = [
        (decision(1, 0), Choice::Fallback),
        (decision(2, 0), Choice::NoneUp(Otherwise::All)),
        (decision(2, 1), Choice::NoneUp(Otherwise::FallbackSet)),
        (decision(2, 2), Choice::NoneUp(Otherwise::NoData)),
    ];
    for (version, (decide, choice)) in (2..).zip(other) {
        node.put("a.wasm", &ChooserGuest::new(&version.to_string(), decide).build());
        node.wait_for(&version.to_string());
        assert_eq!(worker.ask(&www, &three, 24), choice);
    }
}

#[test]
fn names_are_numbered_as_they_are_told_and_the_same_list_is_told_once() {
    let node = Node::new();
    // Counts its updates: address 0 as often as it was told, then the number of the name.
    let guest = ChooserGuest {
        update: "(global.set $count (i32.add (global.get $count) (i32.const 1)))".into(),
        first_only: false,
        ..ChooserGuest::new(
            "1",
            format!(
                "{} (i32.store (i32.const 4096) (global.get $count)) (i32.store (i32.const 140) (local.get $name))",
                addresses(&[0], 0, 0, 0)
            ),
        )
    };
    let (a, b, ten): (Arc<str>, Arc<str>, _) = ("a".into(), "b".into(), some(10));
    let chooser = node.chooser();
    // One name is known from the start, and told before an instance is given out.
    chooser.names(Arc::new([(Arc::clone(&a), Arc::clone(&ten))]));
    node.put("a.wasm", &guest.build());
    node.wait_for("1");
    let mut instance = chooser.instance(0).unwrap();
    let mut ask = |name, addresses: &Arc<[Address]>| {
        let number = instance.update(name, addresses).unwrap();
        let Choice::Answer(chosen) = instance.decide(&question(number, 0)).unwrap() else { panic!() };
        assert_eq!(chosen.ttl, number, "the plugin's number of the name is the host's");
        (number, chosen.addresses[0])
    };
    assert_eq!(ask(&a, &ten), (0, 1));
    assert_eq!(ask(&b, &ten), (1, 2));
    assert_eq!(ask(&a, &ten), (0, 2));
    assert_eq!(ask(&a, &some(10)), (0, 3));
    // What is known is told beforehand, in the order of the list.
    chooser.names(Arc::new([(Arc::clone(&b), Arc::clone(&ten)), (Arc::clone(&a), Arc::clone(&ten))]));
    node.put("a.wasm", &ChooserGuest { version: "2".into(), ..guest }.build());
    node.wait_for("2");
    let mut instance = chooser.instance(0).unwrap();
    assert_eq!(instance.update(&a, &ten), Ok(1));
    let Choice::Answer(chosen) = instance.decide(&question(1, 0)).unwrap() else { panic!() };
    assert_eq!(chosen.addresses, [2]);
    assert_eq!(instance.decide(&question(9, 0)), Ok(Choice::Fallback), "no such number");
}

#[test]
fn an_index_out_of_range_is_a_failure_that_leaves_the_instance_alive() {
    let node = Node::new();
    node.put("a.wasm", &ChooserGuest::new("1", addresses(&[9], 0, 0, 0)).build());
    let chooser = node.chooser();
    // Ten addresses are made up for the trial; two are what the worker has.
    node.wait_for("1");
    let mut worker = Worker::new(&chooser);
    let two = some(2);
    for _ in 0..3 {
        assert_eq!(worker.ask(&"www".into(), &two, 0), Choice::Fallback);
    }
    let status = node.status();
    assert_eq!((status.failures["invalid"], status.state), (3, "active"));
    assert_eq!(
        status.last_error.as_deref(),
        Some("`decide` answered nonsense: answered with address 9 of 2")
    );
    assert_eq!(
        Failure::Invalid("answered with address 9 of 2".into()),
        worker.instance.unwrap().decide(&question(0, 0)).unwrap_err()
    );
}

#[test]
fn a_chooser_that_keeps_failing_is_quarantined_and_the_last_good_one_returns() {
    let node = Node::new();
    node.put("a.wasm", &ChooserGuest::new("1", addresses(&[0], 0, 0, 0)).build());
    let chooser = node.chooser();
    node.wait_for("1");
    let worker = std::cell::RefCell::new(Worker::new(&chooser));
    let (www, three) = ("www".into(), some(3));
    let ask = |prefix| worker.borrow_mut().ask(&www, &three, prefix);
    assert_eq!(ask(0), answer(&[0]));
    node.put("a.wasm", &time_bomb("2", SPIN));
    node.wait_for("2");
    assert_eq!(ask(0), answer(&[1]));
    node.changed.wait("quarantine", || {
        assert_ne!(ask(24), answer(&[1]));
        node.status().state == "quarantined"
    });
    node.wait_for("1");
    assert_eq!(ask(24), answer(&[0]));
    assert_eq!(node.status().failures["deadline"], 4);
}

#[test]
fn a_version_that_fails_at_a_recent_question_is_refused_by_the_canary() {
    let node = Node::new();
    node.put("a.wasm", &ChooserGuest::new("1", addresses(&[0], 0, 0, 0)).build());
    let chooser = node.chooser();
    node.wait_for("1");
    let mut worker = Worker::new(&chooser);
    let (www, three): (Arc<str>, _) = ("www".into(), some(3));
    chooser.names(Arc::new([(Arc::clone(&www), Arc::clone(&three))]));
    assert_eq!(worker.ask(&www, &three, 24), answer(&[0]));
    node.put("a.wasm", &time_bomb("2", TRAP));
    node.changed.wait("refusal", || node.status().reason.starts_with("canary: at request 1 it trapped"));
    assert_eq!(worker.ask(&www, &three, 24), answer(&[0]));
}

#[test]
fn plugin_check_takes_a_chooser_and_compares_its_golden_cases() {
    let wasm = ChooserGuest::new("1", addresses(&[1, 0], 30, 16, 5000)).build();
    let golden = |expect: &str| {
        format!(
            r#"{{ "cases": [ {{
                "names": [ {{ "name": "www", "addresses": [ {{ "ip": "192.0.2.1" }},
                    {{ "ip": "192.0.2.2", "state": "down", "weight": 3, "load": 0.5, "labels": {{ "site": "x" }} }} ] }} ],
                "questions": [ {{ "name": "www", "client": "203.0.113.0/24", "labels": {{ "country": "DE" }},
                    "expect": {expect} }} ] }} ] }}"#
        )
    };
    let check = |golden: &str| inspect(&wasm, "", Some(golden), Compiler::InProcess);
    let right = r#"{ "answer": { "addresses": ["192.0.2.2", "192.0.2.1"], "ttl": 30, "scope": 16, "lifetime-ms": 5000 } }"#;
    let report = check(&golden(right));
    assert_eq!((report.error, report.kind), (None, Some(Kind::DnsAnswers)));
    assert_eq!((report.self_test.questions, report.self_test.golden_cases), (1000, 1));
    for wrong in [
        r#"{ "answer": { "addresses": ["192.0.2.1", "192.0.2.2"] } }"#,
        r#"{ "answer": { "addresses": ["192.0.2.2", "192.0.2.1"], "ttl": 31 } }"#,
        r#""fallback""#,
        r#""no-data""#,
    ] {
        let said = check(&golden(wrong)).error.unwrap();
        assert!(said.starts_with("golden case 1: question 1: it answered Answer("), "{said}");
    }
    let said = check(&golden(right).replace("203.0.113.0/24", "203.0.113.0")).error.unwrap();
    assert!(said.ends_with("`203.0.113.0` is no `ADDRESS/BITS`"), "{said}");
    let lie = ChooserGuest::new("1", addresses(&[99], 0, 0, 0)).build();
    let said = inspect(&lie, "", None, Compiler::InProcess).error.unwrap();
    assert_eq!(said, "self-test: `decide` answered nonsense: answered with address 99 of 20");
    assert_eq!(Duration::from_secs(3600), MAX_LIFETIME);
}
