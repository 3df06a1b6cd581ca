//! The compiler as a child process: this binary runs itself, as `weir` does. A test with a `main` of its own, because the
//! child has to be a program that does nothing else.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests: a panic is how they fail"
)]

#[path = "host/fixture.rs"]
mod fixture;
#[path = "host/guest.rs"]
mod guest;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::{Signal, getpid, kill_process};
use weir_core::plugin::Digest;
use weir_core::schedule::PolicySource;
use weir_wasm::compile::{LoadError, Loaded, Workshop};
use weir_wasm::engine::Engines;
use weir_wasm::{Compiler, InstanceSpec, compile_child_main};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("compile-plugin") => compile_child_main(),
        Some("crash") => std::process::abort(),
        Some("end-by") => {
            let signal = env::args().nth(2).unwrap().parse().unwrap();
            let signal = Signal::from_named_raw(signal).unwrap();
            let _ = kill_process(getpid(), signal);
            // Whichever thread it is delivered to.
            std::thread::sleep(Duration::from_secs(60));
            ExitCode::SUCCESS
        }
        // What a test runner asks of every test binary.
        Some("--list") => {
            println!("the_child_compiles: test");
            ExitCode::SUCCESS
        }
        _ => {
            a_child_compiles_and_the_cache_answers_the_second_time();
            a_child_says_why_it_could_not();
            a_child_that_crashes_or_is_missing_is_an_error_and_no_more();
            a_child_that_is_killed_is_the_hosts_fault_unless_a_limit_of_its_own_did_it();
            its_processor_time_ends_with_a_signal_of_its_own();
            a_cache_that_others_can_write_to_is_not_used();
            a_file_that_is_renamed_into_place_decides_on_every_worker();
            println!("test result: ok. 7 passed; 0 failed");
            ExitCode::SUCCESS
        }
    }
}

fn child(argument: &str) -> Compiler {
    Compiler::Child { exe: env::current_exe().unwrap(), args: vec![argument.to_owned()] }
}

fn load(compiler: Compiler, cache: &Path, wasm: &[u8]) -> Result<Loaded, LoadError> {
    let engines = Engines::start(1, 1).unwrap();
    Workshop::new(&engines, compiler, cache)?.load(wasm, Digest([7; 32]))
}

fn a_child_compiles_and_the_cache_answers_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let wasm = guest::Guest::default().build();
    let first = load(child("compile-plugin"), &cache, &wasm).unwrap();
    assert!(!first.compiling.is_zero());
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    // A child that would crash is not even asked.
    let second = load(child("crash"), &cache, &wasm).unwrap();
    assert!(second.compiling.is_zero());
    // What was cut off is recognised and made again.
    let entry = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&entry).unwrap();
    fs::write(&entry, whole.get(..whole.len() / 2).unwrap()).unwrap();
    assert!(!load(child("compile-plugin"), &cache, &wasm).unwrap().compiling.is_zero());
    println!("a child compiled in {:?}, the check took {:?}", first.compiling, first.checking);
}

fn a_file_that_is_renamed_into_place_decides_on_every_worker() {
    let dir = tempfile::tempdir().unwrap();
    let node = fixture::Node::with(dir, |options| options.compiler = child("compile-plugin"));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "absent");
    let servers = fixture::servers(3);
    let mut workers = [0, 1].map(|id| fixture::Worker::new(&hosted, id, &servers));
    for (server, name) in [(0, "first"), (1, "second")] {
        // Written now, by the name of a file that is not finished: nothing but the events of the directory brings it in.
        fs::write(node.path(".a.tmp"), guest::Guest::picks(server).build()).unwrap();
        fs::rename(node.path(".a.tmp"), node.path("a.wasm")).unwrap();
        let start = Instant::now();
        let generation = u64::from(server) + 1;
        node.changed.wait("it decides", || hosted.generation() == generation);
        for worker in &mut workers {
            assert_eq!(worker.serve(1).server, Some(server));
        }
        println!("the {name} version decided {:?} after the rename", start.elapsed());
    }
}

fn a_child_says_why_it_could_not() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = guest::Guest::default().build();
    for (bytes, why) in
        [(&b"nonsense"[..], "it is not WebAssembly"), (wasm.get(..200).unwrap(), "unexpected end")]
    {
        let error = load(child("compile-plugin"), &dir.path().join("cache"), bytes).unwrap_err();
        assert!(matches!(error, LoadError::Compile(_)) && error.to_string().contains(why), "{error}");
    }
}

fn a_child_that_crashes_or_is_missing_is_an_error_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let wasm = guest::Guest::default().build();
    let error = load(child("crash"), &cache, &wasm).unwrap_err();
    assert!(error.to_string().contains("the compiler ended with signal: 6"), "{error}");
    let nobody = Compiler::Child { exe: "/nonexistent".into(), args: vec![] };
    assert!(matches!(load(nobody, &cache, &wasm), Err(LoadError::Child(_))));
    // One that answers something else than machine code: wasmtime sees that.
    let liar = Compiler::Child { exe: "/bin/echo".into(), args: vec!["hello".into()] };
    assert!(matches!(load(liar, &cache, &wasm), Err(LoadError::Artifact(_))));
    // One that ends some time after its pipes are closed, as on a machine with more to do: it is let end.
    let late = "echo hello; exec >&- 2>&-; sleep 0.1";
    let late = Compiler::Child { exe: "/bin/sh".into(), args: vec!["-c".into(), late.into()] };
    let error = load(late, &cache, &wasm).unwrap_err();
    assert!(matches!(error, LoadError::Artifact(_)), "{error}");
}

fn a_child_that_is_killed_is_the_hosts_fault_unless_a_limit_of_its_own_did_it() {
    let dir = tempfile::tempdir().unwrap();
    let load = |signal: Signal| {
        let args = vec!["end-by".to_owned(), signal.as_raw().to_string()];
        let compiler = Compiler::Child { exe: env::current_exe().unwrap(), args };
        load(compiler, &dir.path().join("cache"), &guest::Guest::default().build()).unwrap_err()
    };
    for signal in [Signal::KILL, Signal::TERM] {
        let error = load(signal);
        assert!(matches!(error, LoadError::Killed { signal: by } if by == signal.as_raw()), "{error}");
    }
    for signal in [Signal::XCPU, Signal::ABORT] {
        let error = load(signal);
        assert!(matches!(error, LoadError::Compile(_)), "{error}");
    }
}

/// The kernel sends SIGKILL and no SIGXCPU where the soft limit is the hard one.
fn its_processor_time_ends_with_a_signal_of_its_own() {
    let mut child = Command::new(env::current_exe().unwrap())
        .arg("compile-plugin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It limits itself and then waits for what it is to compile.
    let start = Instant::now();
    let (soft, hard) = loop {
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max cpu time")).unwrap();
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        if let (Some(Ok(soft)), Some(Ok(hard))) = (words.next(), words.next()) {
            break (soft, hard);
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it never limits itself: {line}");
        std::thread::yield_now();
    };
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(soft < hard, "{soft} of {hard}");
}

fn a_cache_that_others_can_write_to_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    let error = load(Compiler::InProcess, &cache, &guest::Guest::default().build()).unwrap_err();
    assert!(matches!(error, LoadError::Cache(_)) && error.to_string().contains("mode 755"), "{error}");
}
