//! Versions that come and go while requests are served.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use weir_core::schedule::{By, Failure, PolicySource};
use weir_wasm::InstanceSpec;

use crate::fixture::{Node, Worker, servers};
use crate::guest::{Guest, SPIN, TRAP, answer, list};

fn version(version: &str, server: u32) -> Vec<u8> {
    Guest { version: version.into(), ..Guest::picks(server) }.build()
}

/// Passes its trial, and does this at requests with the key 666.
fn time_bomb(version: &str, then: &str) -> Vec<u8> {
    let pick = format!(
        "(if (i64.eq (local.get $key) (i64.const 666)) (then {then})) {}",
        answer(0, "(i32.const 1)")
    );
    Guest { version: version.into(), pick, ..Guest::default() }.build()
}

#[test]
fn a_file_that_is_replaced_decides_and_a_broken_one_changes_nothing_but_the_status() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "active");
    let mut worker = Worker::new(&hosted, 0, &servers(3));
    let chosen = worker.serve(1);
    assert_eq!((chosen.server, chosen.by), (Some(0), By::Pick));
    node.put("a.wasm", &version("2.0.0", 1));
    node.wait_version(&hosted, "2.0.0");
    assert_eq!(worker.serve(1).server, Some(1));
    let good = version("3.0.0", 2);
    let broken: [(&[u8], &str); 4] = [
        (b"not wasm", "it is not WebAssembly"),
        (&good[..good.len() / 2], "it cannot be compiled"),
        (&version("3.0.0", 7), "picked server 7 of 3"),
        (&Guest { update: list(0, &[9]), ..Guest::default() }.build(), "entry 0 of the plan is server 9"),
    ];
    for (bytes, reason) in broken {
        node.put("a.wasm", bytes);
        node.changed.wait(reason, || hosted.status().reason.contains(reason));
        let status = hosted.status();
        assert_eq!((status.state, status.serving, status.last_good), ("rejected", true, true), "{reason}");
        assert!(!status.last_load_ok);
        assert_eq!(worker.serve(1).server, Some(1));
        // And back, so that the next one is another change.
        node.put("a.wasm", &version("2.0.0", 1));
        node.wait_state(&hosted, "active");
    }
    assert_eq!(hosted.status().generation, 2);
}

#[test]
fn a_version_that_fails_at_a_recent_request_is_refused_by_the_canary() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "active");
    let mut worker = Worker::new(&hosted, 0, &servers(3));
    worker.serve(666);
    node.put("a.wasm", &time_bomb("2.0.0", TRAP));
    let status = node.wait_state(&hosted, "rejected");
    assert!(status.reason.starts_with("canary: at request 1 it trapped"), "{}", status.reason);
    assert_eq!(worker.serve(666).server, Some(0));
}

#[test]
fn no_request_is_lost_while_two_workers_call_and_versions_change() {
    let node = Node::new();
    node.put("a.wasm", &version("0", 0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "active");
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..2)
        .map(|id| {
            let (hosted, stop) = (Arc::clone(&hosted), Arc::clone(&stop));
            thread::spawn(move || {
                let mut worker = Worker::new(&hosted, id, &servers(3));
                let mut seen = [0u64; 3];
                while !stop.load(Ordering::Relaxed) {
                    let chosen = worker.serve(7);
                    assert_eq!((chosen.by, &chosen.failure), (By::Pick, &None));
                    seen[chosen.server.unwrap() as usize] += 1;
                }
                seen
            })
        })
        .collect();
    for change in 1..20u32 {
        node.put("a.wasm", &version(&change.to_string(), change % 3));
        node.wait_version(&hosted, &change.to_string());
    }
    stop.store(true, Ordering::Relaxed);
    let mut served = 0;
    for worker in workers {
        let seen = worker.join().unwrap();
        assert!(seen.iter().all(|n| *n > 0), "a version that never decided: {seen:?}");
        served += seen.iter().sum::<u64>();
    }
    assert_eq!(hosted.status().generation, 20);
    // Every request was a call, and the calls of instances that are gone are not forgotten.
    assert!(hosted.status().calls >= served);
    assert_eq!(hosted.status().failures.values().sum::<u64>(), 0);
}

#[test]
fn a_version_that_keeps_failing_is_quarantined_and_the_last_good_one_returns() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_version(&hosted, "1.0.0");
    node.put("a.wasm", &time_bomb("2.0.0", SPIN));
    node.wait_version(&hosted, "2.0.0");
    let mut worker = Worker::new(&hosted, 0, &servers(3));
    assert_eq!(worker.serve(1).server, Some(1));
    let worker = std::cell::RefCell::new(worker);
    node.changed.wait("quarantine", || {
        // A request that kills it; while there is no instance the fallback answers.
        assert!(worker.borrow_mut().serve(666).server.is_some());
        hosted.status().state == "quarantined"
    });
    let mut worker = worker.into_inner();
    assert_eq!(hosted.status().failures["deadline"], 4);
    node.wait_version(&hosted, "1.0.0");
    let status = hosted.status();
    assert_eq!((status.state, status.last_good), ("quarantined", true));
    assert!(status.reason.contains("4 failures within 60 s"), "{}", status.reason);
    assert_eq!(worker.serve(666).server, Some(0));
    // Known: not tried again, also not when it is put there again ...
    node.put("a.wasm", &version("1.0.0", 0));
    node.wait_state(&hosted, "active");
    node.put("a.wasm", &time_bomb("2.0.0", SPIN));
    assert_eq!(node.wait_state(&hosted, "quarantined").generation, status.generation);
    // ... until an operator says so. The canary must not remember the request that killed it.
    (0..300).for_each(|key| drop(worker.serve(key)));
    hosted.retry();
    node.wait_version(&hosted, "2.0.0");
}

#[test]
fn the_last_good_version_survives_a_restart_with_its_configuration() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 2));
    let spec = InstanceSpec { config: "kept".into(), ..InstanceSpec::new("a.wasm") };
    let hosted = node.scheduler(spec.clone());
    node.wait_state(&hosted, "active");
    let config = hosted.status().version.unwrap().config_sha256;
    let mut dir = node.dir;
    drop((hosted, node.runtime));
    for file in [Some(&b"garbage"[..]), None] {
        let path = dir.path().join("plugins/a.wasm");
        let _ = fs::remove_file(&path);
        if let Some(bytes) = file {
            crate::fixture::put(&path, bytes);
        }
        let node = Node::at(dir);
        // The fleet file says another configuration by now; the good one is the one that it was good with.
        let hosted = node.scheduler(InstanceSpec { config: "other".into(), ..spec.clone() });
        node.wait_version(&hosted, "1.0.0");
        let status = hosted.status();
        assert_eq!(status.state, if file.is_some() { "rejected" } else { "absent" });
        assert_eq!(
            (status.last_good, status.version.unwrap().config_sha256.as_str()),
            (true, config.as_str())
        );
        assert_eq!(Worker::new(&hosted, 0, &servers(3)).serve(1).server, Some(2));
        dir = node.dir;
        drop((hosted, node.runtime));
    }
}

#[test]
fn a_changed_configuration_is_a_new_version_and_a_refused_one_changes_nothing() {
    // Refuses every text that is longer than 3 bytes.
    let configure = format!(
        "(if (i32.gt_u (local.get $length) (i32.const 3)) (then unreachable)) {}",
        answer(0, "(i32.const 0)")
    );
    let node = Node::new();
    node.put("a.wasm", &Guest { configure, ..Guest::default() }.build());
    let spec = |config: &str| InstanceSpec { config: config.into(), ..InstanceSpec::new("a.wasm") };
    let hosted = node.scheduler(spec("a"));
    let first = node.wait_state(&hosted, "active");
    hosted.reconfigure(spec("b"));
    node.changed.wait("generation 2", || hosted.status().generation == 2);
    assert_ne!(hosted.status().version.unwrap().config_sha256, first.version.unwrap().config_sha256);
    hosted.reconfigure(spec("too long"));
    let status = node.wait_state(&hosted, "rejected");
    assert!(status.reason.starts_with("`configure` trapped"), "{}", status.reason);
    assert!(status.serving && status.generation == 2);
}

#[test]
fn another_file_that_is_not_there_yet_changes_nothing_until_it_is() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "active");
    hosted.reconfigure(InstanceSpec::new("b.wasm"));
    let status = node.wait_state(&hosted, "rejected");
    assert_eq!(status.reason, "there is no file b.wasm in the plugin directory");
    assert_eq!(Worker::new(&hosted, 0, &servers(3)).serve(1).server, Some(0));
    node.put("b.wasm", &version("2.0.0", 1));
    node.wait_version(&hosted, "2.0.0");
}

#[test]
fn an_instance_that_fails_is_made_again_also_where_its_worker_still_knows_the_number_before() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "active");
    let before = hosted.generation();
    node.put("a.wasm", &version("2.0.0", 1));
    node.wait_version(&hosted, "2.0.0");
    assert!(hosted.instance(0).is_some());
    hosted.failed(0, before, "pick", &Failure::Trap("test".into()));
    node.changed.wait("another one", || hosted.instance(0).is_some());
}

#[test]
fn dropping_it_waits_for_nothing_that_its_thread_is_at() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 0));
    // Its own thread is held up, as by a disk.
    let (arrived, arrives) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let held = node.runtime.scheduler("held", InstanceSpec::new("a.wasm"), move || {
        let _ = arrived.send(());
        let _ = released.lock().unwrap().recv();
    });
    arrives.recv_timeout(Duration::from_secs(60)).unwrap();
    let (done, dropped) = mpsc::channel();
    thread::spawn(move || {
        drop(held);
        let _ = done.send(());
    });
    dropped.recv_timeout(Duration::from_secs(60)).expect("it does not wait for its thread");
    // A successor begins meanwhile, and the old one ends without another word.
    let changed = Arc::clone(&node.changed);
    let successor =
        node.runtime.scheduler("held", InstanceSpec::new("a.wasm"), move || changed.notify()).unwrap();
    node.wait_state(&successor, "active");
    drop(release);
    assert_eq!(arrives.recv_timeout(Duration::from_secs(60)), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn dropping_it_ends_its_threads_and_takes_it_from_the_status() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0", 0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "active");
    assert_eq!(node.runtime.status().len(), 1);
    drop(hosted);
    assert!(node.runtime.status().is_empty());
    assert!(node.runtime.rescan(Duration::from_secs(9)));
}
