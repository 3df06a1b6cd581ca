//! NSD, Knot and BIND from Debian: unpacked and never installed, each on a port of loopback with a folder of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::zones::Zone;
use crate::dns::answer::Answer;
use crate::dns::exchange::Client;
use crate::dns::query::{ask, kind};
use crate::fleet::free_address;
use crate::install::{Unpacked, unpacked};
use crate::node::Process;
use crate::paths;

/// How long a server may take until it answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks: these programs do not say when they are ready.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One of them, while it runs.
pub(super) struct Rival {
    /// Its name.
    pub(super) name: &'static str,
    /// Where it answers.
    pub(super) server: SocketAddr,
    _process: Process,
}

/// Starts all three with these zones.
pub(super) fn start(folder: &Path, zones: &[Zone]) -> Result<Vec<Rival>> {
    let programs = unpacked(&[("nsd", "nsd"), ("knot", "knotd"), ("bind9", "named")])?;
    let [nsd, knot, bind] = programs.as_slice() else { bail!("three programs were asked for") };
    let zone_files = zones
        .iter()
        .map(|zone| {
            let file = folder.join("zones").join(format!("{}.zone", zone.origin));
            (zone.origin.as_str(), file.display().to_string())
        })
        .collect::<Vec<_>>();
    let mut rivals = Vec::new();
    for (name, program, configure) in [
        ("NSD", nsd, nsd_command as fn(&Unpacked, &Path, SocketAddr, &[(&str, String)]) -> Result<Command>),
        ("Knot", knot, knot_command),
        ("BIND", bind, bind_command),
    ] {
        let folder = folder.join(name.to_lowercase());
        std::fs::create_dir_all(&folder)?;
        let server = free_address()?;
        let mut command = configure(program, &folder, server, &zone_files)?;
        program.put_into(&mut command);
        let process = Process::start(&mut command, &folder.join("log"))?;
        rivals.push(Rival { name, server, _process: process });
    }
    for rival in &rivals {
        rival.until_it_answers(zones, folder)?;
    }
    Ok(rivals)
}

impl Rival {
    fn until_it_answers(&self, zones: &[Zone], folder: &Path) -> Result<()> {
        let log = folder.join(self.name.to_lowercase()).join("log");
        let began = Instant::now();
        let mut client = Client::of(self.server)?;
        for zone in zones {
            loop {
                let query = ask(&zone.origin, kind::SOA);
                // Before it listens, the machine refuses for it.
                let bytes = client.exchange(&query, Duration::from_millis(200)).unwrap_or_default();
                let answer = bytes.and_then(|bytes| Answer::read(&bytes).ok());
                if answer.is_some_and(|answer| answer.authoritative && answer.rcode == 0) {
                    break;
                }
                if self._process.wait(LOOK_AGAIN).is_ok() || began.elapsed() > ANSWERS_WITHIN {
                    let text = std::fs::read_to_string(&log).unwrap_or_default();
                    bail!(
                        "{} does not serve {} (log {}):\n{}",
                        self.name,
                        zone.origin,
                        paths::short(&log),
                        crate::command::tail(&text)
                    );
                }
            }
        }
        Ok(())
    }
}

fn written(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn nsd_command(
    program: &Unpacked,
    folder: &Path,
    server: SocketAddr,
    zones: &[(&str, String)],
) -> Result<Command> {
    let here = folder.display();
    let mut text = format!(
        "server:
  server-count: 1
  ip-address: {}@{}
  do-ip6: no
  username: \"\"
  zonesdir: \"{here}\"
  database: \"\"
  pidfile: \"{here}/pid\"
  zonelistfile: \"{here}/zone.list\"
  xfrdfile: \"{here}/xfrd.state\"
  xfrdir: \"{here}\"
  ipv4-edns-size: 1232
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  refuse-any: no
remote-control:
  control-enable: no
",
        server.ip(),
        server.port()
    );
    for (origin, file) in zones {
        let _ = write!(text, "zone:\n  name: {origin}\n  zonefile: \"{file}\"\n");
    }
    let file = folder.join("nsd.conf");
    written(&file, &text)?;
    let mut command = Command::new(&program.program);
    command.arg("-d").arg("-c").arg(&file);
    Ok(command)
}

fn knot_command(
    program: &Unpacked,
    folder: &Path,
    server: SocketAddr,
    zones: &[(&str, String)],
) -> Result<Command> {
    let here = folder.display();
    let mut text = format!(
        "server:
    rundir: \"{here}\"
    listen: {}@{}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    udp-max-payload: 1232
log:
  - target: stderr
    any: warning
database:
    storage: \"{here}/db\"
control:
    listen: \"{here}/control.sock\"
template:
  - id: default
    semantic-checks: off
    zonefile-load: whole
    journal-content: none
zone:
",
        server.ip(),
        server.port()
    );
    for (origin, file) in zones {
        let _ = write!(text, "  - domain: {origin}\n    file: \"{file}\"\n");
    }
    std::fs::create_dir_all(folder.join("db"))?;
    let file = folder.join("knot.conf");
    written(&file, &text)?;
    let mut command = Command::new(&program.program);
    command.arg("-c").arg(&file);
    Ok(command)
}

fn bind_command(
    program: &Unpacked,
    folder: &Path,
    server: SocketAddr,
    zones: &[(&str, String)],
) -> Result<Command> {
    let here = folder.display();
    let mut text = format!(
        "options {{
  directory \"{here}\";
  managed-keys-directory \"{here}\";
  pid-file none;
  session-keyfile none;
  lock-file none;
  listen-on port {} {{ {}; }};
  listen-on-v6 {{ none; }};
  recursion no;
  allow-transfer {{ none; }};
  notify no;
  minimal-any no;
  zero-no-soa-ttl no;
  dnssec-validation no;
  empty-zones-enable no;
  check-integrity no;
  edns-udp-size 1232;
  max-udp-size 1232;
}};
controls {{ }};
",
        server.port(),
        server.ip()
    );
    for (origin, file) in zones {
        let _ = writeln!(text, "zone \"{origin}\" {{ type primary; file \"{file}\"; check-names ignore; }};");
    }
    let file = folder.join("named.conf");
    written(&file, &text)?;
    let mut command = Command::new(&program.program);
    command.args(["-g", "-n", "1", "-c"]).arg(&file);
    Ok(command)
}
