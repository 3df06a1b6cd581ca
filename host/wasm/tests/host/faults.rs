//! One guest, one fault, one sentence for the operator.

use std::sync::Arc;
use std::time::Duration;

use weir_core::schedule::{Choice, Failure, Outcome, Plan, Policy, Request};
use weir_wasm::compile::Workshop;
use weir_wasm::engine::Engines;
use weir_wasm::imports::{Host, Meters, Voice};
use weir_wasm::instance::{SchedulerInstance, SetupError};
use weir_wasm::{Compiler, CustomValue, inspect};

use crate::fixture::servers;
use crate::guest::{GROW, Guest, SPIN, TRAP, answer, list};

const MEMORY: usize = 1 << 20;

fn load(wasm: &[u8]) -> Result<(Engines, weir_wasm::check::Checked), String> {
    let dir = tempfile::tempdir().unwrap();
    let engines = Engines::start(1, 1).unwrap();
    let workshop = Workshop::new(&engines, Compiler::InProcess, &dir.path().join("cache")).unwrap();
    let loaded = workshop.load(wasm, weir_core::plugin::Digest([0; 32])).map_err(|e| e.to_string())?;
    Ok((engines, loaded.checked))
}

fn make(guest: &Guest, meters: &Arc<Meters>) -> Result<SchedulerInstance, SetupError> {
    let (engines, checked) = load(&guest.build()).unwrap();
    let host = Host::new(MEMORY, Arc::new(Voice::new("test")), Arc::clone(meters));
    let mut instance = SchedulerInstance::new(&engines, &checked, host)?;
    instance.configure("")?;
    Ok(instance)
}

fn instance(guest: &Guest) -> SchedulerInstance {
    make(guest, &Arc::default()).unwrap()
}

fn pick(guest: &Guest) -> Result<Choice, Failure> {
    let mut instance = instance(guest);
    instance.update(&servers(3))?;
    instance.pick(Request::default())
}

fn error_of(wasm: &[u8]) -> String {
    load(wasm).unwrap_err()
}

#[test]
fn one_instance_more_than_there_is_room_for_is_told_from_a_bad_plugin() {
    let (engines, checked) = load(&Guest::default().build()).unwrap();
    assert!(engines.pooled());
    let host = || Host::new(MEMORY, Arc::new(Voice::new("test")), Arc::default());
    let mut made = Vec::new();
    let refused = loop {
        match SchedulerInstance::new(&engines, &checked, host()) {
            Ok(instance) => made.push(instance),
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, SetupError::NoRoom(_)), "{refused}");
    // For 32 plugins: a worker's, the planner's and the one on trial, of two generations.
    assert_eq!(made.len(), 32 * 3 * 2);
    made.pop();
    assert!(SchedulerInstance::new(&engines, &checked, host()).is_ok());
}

#[test]
fn a_good_guest_answers() {
    let mut instance = instance(&Guest::picks(2));
    let said = instance.describe().unwrap();
    assert_eq!((said.name.as_str(), said.version.as_str()), ("test", "1.0.0"));
    assert_eq!(instance.update(&servers(3)), Ok(Plan::PerRequest));
    assert_eq!(instance.pick(Request::default()), Ok(Choice::Server(2)));
    assert!(!instance.wants_results());
    assert_eq!(instance.memory(), 4 << 16);
    assert_eq!(pick(&Guest { pick: answer(1, "(i32.const 0)"), ..Guest::default() }), Ok(Choice::Fallback));
    assert_eq!(pick(&Guest { pick: answer(2, "(i32.const 0)"), ..Guest::default() }), Ok(Choice::Refuse));
}

#[test]
fn the_request_reaches_the_guest_in_scalars() {
    // key + attempt + tried, as the server.
    let sum = "(i32.wrap_i64 (i64.add (i64.add (local.get $key) (local.get $tried)) (i64.extend_i32_u (local.get $attempt))))";
    let mut instance = instance(&Guest { pick: answer(0, sum), ..Guest::default() });
    instance.update(&servers(1)).unwrap();
    let request = Request { key: 100, attempt: 20, tried: 3 };
    assert_eq!(instance.pick(request), Ok(Choice::Server(123)));
}

#[test]
fn a_guest_that_spins_is_stopped_and_its_instance_is_lost() {
    let mut instance = instance(&Guest { pick: SPIN.into(), ..Guest::default() });
    instance.update(&servers(3)).unwrap();
    let failure = instance.pick(Request::default()).unwrap_err();
    assert_eq!(failure, Failure::Deadline(Duration::from_millis(2)));
    assert!(failure.poisons());
    assert!(matches!(instance.pick(Request::default()), Err(Failure::Trap(_))));
    let update = Guest { update: SPIN.into(), ..Guest::default() };
    assert_eq!(pick(&update), Err(Failure::Deadline(Duration::from_millis(50))));
}

#[test]
fn a_guest_that_spins_at_its_start_or_in_configure_never_becomes_an_instance() {
    let start = Guest { start: SPIN.into(), ..Guest::default() };
    let error = make(&start, &Arc::default()).unwrap_err().to_string();
    assert_eq!(error, "`start` ran past its deadline of 50ms");
    let configure = Guest { configure: SPIN.into(), ..Guest::default() };
    let error = make(&configure, &Arc::default()).unwrap_err().to_string();
    assert_eq!(error, "`configure` ran past its deadline of 1s");
}

#[test]
fn a_trap_is_named_with_its_function() {
    let Err(Failure::Trap(said)) = pick(&Guest { pick: TRAP.into(), ..Guest::default() }) else { panic!() };
    assert!(said.contains("unreachable") && said.contains("`pick` in pick"), "{said}");
    let outside = "(i32.load (i32.const -4))";
    let Err(Failure::Trap(said)) = pick(&Guest { pick: outside.into(), ..Guest::default() }) else {
        panic!()
    };
    assert!(said.contains("out of bounds memory access"), "{said}");
    let Err(Failure::Trap(said)) = pick(&Guest {
        pick: "(call $pick (local.get $key) (local.get $attempt) (local.get $tried))".into(),
        ..Guest::default()
    }) else {
        panic!()
    };
    assert!(said.contains("call stack exhausted"), "{said}");
}

#[test]
fn memory_over_the_limit_is_a_failure_of_its_own_and_named() {
    let Err(Failure::Memory(said)) = pick(&Guest { pick: GROW.into(), ..Guest::default() }) else { panic!() };
    assert!(said.contains("65792 KiB") && said.contains("1024 KiB"), "{said}");
    let large = Guest { pages: 17, ..Guest::default() };
    let error = make(&large, &Arc::default()).unwrap_err().to_string();
    assert!(error.contains("it wants 1088 KiB of memory and may have 1024 KiB"), "{error}");
}

#[test]
fn nonsense_is_a_failure_that_leaves_the_instance_alive() {
    let Err(Failure::Invalid(said)) = pick(&Guest { update: list(0, &[0, 3]), ..Guest::default() }) else {
        panic!()
    };
    assert!(said.contains("entry 1 of the plan is server 3, but there are only 3 servers"), "{said}");
    assert!(matches!(pick(&Guest { update: list(1, &[]), ..Guest::default() }), Err(Failure::Invalid(_))));
    let mut instance = instance(&Guest { update: list(1, &[0, 3]), ..Guest::default() });
    assert!(instance.update(&servers(3)).is_err());
    assert!(matches!(instance.update(&servers(4)), Ok(Plan::Cycle(_))));
    // A variant case that does not exist is refused by the component model itself, and is a trap.
    let Err(Failure::Trap(_)) = pick(&Guest { pick: answer(3, "(i32.const 0)"), ..Guest::default() }) else {
        panic!()
    };
}

#[test]
fn a_plan_is_carried_out_without_asking_the_guest() {
    let mut instance = instance(&Guest { update: list(1, &[0, 1]), pick: TRAP.into(), ..Guest::default() });
    assert_eq!(instance.update(&servers(2)), Plan::cycle(vec![0, 1], 2).map_err(|_| unreachable!()));
    assert_eq!(instance.pick(Request::default()), Ok(Choice::Fallback));
}

#[test]
fn the_same_servers_are_not_told_twice() {
    // The second `update` of this one would trap.
    let body = format!(
        "(if (global.get $count) (then unreachable)) (global.set $count (i32.const 1)) {}",
        answer(2, "(i32.const 0)")
    );
    let mut instance = instance(&Guest { update: body, ..Guest::default() });
    let same = servers(2);
    assert_eq!(instance.update(&same), Ok(Plan::PerRequest));
    assert_eq!(instance.update(&same), Ok(Plan::PerRequest));
    assert!(instance.update(&servers(2)).is_err());
}

#[test]
fn loads_and_metrics_are_the_hosts() {
    let imports = r#"
        (import "weir:policy/load@0.1.0" "in-flight" (func $in_flight (param i32) (result i32)))
        (import "weir:policy/metrics@0.1.0" "counter" (func $counter (param i32 i32) (result i32)))
        (import "weir:policy/metrics@0.1.0" "add" (func $add (param i32 i64)))"#;
    let guest = Guest {
        imports,
        configure: format!(
            r#"(global.set $count (call $counter (i32.const 768) (i32.const 4))) {}"#,
            answer(0, "(i32.const 0)")
        ),
        pick: format!(
            "(call $add (global.get $count) (i64.const 5)) {}",
            answer(0, "(i32.add (call $in_flight (i32.const 1)) (call $in_flight (i32.const 77)))")
        ),
        ..Guest::default()
    };
    let meters = Arc::new(Meters::default());
    let mut instance = make(&guest, &meters).unwrap();
    let servers = servers(2);
    instance.update(&servers).unwrap();
    servers[1].load.begin(0);
    assert_eq!(instance.pick(Request::default()), Ok(Choice::Server(1)));
    servers[1].load.begin(0);
    assert_eq!(instance.pick(Request::default()), Ok(Choice::Server(2)));
    assert_eq!(meters.read()[0].value, CustomValue::Counter(10));
}

#[test]
fn a_scheduler_that_learns_is_told_how_it_went() {
    let body =
        "(global.set $count (i32.add (local.get $latency) (i32.mul (local.get $outcome) (i32.const 1000))))";
    let guest =
        Guest { on_result: Some(body.into()), pick: answer(0, "(global.get $count)"), ..Guest::default() };
    let mut instance = instance(&guest);
    instance.update(&servers(2)).unwrap();
    assert!(instance.wants_results());
    instance.on_result(1, Outcome::TimedOut, Duration::from_micros(42)).unwrap();
    assert_eq!(instance.pick(Request::default()), Ok(Choice::Server(3042)));
}

#[test]
fn a_refused_configuration_says_why() {
    // Case 1 of the result, case 1 of the error (`invalid`), text at 768.
    let configure = "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store8 (i32.const 132) (i32.const 1))
        (i32.store (i32.const 136) (i32.const 768)) (i32.store (i32.const 140) (i32.const 4)) (i32.const 128)";
    let error =
        make(&Guest { configure: configure.into(), ..Guest::default() }, &Arc::default()).unwrap_err();
    assert_eq!(error, SetupError::Invalid("test".into()));
}

#[test]
fn what_is_no_plugin_is_refused_with_a_sentence() {
    let good = Guest::default().build();
    assert!(error_of(b"#!/bin/sh\n").contains("it is not WebAssembly"));
    assert!(error_of(b"").contains("it is not WebAssembly"));
    let truncated = error_of(&good[..good.len() * 2 / 3]);
    assert!(truncated.starts_with("it cannot be compiled: it is cut off or damaged: "), "{truncated}");
    let bare = wat::parse_str("(module)").unwrap();
    assert!(error_of(&bare).starts_with("this is no plugin: it exports nothing"), "{}", error_of(&bare));
}

#[test]
fn an_import_that_is_not_offered_is_refused_by_its_name() {
    let guest = Guest {
        imports: r#"(import "wasi:cli/stdout@0.2.0" "print" (func (param i32)))"#,
        world: Some((
            "greedy",
            "package test:greedy;
             world greedy { include weir:policy/scheduler@0.1.0; import wasi:cli/stdout@0.2.0; }
             package wasi:cli@0.2.0 { interface stdout { print: func(byte: u32); } }",
        )),
        ..Guest::default()
    };
    let error = error_of(&guest.build());
    assert!(
        error.starts_with("it imports `wasi:cli/stdout@0.2.0`, which this host does not offer: a plugin of world `scheduler`"),
        "{error}"
    );
}

#[test]
fn the_right_names_with_other_types_are_refused() {
    let wat = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $s (export "update" (func $f)) (export "pick" (func $f)))
        (instance $l (export "describe" (func $f)) (export "configure" (func $f)))
        (export "weir:policy/scheduling@0.1.0" (instance $s))
        (export "weir:policy/lifecycle@0.1.0" (instance $l)))"#;
    let report = inspect(&wat::parse_str(wat).unwrap(), "", None, Compiler::InProcess);
    let error = report.error.unwrap();
    assert!(error.contains("cannot be instantiated: ") && error.contains("type mismatch"), "{error}");
}

#[test]
fn inspecting_a_file_names_every_step_and_the_first_fault() {
    let report = inspect(&Guest::default().build(), "", None, Compiler::InProcess);
    assert_eq!((report.ok, report.error, report.plan), (true, None, Some("per-request")));
    let steps: Vec<_> = report.steps.iter().map(|s| s.name).collect();
    assert_eq!(
        steps,
        ["compile", "check types", "instantiate", "describe", "configure", "self-test", "canary"]
    );
    assert!(report.self_test.questions == 1000 && report.self_test.p99_ns >= report.self_test.p50_ns);

    let report = inspect(&Guest::picks(10).build(), "", None, Compiler::InProcess);
    assert_eq!(report.error.unwrap(), "self-test: `pick` answered nonsense: picked server 10 of 10");
}

#[test]
fn golden_cases_are_compared() {
    let wasm = Guest { update: list(1, &[1, 0, 1]), ..Guest::default() }.build();
    let cases = |expect: &str| {
        format!(
            r#"{{"cases": [{{"servers": [{{"name": "a"}}, {{"name": "b"}}], "plan": "cycle", "requests": [
                {{"key": 1, "expect": {{"server": "b"}}}}, {{"key": 1, "expect": {expect}}}]}}]}}"#
        )
    };
    let report = inspect(&wasm, "", Some(&cases(r#"{"server": "a"}"#)), Compiler::InProcess);
    assert_eq!((report.error, report.self_test.golden_cases), (None, 1));
    let report = inspect(&wasm, "", Some(&cases(r#""refuse""#)), Compiler::InProcess);
    assert_eq!(
        report.error.unwrap(),
        r#"golden case 1: request 2: it answered Server("a"), expected Refuse"#
    );
    let report = inspect(&wasm, "", Some("{}"), Compiler::InProcess);
    assert!(report.error.unwrap().starts_with("the golden cases cannot be read"));
}
