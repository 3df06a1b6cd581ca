//! Plugins of the world `agent-check`: what they say, and what becomes of checks when they fail.

use std::sync::mpsc;
use std::time::Duration;

use weir_core::health::{Admin, AgentReport, Health, Judge, Judgement, Observation, Subject, Weight};
use weir_core::model::State;
use weir_wasm::{Compiler, Kind, inspect};

use crate::fixture::Node;
use crate::guest::{Guest, JudgeGuest, SPIN, TRAP, error, verdict, verdict_of_everything};

fn subject() -> Subject {
    Subject { id: 7, name: "a".into(), current: State::Drain, streak: 3, labels: [].into() }
}

fn http(status: u16) -> Observation {
    Observation::Http { status, body: b"OK\n".to_vec(), latency: Duration::from_micros(42) }
}

/// Asks, and waits for the answer.
fn ask(judge: &dyn Judge, observation: Observation) -> Judgement {
    let (tell, told) = mpsc::channel();
    judge.judge(subject(), observation, Box::new(move |judgement| tell.send(judgement).unwrap()));
    told.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn healthy(health: Health) -> Judgement {
    Judgement::Verdict(AgentReport { health: Some(health), ..AgentReport::default() })
}

/// Does `then` at an HTTP status of 418, which is none of the made-up ones, and otherwise says up.
fn time_bomb(version: &str, then: &str) -> Vec<u8> {
    let trips =
        "(i32.and (i32.eq (local.get $case) (i32.const 1)) (i32.eq (local.get $first) (i32.const 418)))";
    let evaluate = format!("(if {trips} (then {then})) {}", verdict(Some(0), None));
    JudgeGuest::new(version, evaluate).build()
}

#[test]
fn an_observation_reaches_the_plugin_and_its_verdict_comes_back_within_its_bounds() {
    let node = Node::new();
    // All that is scalar in one number, as percent of the weight.
    let sum = "(i32.add (i32.add (local.get $id) (i32.mul (local.get $state) (i32.const 10)))
        (i32.add (i32.mul (local.get $streak) (i32.const 100)) (i32.mul (local.get $case) (i32.const 1000))))";
    let evaluate = format!("{} (i32.store (i32.const 144) {sum})", verdict(None, Some(0)));
    node.put("a.wasm", &JudgeGuest::new("1", evaluate).build());
    let judge = node.judge();
    node.wait_for("1");
    let weight = |observation| match ask(&*judge, observation) {
        Judgement::Verdict(report) => report.weight,
        other => panic!("{other:?}"),
    };
    for (observation, case) in [
        (Observation::Agent("up".into()), 0),
        (http(200), 1),
        (Observation::Tcp(Duration::from_micros(1)), 2),
        (Observation::Failed("refused".into()), 3),
        (Observation::Tick, 4),
    ] {
        // Id 7, drain is the third state, streak 3.
        assert_eq!(weight(observation), Some(Weight::Percent(327 + 1000 * case)));
    }
    node.put("a.wasm", &JudgeGuest::new("2", verdict_of_everything()).build());
    node.wait_for("2");
    let everything = AgentReport {
        health: Some(Health::Down),
        admin: Some(Admin::Drain),
        weight: Some(Weight::Absolute(256)),
        max_in_flight: Some(30),
        reason: Some("test".into()),
        complaint: None,
    };
    assert_eq!(ask(&*judge, http(200)), Judgement::Verdict(everything));
    node.put("a.wasm", &JudgeGuest::new("3", error()).build());
    node.wait_for("3");
    assert_eq!(ask(&*judge, http(200)), Judgement::Failed("test".into()));
    assert_eq!(node.status().failures.values().sum::<u64>(), 0, "an error is an answer");
}

#[test]
fn without_a_plugin_nobody_judges_and_a_failure_costs_one_check() {
    let node = Node::new();
    let judge = node.judge();
    assert_eq!(ask(&*judge, http(200)), Judgement::Nobody);
    node.put("a.wasm", &time_bomb("1", TRAP));
    node.wait_for("1");
    assert_eq!(ask(&*judge, http(200)), healthy(Health::Up));
    let Judgement::Failed(said) = ask(&*judge, http(418)) else { panic!() };
    assert!(said.starts_with("plugin judge: `evaluate` trapped: "), "{said}");
    // Until it is made again, as without a plugin.
    assert_eq!(ask(&*judge, http(200)), Judgement::Nobody);
    node.changed.wait("another instance", || ask(&*judge, http(200)) == healthy(Health::Up));
    assert_eq!((node.status().failures["trap"], node.status().state), (1, "active"));
}

#[test]
fn a_judge_that_keeps_spinning_is_quarantined_and_the_last_good_one_returns() {
    let node = Node::new();
    node.put("a.wasm", &JudgeGuest::new("1", verdict(Some(1), None)).build());
    let judge = node.judge();
    node.wait_for("1");
    assert_eq!(ask(&*judge, http(200)), healthy(Health::Down));
    node.put("a.wasm", &time_bomb("2", SPIN));
    node.wait_for("2");
    node.changed.wait("quarantine", || {
        ask(&*judge, http(418));
        node.status().state == "quarantined"
    });
    node.wait_for("1");
    assert_eq!(node.status().failures["deadline"], 4);
    assert_eq!(ask(&*judge, http(418)), healthy(Health::Down));
    assert!(node.status().last_good);
}

#[test]
fn a_version_that_fails_at_a_recent_observation_or_is_of_another_world_changes_nothing() {
    let node = Node::new();
    node.put("a.wasm", &JudgeGuest::new("1", verdict(Some(0), None)).build());
    let judge = node.judge();
    node.wait_for("1");
    assert_eq!(ask(&*judge, http(418)), healthy(Health::Up));
    node.put("a.wasm", &time_bomb("2", TRAP));
    node.changed.wait("refusal", || node.status().reason.starts_with("canary: at request 1 it trapped"));
    node.put("a.wasm", &Guest::default().build());
    let said =
        "this is a plugin of world `scheduler`, and where it is named one of world `agent-check` is wanted";
    node.changed.wait(said, || node.status().reason == said);
    let status = node.status();
    assert_eq!((status.state, status.world, status.last_good), ("rejected", Kind::AgentCheck, true));
    assert_eq!(ask(&*judge, http(200)), healthy(Health::Up));
}

#[test]
fn questions_that_wait_are_answered_when_the_judge_is_gone() {
    let node = Node::new();
    node.put("a.wasm", &time_bomb("1", SPIN));
    let judge = node.judge();
    node.wait_for("1");
    let (tell, told) = mpsc::channel();
    for status in [418, 200, 200] {
        let tell = tell.clone();
        judge.judge(subject(), http(status), Box::new(move |judgement| tell.send(judgement).unwrap()));
    }
    drop((judge, tell));
    assert_eq!(told.iter().count(), 3);
    assert!(node.runtime.status().is_empty());
}

#[test]
fn plugin_check_takes_a_judge_and_compares_its_golden_cases() {
    let wasm = JudgeGuest::new("1", verdict_of_everything()).build();
    let golden = |expect: &str| {
        format!(
            r#"{{ "cases": [ {{ "observations": [
                {{ "see": {{ "http": {{ "status": 200, "body": "OK" }} }}, "expect": {expect} }},
                {{ "node": {{ "current": "down", "streak": 2 }}, "see": "tick", "expect": {expect} }} ] }} ] }}"#
        )
    };
    let check = |golden: &str| inspect(&wasm, "", Some(golden), Compiler::InProcess);
    let all = r#""health": "down", "admin": "drain", "weight": "256", "max-in-flight": 30"#;
    let report = check(&golden(&format!(r#"{{ "verdict": {{ {all} }} }}"#)));
    assert_eq!((report.error, report.kind), (None, Some(Kind::AgentCheck)));
    assert_eq!((report.self_test.questions, report.self_test.golden_cases, report.plan), (1000, 1, None));
    let said = check(&golden(&format!(r#"{{ "verdict": {{ {all}, "reason": "other" }} }}"#))).error.unwrap();
    assert!(said.starts_with("golden case 1: observation 1: it answered Ok("), "{said}");
    let said = check(&golden(r#""error""#)).error.unwrap();
    assert!(said.ends_with("expected an error"), "{said}");
    let wasm = JudgeGuest::new("1", SPIN).build();
    let said = inspect(&wasm, "", None, Compiler::InProcess).error.unwrap();
    assert_eq!(said, "self-test: `evaluate` ran past its deadline of 50ms");
}
