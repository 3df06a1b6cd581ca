//! Those that are measured: each a process pinned to one core, listening, with its access log on.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::build;
use crate::fleet::{Fleet, Pool, free_address};
use crate::install::Unpacked;
use crate::node::{Node, Process};

/// How long a contender may take until it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Where the contenders run; the generator and the servers have the other core.
pub(super) const CORE: usize = 0;
/// Where the generator and the servers run.
pub(super) const OTHER_CORE: usize = 1;

/// One row of the result.
pub(super) struct Row {
    /// Its name.
    pub(super) name: &'static str,
    /// Where to send requests.
    pub(super) address: SocketAddr,
    /// The process whose CPU time counts; `None` where there is none between client and server.
    pub(super) pid: Option<u32>,
}

/// A command that runs `program` on one core only.
pub(super) fn pinned(core: usize, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program.as_ref());
    command
}

/// A server process on the other core.
pub(super) fn server(name: &str, folder: &Path) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let mut command = pinned(OTHER_CORE, std::env::current_exe()?);
    command.args(["serve", name]).arg(address.to_string());
    let process = Process::start(&mut command, &folder.join(format!("{name}.log")))?;
    until_listening(&process, name, address)?;
    Ok((process, address))
}

/// HAProxy: one thread, servers kept alive and shared, timeouts as in the reference deployment.
pub(super) fn haproxy(
    program: &Unpacked,
    servers: &[SocketAddr],
    folder: &Path,
) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let mut text = format!(
        "global\n  nbthread 1\n  maxconn 400\n  log stdout len 2048 format raw local0 info\n\
         defaults\n  mode http\n  log global\n  option httplog\n  http-reuse always\n\
         \x20 timeout connect 5s\n  timeout client 50s\n  timeout server 50s\n\
         frontend front\n  bind {address}\n  option forwardfor\n  default_backend back\n\
         backend back\n  balance roundrobin\n"
    );
    for (number, server) in servers.iter().enumerate() {
        text.push_str(&format!("  server s{number} {server}\n"));
    }
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text)?;
    let mut command = pinned(CORE, &program.program);
    command.arg("-db").arg("-f").arg(&file);
    program.put_into(&mut command);
    start("haproxy", &mut command, address, folder)
}

/// nginx: one process, servers kept alive, the log buffered as its manual advises.
pub(super) fn nginx(
    program: &Unpacked,
    servers: &[SocketAddr],
    folder: &Path,
) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let here = folder.display();
    let list: String = servers.iter().map(|server| format!("    server {server};\n")).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {here}/nginx-temporary;\n"))
        .collect();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {here}/nginx.pid;\nevents {{ worker_connections 1000; }}\n\
         http {{\n{temporary}  access_log {here}/nginx-access.log combined buffer=64k flush=1s;\n\
         \x20 upstream back {{\n{list}    keepalive 128;\n    keepalive_requests 1000000000;\n  }}\n\
         \x20 server {{\n    listen {address};\n    keepalive_requests 1000000000;\n    location / {{\n\
         \x20     proxy_pass http://back;\n      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n\
         \x20     proxy_set_header X-Forwarded-For $remote_addr;\n    }}\n  }}\n}}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text)?;
    let mut command = pinned(CORE, &program.program);
    command.arg("-e").arg(folder.join("nginx-error.log")).arg("-p").arg(folder).arg("-c").arg(&file);
    program.put_into(&mut command);
    start("nginx", &mut command, address, folder)
}

/// The bare Pingora round robin of `lab/baseline`, built as Weir is.
pub(super) fn baseline(
    program: &Path,
    servers: &[SocketAddr],
    folder: &Path,
) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let mut command = pinned(CORE, program);
    command.arg("--listen").arg(address.to_string()).arg("--log").arg(folder.join("baseline-access.log"));
    for server in servers {
        command.arg("--upstream").arg(server.to_string());
    }
    start("baseline", &mut command, address, folder)
}

/// Weir with one worker and three services: native round robin, a plugin's plan, a plugin asked per request.
pub(super) fn weir(
    program: &Path,
    servers: &[SocketAddr],
    folder: &Path,
) -> Result<(Node, Vec<(&'static str, SocketAddr)>)> {
    let mut fleet = Fleet::new(folder)?.with_workers(1);
    let pool = Pool::of(servers);
    let mut services = vec![("Weir native", fleet.service("native", pool.clone())?)];
    for (name, instance, file) in
        [("Weir cycle plan", "cycle", "weighted-round-robin.wasm"), ("Weir pick", "pick", "two-choices.wasm")]
    {
        let from: PathBuf = build::plugins_folder().join(file);
        std::fs::copy(&from, fleet.paths.plugins.join(file))
            .with_context(|| format!("{file} was not built"))?;
        fleet.plugin(instance, file, "");
        services.push((name, fleet.service(instance, pool.clone().by(instance))?));
    }
    Ok((Node::start_as(pinned(CORE, program), &fleet, folder)?, services))
}

fn start(
    name: &str,
    command: &mut Command,
    address: SocketAddr,
    folder: &Path,
) -> Result<(Process, SocketAddr)> {
    let process = Process::start(command, &folder.join(format!("{name}.log")))?;
    until_listening(&process, name, address)?;
    Ok((process, address))
}

/// These programs do not say when they are ready; that they accept is all there is to go by.
fn until_listening(process: &Process, name: &str, address: SocketAddr) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if process.wait(Duration::from_millis(20)).is_ok() {
            bail!("{name} ended before it listened");
        }
        if started.elapsed() > LISTENS_WITHIN {
            bail!("{name} does not listen on {address}");
        }
    }
    Ok(())
}

/// CPU time of a process and all below it, user and system, all threads.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(each) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(text) = std::fs::read_to_string(format!("/proc/{each}/stat")) else { continue };
        all.extend(Stat::read(&text).map(|stat| (each, stat)));
    }
    let ticks: u64 = all.iter().filter(|(each, _)| is_below(&all, **each, pid)).map(|(_, s)| s.ticks).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Whether a process is this one, or was started by it or by one that was.
fn is_below(all: &BTreeMap<u32, Stat>, mut process: u32, above: u32) -> bool {
    // A table that was read while it changed could have a circle.
    for _ in 0..all.len() {
        if process == above {
            return true;
        }
        let Some(stat) = all.get(&process) else { return false };
        process = stat.parent;
    }
    false
}

/// The fields of `/proc/PID/stat` that count here.
struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name of a program may hold spaces and parentheses; what follows its last parenthesis may not.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_whatever_the_program_is_called() {
        let text = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 4 0 100 1 1";
        let stat = Stat::read(text).unwrap();
        assert_eq!((stat.parent, stat.ticks), (7, 175));
        let of = |parent| Stat { parent, ticks: 1 };
        let all = BTreeMap::from([(7, of(1)), (42, of(7)), (43, of(42)), (50, of(51)), (51, of(50))]);
        let below: Vec<u32> = all.keys().copied().filter(|each| is_below(&all, *each, 7)).collect();
        assert_eq!(below, [7, 42, 43], "and a circle ends");
    }
}
