//! Whether the kernel and the fabric do what the lab builds on, tried: `cargo lab kernel`.
//!
//! Three nodes on a segment: a client, a director that spreads connections with IPVS (Maglev hashing) and tunnels
//! them, a server that answers past the director. One connection through all of it must survive silence and live on.
//! Outside, nothing may be left of a kernel that ended, nor of one whose starter was killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::control::{Answer, Visit, visit};
use super::{Kernel, PROGRAM, Run, Said, Wish, folder, start};
use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::say;

/// The service address that the director spreads.
const SERVICE: &str = "198.51.100.1";
/// Nodes of the full topology.
const MANY: usize = 37;
/// What is written inside and must not appear outside.
const TRACES: [&str; 3] = ["/etc/weir-lab-trace", "/usr/weir-lab-trace", "/var/weir-lab-trace"];
/// How long an answer through the tunnel may take. TCP repeats what was lost after 0.2, 0.4, 0.8... seconds.
const ANSWER: Duration = Duration::from_secs(10);
/// How long an answer is awaited that must not come.
const SILENCE: Duration = Duration::from_millis(700);
/// How a packet trace starts, with times in microseconds, in either byte order.
const PCAP: [[u8; 4]; 2] = [[0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0xc3, 0xd4]];
/// How long the machine may take to clear away a kernel that was killed.
const GONE: Duration = Duration::from_secs(10);

/// The whole check. `until_killed` is the part that [`killed`] starts: a kernel that waits.
pub(crate) fn run(kernel: Option<Kernel>, until_killed: bool) -> Result<()> {
    if until_killed {
        let mut run = start(&wish("killed", kernel), Job::Check)?;
        await_line(&mut run, "ready")?;
        println!("ready");
        return run.follow(|_| {}).map(|_| ());
    }
    let mounts = mounts()?;
    let started = Instant::now();
    carries(kernel)?;
    let carried = started.elapsed();
    killed(kernel)?;
    ensure!(mounts == self::mounts()?, "the runs left mounts behind: compare /proc/self/mountinfo");
    for trace in TRACES {
        ensure!(!Path::new(trace).exists(), "a run has written {trace} on the machine");
    }
    say::line(format!(
        "  nothing is left of the kernels; {} and {}",
        say::elapsed(carried),
        say::elapsed(started.elapsed().saturating_sub(carried))
    ));
    Ok(())
}

/// A run that ends in good order.
fn carries(kernel: Option<Kernel>) -> Result<()> {
    let mut run = start(&wish("kernel", kernel), Job::Check)?;
    await_line(&mut run, "ready")?;
    let long = "x".repeat(super::LONGEST - 4);
    run.send(&format!("say {long}"))?;
    await_line(&mut run, &format!("said {long}")).context("a long line through the channel")?;
    run.send("go")?;
    await_line(&mut run, "visit")?;
    visited(&run)?;
    run.send("go")?;
    run.follow(|line| say::line(format!("  {line}")))?;
    gone("kernel")
}

/// What another terminal does with a run: a shell in a node, a trace of its packets.
fn visited(run: &Run) -> Result<()> {
    let mut shell = Command::new(run.out.join(PROGRAM))
        .args(["shell", "server", "--run", "kernel"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // The answer is not in what is typed, which a terminal shows as well.
    let typed = "echo this is $(hostname); exit\n";
    shell.stdin.take().context("a shell without input")?.write_all(typed.as_bytes())?;
    let shown = shell.wait_with_output()?;
    let shown = String::from_utf8_lossy(&shown.stdout);
    ensure!(
        shown.contains("this is server"),
        "cargo lab shell server does not lead to node server: {shown:?}"
    );
    say::line("  a shell in a node from another terminal");

    let wanted = Visit::Capture { node: "client".to_owned(), seconds: 1 };
    let Answer::File(file) = visit(Some("kernel"), &wanted)?.answer else { bail!("a capture is no file") };
    let trace = std::fs::read(run.out.join(&file)).with_context(|| format!("no {}", file.display()))?;
    ensure!(PCAP.iter().any(|magic| trace.starts_with(magic)), "{} is no packet trace", file.display());
    let unknown = visit(Some("kernel"), &Visit::Capture { node: "nobody".to_owned(), seconds: 1 });
    ensure!(unknown.is_err(), "a node that is not there can be traced");
    say::line("  a trace of a node from another terminal");
    Ok(())
}

/// A run whose starter is killed: it cannot clear anything away itself.
fn killed(kernel: Option<Kernel>) -> Result<()> {
    let mut command = Command::new(folder("kernel").join(PROGRAM));
    command.args(["kernel", "--until-killed"]).stdout(Stdio::piped());
    if let Some(kernel) = kernel {
        command.args(["--kernel", kernel.name()]);
    }
    let mut starter = command.spawn()?;
    let printed = starter.stdout.take().context("a starter without output")?;
    let first = BufReader::new(printed).lines().next().transpose()?;
    if first.as_deref() != Some("ready") {
        drop(starter.kill());
        bail!("a second run did not get ready: it says {first:?}");
    }
    ensure!(
        !processes_of("killed").is_empty(),
        "a kernel runs, and no process of it is found: the check is blind"
    );
    starter.kill()?;
    starter.wait()?;
    gone("killed")
}

fn wish(name: &str, kernel: Option<Kernel>) -> Wish {
    Wish { kernel, memory: 512, limit: Duration::from_secs(60), ..Wish::named(name) }
}

fn await_line(run: &mut Run, wanted: &str) -> Result<()> {
    loop {
        match run.next(Duration::from_secs(60))? {
            Said::Line(line) if line == wanted => return Ok(()),
            Said::Line(line) => say::line(format!("  {line}")),
            Said::Nothing => {}
            Said::End => {
                let shown: String = wanted.chars().take(20).collect();
                bail!(
                    "the run ended before it said `{shown}`; its logs are in {}",
                    crate::paths::short(&run.out)
                )
            }
        }
    }
}

/// Waits until no process of a run is there.
fn gone(name: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let left = processes_of(name);
        if left.is_empty() {
            return Ok(());
        }
        ensure!(started.elapsed() < GONE, "processes of the run {name} are left: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes that were told the run's folder, as all are that a kernel consists of.
fn processes_of(name: &str) -> Vec<u32> {
    let folder = folder(name).display().to_string();
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let told = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    };
    numbers.filter(told).collect()
}

fn mounts() -> Result<BTreeSet<String>> {
    // The first two fields are numbers that the kernel gives.
    let text = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The part that runs inside.
pub(crate) fn inside(out: &Path, orders: &Orders) -> Result<()> {
    println!("ready");
    loop {
        match orders.next(Duration::from_secs(60))?.as_deref() {
            Some("go") => break,
            Some(line) => println!("said {}", line.strip_prefix("say ").unwrap_or(line)),
            None => {}
        }
    }
    for trace in TRACES {
        std::fs::write(trace, "written inside\n").with_context(|| format!("memory over {trace}"))?;
    }
    let started = Instant::now();
    let fabric = Fabric::new(out)?;
    build(&fabric)?;
    for address in ["10.0.0.3", "fd00::3"] {
        fabric.run("client", &["ping", "-c", "1", "-W", "2", address])?;
    }
    println!(
        "three nodes on a segment, reached over IPv4 and IPv6 after {}",
        say::elapsed(started.elapsed())
    );

    println!("visit");
    while orders.next(Duration::from_secs(60))?.as_deref() != Some("go") {}

    many(&fabric)?;

    let echo = fabric.start("server", "echo", &["socat", "TCP-LISTEN:80,fork,reuseaddr", "EXEC:cat"])?;
    let mut connection = Connection::open(&fabric)?;
    connection.carries("one")?;
    let table = fabric.run("director", &["ipvsadm", "-Ln"])?;
    ensure!(table.contains("mh"), "the director does not hash by Maglev:\n{table}");
    fabric.cut_off("server")?;
    connection.send("two")?;
    if let Ok(line) = connection.answers.recv_timeout(SILENCE) {
        bail!("node server was cut off and answers {line:?}");
    }
    fabric.reconnect("server")?;
    connection.hears("two")?;
    connection.carries("three")?;
    println!("a connection through IPVS and a tunnel lived through a cut");

    ensure!(echo.is_running(), "node server: echo ended (log: {})", echo.log().display());
    echo.kill()?;
    let ended = connection.answers.recv_timeout(ANSWER);
    ensure!(ended.is_err(), "node server: echo was killed and answers {ended:?}");
    let left =
        fabric.run("server", &["sh", "-c", "ps -e -o args | grep -c '^socat TCP-[L]ISTEN' || true"])?;
    ensure!(left.trim() == "0", "killing echo left {} processes of it", left.trim());
    Ok(())
}

/// As many nodes on one segment as the full topology has.
fn many(fabric: &Fabric) -> Result<()> {
    let started = Instant::now();
    let nodes: Vec<String> = (1..=MANY).map(|number| format!("node-{number}")).collect();
    fabric.add_nodes(&nodes)?;
    let made = started.elapsed();
    let members: Vec<(String, String)> = nodes.into_iter().map(|node| (node, "eth0".to_owned())).collect();
    fabric.segment("many", &members)?;
    fabric.ip("node-1", "addr add 10.0.1.1/24 dev eth0\n")?;
    fabric.ip(&format!("node-{MANY}"), "addr add 10.0.1.2/24 dev eth0\n")?;
    fabric.run("node-1", &["ping", "-c", "1", "-W", "2", "10.0.1.2"])?;
    println!(
        "{MANY} nodes in {}, on a segment {} later",
        say::elapsed(made),
        say::elapsed(started.elapsed().saturating_sub(made))
    );
    Ok(())
}

fn build(fabric: &Fabric) -> Result<()> {
    let nodes = ["client", "director", "server"].map(str::to_owned);
    fabric.add_nodes(&nodes)?;
    fabric.segment("lan", &nodes.clone().map(|node| (node, "eth0".to_owned())))?;
    for (node, number) in nodes.iter().zip(1..) {
        fabric.ip(
            node,
            &format!("addr add 10.0.0.{number}/24 dev eth0\naddr add fd00::{number}/64 dev eth0\n"),
        )?;
    }
    fabric.ip("client", &format!("route add {SERVICE} via 10.0.0.2\n"))?;
    fabric.ip("director", &format!("addr add {SERVICE}/32 dev lo\n"))?;
    fabric.sysctl("director", &[("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.eth0.send_redirects", "0")])?;
    let service = format!("{SERVICE}:80");
    fabric.run("director", &["ipvsadm", "-A", "-t", &service, "-s", "mh", "-b", "mh-port"])?;
    fabric.run("director", &["ipvsadm", "-a", "-t", &service, "-r", "10.0.0.3:80", "-i"])?;
    fabric.ip(
        "server",
        &format!(
            "link add name tunnel type ipip local 10.0.0.3\nlink set dev tunnel up\naddr add {SERVICE}/32 dev tunnel\n"
        ),
    )?;
    // What comes out of the tunnel is from clients to whom the way back is another.
    fabric.sysctl("server", &[("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.tunnel.rp_filter", "0")])
}

/// A connection from the client to the service.
struct Connection {
    process: std::process::Child,
    answers: Receiver<String>,
}

impl Connection {
    fn open(fabric: &Fabric) -> Result<Self> {
        let to = format!("TCP:{SERVICE}:80,connect-timeout=5,retry=20,interval=0.1");
        let mut command = fabric.command("client", &["socat", "-", &to])?;
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let printed = process.stdout.take().context("socat without output")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(printed).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, answers })
    }

    fn send(&mut self, line: &str) -> Result<()> {
        let input = self.process.stdin.as_mut().context("socat without input")?;
        writeln!(input, "{line}").context("the connection to the service is closed")
    }

    fn hears(&self, line: &str) -> Result<()> {
        let heard = self.answers.recv_timeout(ANSWER).with_context(|| {
            format!("no answer from {SERVICE} within {ANSWER:?}; look with: cargo lab shell director, ipvsadm -Lnc")
        })?;
        ensure!(heard == line, "the service answers {heard:?} to {line:?}");
        Ok(())
    }

    fn carries(&mut self, line: &str) -> Result<()> {
        self.send(line)?;
        self.hears(line)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
