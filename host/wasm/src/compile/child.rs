//! The child that compiles: bytes on its standard input, machine code on its standard output, and limits on everything.
#![allow(
    unsafe_code,
    reason = "the scheduling class of a process is set by a call that rustix does not have"
)]

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, setrlimit};

use super::{LoadError, MAX_WASM, PATIENCE};

/// Address space of the child. The largest plugin seen (18 MiB of Python) needs 1.5 GiB to compile.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Processor time of the child, seconds, all threads: [`PATIENCE`] on two cores.
const PROCESSOR_SECONDS: u64 = 120;
/// Between SIGXCPU, which ends the child and says why, and the SIGKILL of the hard limit, which could be anybody's.
const PROCESSOR_GRACE: u64 = 5;
/// From the end of a child's answer to its own end.
const LAST_STEP: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// The most that is read from a child: code is three to ten times the size of what it is made from.
const MAX_ARTIFACT: u64 = 512 << 20;

/// The whole of the hidden subcommand `weir compile-plugin`: limits itself, reads WebAssembly from standard input, writes
/// machine code to standard output. To be called before the process has made any thread.
#[must_use]
pub fn compile_child_main() -> ExitCode {
    // In one line, as every other complaint.
    std::panic::set_hook(Box::new(|fault| {
        eprint!("the compiler has a fault: {}", fault.to_string().replace('\n', " "));
    }));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // The parent shows it to the operator.
            let _ = io::stderr().write_all(reason.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    limit_myself().map_err(|e| format!("cannot limit the compiler: {e}"))?;
    let mut wasm = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_WASM as u64 + 1)
        .read_to_end(&mut wasm)
        .map_err(|e| format!("cannot read from the host: {e}"))?;
    if wasm.len() > MAX_WASM {
        return Err(format!("it is larger than {MAX_WASM} bytes"));
    }
    let engine = crate::engine::compiling().map_err(|e| format!("the engine cannot start: {e:#}"))?;
    let artifact = super::compile_here(&engine, &wasm)?;
    io::stdout().lock().write_all(&artifact).map_err(|e| format!("cannot write to the host: {e}"))
}

fn limit_myself() -> io::Result<()> {
    let at_most = |n| Rlimit { current: Some(n), maximum: Some(n) };
    setrlimit(Resource::As, at_most(ADDRESS_SPACE))?;
    setrlimit(
        Resource::Cpu,
        Rlimit { current: Some(PROCESSOR_SECONDS), maximum: Some(PROCESSOR_SECONDS + PROCESSOR_GRACE) },
    )?;
    setrlimit(Resource::Core, at_most(0))?;
    rustix::process::nice(19)?;
    // A host that dies leaves nobody to read the answer.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let idle = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is this thread, `idle` is a valid `sched_param` that outlives the call, and the call keeps no pointer.
    // Threads that are made later inherit the class.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const idle) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Compiles in a child.
pub(super) fn compile(exe: &Path, args: &[String], wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
    let failed = |e: io::Error| LoadError::Child(format!("{}: {e}", exe.display()));
    let mut child = Command::new(exe)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let answer = converse(&mut child, wasm);
    if let Ok(Some(_)) = answer {
        // Its pipes are closed before it ends: killed now, it would seem that somebody else had killed it.
        await_end(&child);
    }
    // Also where it has answered: nothing of it may stay.
    let _ = child.kill();
    let status = child.wait().map_err(failed)?;
    let (artifact, complaint) = answer.map_err(failed)?.ok_or(LoadError::Timeout)?;
    if status.success() && !artifact.is_empty() {
        return Ok(artifact);
    }
    if let Some(signal) = status.signal().filter(|signal| !is_own_fault(*signal)) {
        return Err(LoadError::Killed { signal });
    }
    let complaint = crate::instance::brief(&String::from_utf8_lossy(&complaint));
    if complaint.is_empty() {
        return Err(LoadError::Compile(format!("the compiler ended with {status}")));
    }
    Err(LoadError::Compile(complaint))
}

/// Waits for the child's own end, [`LAST_STEP`] at most.
fn await_end(child: &Child) {
    let Ok(process) = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()) else {
        return;
    };
    let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&LAST_STEP));
}

/// Whether a signal comes of what the child did: a crash, an allocation that failed under our limit (Rust aborts then), or
/// the limit of processor time. All others, SIGKILL above all, are sent by somebody else.
fn is_own_fault(signal: i32) -> bool {
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ};
    [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ].contains(&signal)
}

type Answer = (Vec<u8>, Vec<u8>);

/// Feeds it and reads what it answers and complains of; `None` where it takes too long.
fn converse(child: &mut Child, wasm: &[u8]) -> io::Result<Option<Answer>> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("a pipe is missing"));
    };
    let (done, ended) = mpsc::channel();
    thread::scope(|scope| {
        // A child that does not read is found by the time limit; a broken pipe by its status.
        thread::Builder::new().name("weir-compile-in".into()).spawn_scoped(scope, move || {
            let _ = stdin.write_all(wasm);
        })?;
        thread::Builder::new().name("weir-compile-out".into()).spawn_scoped(scope, move || {
            let mut artifact = Vec::new();
            let read = stdout.take(MAX_ARTIFACT).read_to_end(&mut artifact);
            let mut complaint = Vec::new();
            let _ = stderr.take(4096).read_to_end(&mut complaint);
            let _ = done.send(read.map(|_| (artifact, complaint)));
        })?;
        let answer = ended.recv_timeout(PATIENCE);
        if answer.is_err() {
            // Closes the pipes, so that both threads end.
            let _ = child.kill();
        }
        match answer {
            Ok(read) => read.map(Some),
            Err(_) => Ok(None),
        }
    })
}
