//! What a decision costs: `cargo bench -p weir-wasm --bench decision -- FILE.wasm [CONFIG]`, one JSON object a line.
//!
//! Warm: batches of calls, the median batch. Cold: the caches are walked over before each call, and each call is timed by itself
//! (the clock costs about 30 ns of it). Deadlines are on in all of them. With 10 and with 1,000 servers, all up, with loads.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark: a panic is how it fails"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use weir_core::model::{Load, Server, State};
use weir_core::schedule::{Chooser, Plan, Policy, Request, View};
use weir_wasm::Compiler;
use weir_wasm::compile::Workshop;
use weir_wasm::engine::Engines;
use weir_wasm::imports::{Host, Meters, Voice};
use weir_wasm::instance::SchedulerInstance;

const BATCHES: usize = 41;
/// One batch takes about this long.
const BATCH: Duration = Duration::from_millis(4);
const COLD_CALLS: usize = 2000;
/// More than the private caches of a core have.
const CACHES: usize = 4 << 20;

fn main() {
    // `cargo bench` and `cargo test` add flags of their own.
    let mut args = env::args().skip(1).filter(|a| !a.starts_with("--"));
    let Some(file) = args.next() else {
        println!("usage: decision FILE.wasm [CONFIG]");
        return;
    };
    let config = args.next().unwrap_or_default();
    let wasm = fs::read(&file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engines = Engines::start(2, 1).unwrap();
    let workshop = Workshop::new(&engines, Compiler::InProcess, &dir.path().join("cache")).unwrap();
    let loaded = workshop.load(&wasm, weir_core::plugin::Digest([0; 32])).unwrap();
    for count in [10, 1000] {
        let host = Host::new(16 << 20, Arc::new(Voice::new("bench")), Arc::new(Meters::default()));
        let mut instance = SchedulerInstance::new(&engines, &loaded.checked, host).unwrap();
        instance.configure(&config).unwrap();
        let name = instance.describe().unwrap().name;
        let servers = servers(count);
        let start = Instant::now();
        let plan = instance.update(&servers).unwrap();
        let update = start.elapsed();
        let view = View::new(1, 1, Arc::clone(&servers), plan.clone());
        let mut chooser = Chooser::default();
        let mut keys = (1u64..).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut choose = || {
            let request = Request { key: keys.next().unwrap_or(0), ..Request::default() };
            let chosen = chooser.choose(&view, black_box(request), true, Some(&mut instance), |_| false);
            assert!(chosen.failure.is_none(), "{chosen:?}");
            black_box(chosen.server);
        };
        let (warm, cold) = (warm(&mut choose), cold(&mut choose));
        let [pick, pick_cold] = if matches!(plan, Plan::PerRequest) {
            let mut key = 0u64;
            let mut pick = || {
                key = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
                black_box(instance.pick(black_box(Request { key, ..Request::default() })).unwrap());
            };
            [format!("{:.1}", self::warm(&mut pick)), format!("{}", self::cold(&mut pick).1)]
        } else {
            ["null".into(), "null".into()]
        };
        println!(
            "{{\"plugin\":\"{name}\",\"servers\":{count},\"plan\":\"{}\",\"update_us\":{:.1},\"choose_ns\":{warm:.1},\
             \"choose_cold_p50_ns\":{},\"choose_cold_p99_ns\":{},\"pick_ns\":{pick},\"pick_cold_p99_ns\":{pick_cold}}}",
            plan.as_str(),
            update.as_secs_f64() * 1e6,
            cold.0,
            cold.1,
        );
    }
}

/// Nanoseconds of a call, the median of many batches.
fn warm(call: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0u32;
    while start.elapsed() < BATCH * 5 {
        (0..100).for_each(|_| call());
        calls += 100;
    }
    let batch = (calls / 5).max(1);
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            (0..batch).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(batch)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[BATCHES / 2]
}

/// Median and 99th percentile of a call after the caches were walked over, nanoseconds.
fn cold(call: &mut impl FnMut()) -> (u128, u128) {
    let mut walk = vec![0u8; CACHES];
    let mut times: Vec<u128> = (0..COLD_CALLS)
        .map(|_| {
            walk.iter_mut().step_by(64).for_each(|b| *b = b.wrapping_add(1));
            black_box(&walk);
            let start = Instant::now();
            call();
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    (times[COLD_CALLS / 2], times[COLD_CALLS * 99 / 100])
}

fn servers(count: u32) -> Arc<[Server]> {
    (0..count)
        .map(|id| {
            let load = Load::new(2);
            (0..id % 7).for_each(|_| load.begin(1));
            load.observe_latency(0, 1000 + id);
            Server {
                id,
                name: format!("s{id}").into(),
                address: ([127, 0, 0, 1], 9).into(),
                state: State::Up,
                weight: u16::try_from(1 + id % 5).unwrap(),
                max_in_flight: None,
                labels: Arc::new([]),
                load,
            }
        })
        .collect()
}
