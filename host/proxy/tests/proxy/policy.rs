//! Policies that are asked for each request: how they are kept, and what happens when they fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_core::model::Server;
use weir_core::schedule::{Choice, Failure, Outcome, Plan, Policy, PolicySource, Request, View};

use crate::site::{Origin, Plans, Reply, Site, eventually, nobody, ok, servers};

/// What happened between a shard and its policy, in order.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Given(u64),
    Update(usize),
    Pick(u32, u64),
    Result(u32, Outcome),
    Failed(&'static str),
    Dropped(u64),
}

type Answers = Box<dyn Fn(Request) -> Result<Choice, Failure> + Send + Sync>;

/// A source of policies that pick as told.
struct Source {
    generation: AtomicU64,
    empty: AtomicBool,
    answers: Arc<Answers>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Source {
    fn new(answers: impl Fn(Request) -> Result<Choice, Failure> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            generation: AtomicU64::new(1),
            empty: AtomicBool::new(false),
            answers: Arc::new(Box::new(answers)),
            events: Arc::default(),
        })
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl PolicySource for Source {
    fn plan(&self, _: &Arc<[Server]>) -> Plan {
        Plan::PerRequest
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn instance(&self, _: usize) -> Option<Box<dyn Policy>> {
        if self.empty.load(Ordering::SeqCst) {
            return None;
        }
        let generation = self.generation();
        self.events.lock().unwrap().push(Event::Given(generation));
        Some(Box::new(Instance { generation, answers: self.answers.clone(), events: self.events.clone() }))
    }

    fn failed(&self, _: usize, _: u64, hook: &'static str, _: &Failure) {
        self.events.lock().unwrap().push(Event::Failed(hook));
    }

    fn seen(&self, _: usize, _: Request) {}
}

struct Instance {
    generation: u64,
    answers: Arc<Answers>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Policy for Instance {
    fn update(&mut self, servers: &Arc<[Server]>) -> Result<Plan, Failure> {
        self.events.lock().unwrap().push(Event::Update(servers.len()));
        Ok(Plan::PerRequest)
    }

    fn pick(&mut self, request: Request) -> Result<Choice, Failure> {
        self.events.lock().unwrap().push(Event::Pick(request.attempt, request.tried));
        (self.answers)(request)
    }

    fn wants_results(&self) -> bool {
        true
    }

    fn on_result(&mut self, server: u32, outcome: Outcome, _: Duration) -> Result<(), Failure> {
        self.events.lock().unwrap().push(Event::Result(server, outcome));
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.events.lock().unwrap().push(Event::Dropped(self.generation));
    }
}

fn site(source: &Arc<Source>, list: Arc<[Server]>) -> Site {
    let plans = Plans { plan: Some(Plan::PerRequest), source: Some(source.clone()), ..Plans::default() };
    Site::new(list, plans)
}

#[test]
fn a_policy_is_told_of_the_servers_then_asked_then_told_the_result() {
    let origins = ["a", "b"].map(Origin::saying);
    let source = Source::new(|_| Ok(Choice::Server(1)));
    let site = site(&source, servers(&origins.each_ref().map(|o| (o.address, 1))));
    let mut client = site.client();
    assert_eq!((client.get("/").body, client.get("/").body), ("b".into(), "b".into()));
    let one = [Event::Pick(0, 0), Event::Result(1, Outcome::Success)];
    let want = [&[Event::Given(1), Event::Update(2)][..], &one, &one].concat();
    assert_eq!(source.events(), want);
    assert_eq!(site.pool.stats().decisions[2], 2);
}

#[test]
fn a_policy_is_not_told_of_an_idle_connection_that_the_server_closed() {
    // Closes every connection at its second request.
    let origin = {
        let last = AtomicU64::new(u64::MAX);
        Origin::start(move |seen| {
            let connection = seen.connection as u64;
            if last.swap(connection, Ordering::SeqCst) == connection { Reply::Close } else { ok("a") }
        })
    };
    let source = Source::new(|_| Ok(Choice::Server(0)));
    let site = site(&source, servers(&[(origin.address, 1)]));
    let mut client = site.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(origin.connections() > 1, "no connection was closed");
    let results = source.events().into_iter().filter(|e| matches!(e, Event::Result(..)));
    assert_eq!(results.collect::<Vec<_>>(), vec![Event::Result(0, Outcome::Success); 5]);
}

#[test]
fn a_new_view_is_told_before_the_next_pick() {
    let origins = ["a", "b"].map(Origin::saying);
    let source = Source::new(|_| Ok(Choice::Server(0)));
    let site = site(&source, servers(&[(origins[0].address, 1)]));
    let mut client = site.client();
    client.get("/");
    let both = servers(&origins.each_ref().map(|o| (o.address, 1)));
    site.pool.set_view(View::new(2, 2, both, Plan::PerRequest));
    client.get("/");
    let updates: Vec<_> =
        source.events().into_iter().filter(|e| matches!(e, Event::Update(_) | Event::Pick(..))).collect();
    assert_eq!(updates, [Event::Update(1), Event::Pick(0, 0), Event::Update(2), Event::Pick(0, 0)]);
}

#[test]
fn a_policy_that_always_traps_costs_no_request_and_is_not_asked_for_again_at_once() {
    let origin = Origin::saying("a");
    let source = Source::new(|_| Err(Failure::Trap("unreachable".into())));
    let site = site(&source, servers(&[(origin.address, 1)]));
    let mut client = site.client();
    for _ in 0..200 {
        assert_eq!(client.get("/").status, 200);
    }
    let stats = site.pool.stats();
    assert_eq!((stats.decisions[2], stats.decisions[4]), (0, 200));
    let events = source.events();
    let given = events.iter().filter(|e| matches!(e, Event::Given(_))).count();
    let failed = events.iter().filter(|e| **e == Event::Failed("pick")).count();
    // Each instance fails once and is dropped; the next is asked for a tenth of a second later.
    assert_eq!(given, failed);
    assert!(given < 100, "{given} instances for 200 requests");
    assert_eq!(stats.policy_failures, failed as u64);
}

#[test]
fn a_wrong_answer_is_reported_and_the_instance_kept() {
    let origin = Origin::saying("a");
    let source = Source::new(|_| Ok(Choice::Server(7)));
    let site = site(&source, servers(&[(origin.address, 1)]));
    let mut client = site.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    let events = source.events();
    assert_eq!(events.iter().filter(|e| **e == Event::Failed("pick")).count(), 3);
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Given(_))).count(), 1);
}

#[test]
fn refusing_is_a_503() {
    let source = Source::new(|_| Ok(Choice::Refuse));
    let site = site(&source, servers(&[(nobody(), 1)]));
    assert_eq!(site.client().get("/").status, 503);
    assert_eq!(site.pool.stats().decisions[5], 1);
}

#[test]
fn a_retry_asks_again_and_says_what_was_tried() {
    let origin = Origin::saying("a");
    let source = Source::new(|request| Ok(Choice::Server(if request.tried & 1 == 0 { 0 } else { 1 })));
    let site = site(&source, servers(&[(nobody(), 1), (origin.address, 1)]));
    assert_eq!(site.client().get("/").body, "a");
    let events = source.events();
    let want = [
        Event::Pick(0, 0),
        Event::Result(0, Outcome::ConnectionFailed),
        Event::Pick(1, 1),
        Event::Result(1, Outcome::Success),
    ];
    assert_eq!(events[2..], want);
}

#[test]
fn an_idle_shard_lets_go_of_the_old_version_when_it_is_nudged() {
    let source = Source::new(|_| Ok(Choice::Server(0)));
    let origin = Origin::saying("a");
    let site = site(&source, servers(&[(origin.address, 1)]));
    site.client().get("/");
    source.generation.store(2, Ordering::Relaxed);
    site.shards.nudge();
    eventually("the new version is told of the servers", || {
        source.events().ends_with(&[Event::Dropped(1), Event::Given(2), Event::Update(1)])
    });
    // And where there is no new one, the old one still goes.
    source.empty.store(true, Ordering::SeqCst);
    source.generation.store(3, Ordering::Relaxed);
    site.shards.nudge();
    eventually("the old version is dropped", || source.events().last() == Some(&Event::Dropped(2)));
    assert_eq!(site.client().get("/").status, 200);
}

#[test]
fn a_pool_that_gets_another_policy_keeps_nothing_of_the_old_one() {
    let origins = ["a", "b"].map(Origin::saying);
    let (old, new) = (Source::new(|_| Ok(Choice::Server(0))), Source::new(|_| Ok(Choice::Server(1))));
    let list = servers(&origins.each_ref().map(|o| (o.address, 1)));
    let site = site(&old, list.clone());
    let mut client = site.client();
    assert_eq!(client.get("/").body, "a");
    site.pool.set_policy(View::new(2, 1, list.clone(), Plan::PerRequest), Some(new.clone()));
    assert_eq!(client.get("/").body, "b");
    assert_eq!(old.events().last(), Some(&Event::Dropped(1)));
    assert_eq!(new.events()[..2], [Event::Given(1), Event::Update(2)]);
    site.pool.set_policy(View::new(3, 1, list, Plan::Fallback), None);
    client.get("/");
    assert_eq!(new.events().last(), Some(&Event::Dropped(1)));
    assert_eq!((Arc::strong_count(&old), site.pool.stats().decisions[3]), (1, 1));
}

#[test]
fn an_instance_that_was_given_just_before_the_generation_grew_is_kept() {
    let source = Source::new(|_| Ok(Choice::Server(0)));
    source.empty.store(true, Ordering::SeqCst);
    let origin = Origin::saying("a");
    let site = site(&source, servers(&[(origin.address, 1)]));
    let mut client = site.client();
    client.get("/");
    // The source has filled its hands, and its number is still the old one.
    source.empty.store(false, Ordering::SeqCst);
    eventually("the instance is given", || {
        client.get("/");
        source.events().contains(&Event::Given(1))
    });
    source.empty.store(true, Ordering::SeqCst);
    source.generation.store(2, Ordering::Relaxed);
    let picks = || source.events().iter().filter(|e| matches!(e, Event::Pick(..))).count();
    let before = picks();
    client.get("/");
    client.get("/");
    assert_eq!(picks(), before + 2);
}
