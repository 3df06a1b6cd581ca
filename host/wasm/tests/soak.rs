//! Two thousand reloads leave the memory of the process as it was: nothing of an old version stays.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests: a panic is how they fail"
)]

#[path = "host/fixture.rs"]
mod fixture;
#[path = "host/guest.rs"]
mod guest;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use weir_core::schedule::By;
use weir_wasm::InstanceSpec;

use fixture::{Node, Worker, servers};
use guest::Guest;

const RELOADS: u32 = 2000;
/// Caches and pools are full by then.
const WARM: u32 = 300;

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

#[test]
fn two_thousand_reloads_under_load_leave_memory_flat() {
    let node = Node::new();
    let version = |n: u32| Guest { version: n.to_string(), ..Guest::picks(n % 3) }.build();
    node.put("a.wasm", &version(0));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_version(&hosted, "0");
    let stop = Arc::new(AtomicBool::new(false));
    let worker = thread::spawn({
        let (hosted, stop) = (Arc::clone(&hosted), Arc::clone(&stop));
        move || {
            let mut worker = Worker::new(&hosted, 0, &servers(3));
            let mut served = 0u64;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(worker.serve(served).by, By::Pick);
                served += 1;
                // Under load, and not a core taken from whoever compiles.
                if served.is_multiple_of(1000) {
                    thread::sleep(Duration::from_micros(200));
                }
            }
            served
        }
    });
    let mut before = 0;
    for n in 1..=RELOADS {
        node.put("a.wasm", &version(n));
        node.wait_version(&hosted, &n.to_string());
        if n == WARM {
            before = resident();
        }
    }
    let after = resident();
    stop.store(true, Ordering::Relaxed);
    let served = worker.join().unwrap();
    let (before_mib, after_mib) = (before as f64 / 1048576.0, after as f64 / 1048576.0);
    println!(
        "{before_mib:.1} MiB after {WARM} reloads, {after_mib:.1} MiB after {RELOADS}; {served} requests"
    );
    assert_eq!(hosted.status().generation, u64::from(RELOADS) + 1);
    assert!(after <= before + before / 10, "{before_mib:.1} MiB -> {after_mib:.1} MiB");
}
