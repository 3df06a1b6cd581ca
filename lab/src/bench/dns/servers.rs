//! The servers that are measured, each with one thread on one core, and what they are asked.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::contender::{CORE, pinned};
use super::Row;
use crate::build;
use crate::dns::exchange::Client;
use crate::dns::query::{ask, kind};
use crate::fleet::{Dns, Fleet, free_address};
use crate::install::{Unpacked, unpacked};
use crate::node::{Node, Process};

/// How long a server may take until it answers: one of them reads a million names.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Names that are not there, in one file of queries.
const ABSENT: usize = 100_000;
/// The zone that all have.
const ZONE: &str = "example.org";
/// The zone with many names.
const LARGE: &str = "large.test";
const ADDRESSES: [&str; 2] = ["198.51.100.1", "198.51.100.2"];

/// All of them, while they run.
pub(super) struct Servers {
    others: Vec<(&'static str, SocketAddr, Process)>,
    weir: SocketAddr,
    node: Node,
}

pub(super) fn start(built: &Path, folder: &Path, many: usize) -> Result<Servers> {
    let zone = folder.join(format!("{ZONE}.zone"));
    std::fs::write(&zone, zone_text())?;
    let programs = unpacked(&[("gdnsd", "gdnsd"), ("knot", "knotd"), ("nsd", "nsd")])?;
    let [gdnsd_program, knot_program, nsd_program] = programs.as_slice() else {
        bail!("three programs were asked for");
    };
    let mut others = Vec::new();
    for (name, configure, program) in [
        ("gdnsd", gdnsd as fn(&Path, SocketAddr, &Path) -> Result<Vec<String>>, Some(gdnsd_program)),
        ("Knot", knot, Some(knot_program)),
        ("NSD", nsd, Some(nsd_program)),
        ("hickory", hickory, None),
    ] {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let server = free_address()?;
        let arguments = configure(&folder, server, &zone)?;
        let file = program.map_or_else(|| built.join("weir-baseline-dns"), |known| known.program.clone());
        let mut command = pinned(CORE, file);
        command.args(arguments);
        program.into_iter().for_each(|known: &Unpacked| known.put_into(&mut command));
        let process = Process::start(&mut command, &folder.join("log"))?;
        until_it_answers(name, &process, server, &folder)?;
        others.push((name, server, process));
    }
    let (node, weir) = weir(built, folder, many)?;
    Ok(Servers { others, weir, node })
}

impl Servers {
    /// Everything that is asked of everybody.
    pub(super) fn rows(&self, folder: &Path) -> Result<Vec<Row>> {
        let one = |name: &str| queries(folder, name, &format!("{name}.{ZONE} A\n"));
        let absent = |zone: &str| {
            let mut text = String::new();
            for number in 0..ABSENT {
                // Spread over the whole table, not in the order of anything.
                let _ = writeln!(text, "nx{:x}.{zone} A", number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
            }
            queries(folder, &format!("absent.{zone}"), &text)
        };
        let (www, nothing) = (one("www")?, absent(ZONE)?);
        let mut rows = Vec::new();
        let weir = |name, queries: &PathBuf, code| Row {
            name,
            server: self.weir,
            pid: self.node.pid(),
            queries: queries.clone(),
            code,
        };
        for (name, server, process) in &self.others {
            rows.push(Row {
                name,
                server: *server,
                pid: process.pid(),
                queries: www.clone(),
                code: "NOERROR",
            });
        }
        rows.push(weir("Weir", &www, "NOERROR"));
        rows.push(weir("Weir policy, repeated", &one("repeated")?, "NOERROR"));
        rows.push(weir("Weir policy, asked", &one("asked")?, "NOERROR"));
        for (name, server, process) in &self.others {
            let name = match *name {
                "gdnsd" => "gdnsd NXDOMAIN",
                "Knot" => "Knot NXDOMAIN",
                "NSD" => "NSD NXDOMAIN",
                _ => "hickory NXDOMAIN",
            };
            rows.push(Row {
                name,
                server: *server,
                pid: process.pid(),
                queries: nothing.clone(),
                code: "NXDOMAIN",
            });
        }
        rows.push(weir("Weir NXDOMAIN", &nothing, "NXDOMAIN"));
        rows.push(weir("Weir NXDOMAIN, many", &absent(LARGE)?, "NXDOMAIN"));
        Ok(rows)
    }
}

fn queries(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(format!("{name}.queries"));
    std::fs::write(&file, text)?;
    Ok(file)
}

/// Ten names; `www` has the addresses that the policies have as well.
fn zone_text() -> String {
    let mut text =
        String::from("$TTL 60\n@ SOA ns1 hostmaster 1 7200 1800 259200 900\n@ NS ns1\nns1 A 192.0.2.1\n");
    for address in ADDRESSES {
        let _ = writeln!(text, "www A {address}");
    }
    for number in 0..7 {
        let _ = writeln!(text, "name{number} A 192.0.2.{number}");
    }
    text
}

fn weir(built: &Path, folder: &Path, many: usize) -> Result<(Node, SocketAddr)> {
    let folder = folder.join("weir");
    std::fs::create_dir_all(&folder)?;
    let mut dns = Dns::new(&folder)?;
    let addresses =
        ADDRESSES.map(|text| text.parse::<IpAddr>()).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut zone = zone_text();
    let mut fleet = Fleet::new(&folder)?.with_workers(1);
    let file = "multifo.wasm";
    std::fs::copy(build::plugins_folder().join(file), fleet.paths.plugins.join(file))
        .with_context(|| format!("{file} was not built"))?;
    for (name, config) in [("repeated", "order = listed"), ("asked", "order = shuffled")] {
        fleet.plugin(name, file, config);
        dns.policy(name, name, &addresses);
        let _ = writeln!(zone, "_policy.{name} TXT \"{name}\"");
    }
    dns.zone(ZONE, &zone)?;
    let mut large =
        String::from("$TTL 60\n@ SOA ns1 hostmaster 1 7200 1800 259200 900\n@ NS ns1\nns1 A 192.0.2.1\n");
    for number in 0..many {
        let _ = writeln!(large, "name{number} A 192.0.2.1");
    }
    dns.zone(LARGE, &large)?;
    let server = dns.server();
    let node = Node::start_as(pinned(CORE, built.join("weir")), &fleet.answering(dns), &folder)?;
    Ok((node, server))
}

fn gdnsd(folder: &Path, server: SocketAddr, zone: &Path) -> Result<Vec<String>> {
    let here = folder.display();
    let zones = folder.join("zones");
    std::fs::create_dir_all(&zones)?;
    std::fs::copy(zone, zones.join(ZONE))?;
    for below in ["run", "state"] {
        std::fs::create_dir_all(folder.join(below))?;
    }
    let text = format!(
        "options => {{\n  listen => {server}\n  udp_threads => 1\n  tcp_threads => 1\n  run_dir => {here}/run\n\
         \x20 state_dir => {here}/state\n}}\n"
    );
    std::fs::write(folder.join("config"), text)?;
    Ok(vec!["-c".into(), here.to_string(), "start".into()])
}

fn knot(folder: &Path, server: SocketAddr, zone: &Path) -> Result<Vec<String>> {
    let here = folder.display();
    std::fs::create_dir_all(folder.join("db"))?;
    let text = format!(
        "server:\n    rundir: \"{here}\"\n    listen: {}@{}\n    udp-workers: 1\n    tcp-workers: 1\n\
         \x20   background-workers: 1\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n    storage: \"{here}/db\"\n\
         control:\n    listen: \"{here}/control.sock\"\nzone:\n  - domain: {ZONE}\n    file: \"{}\"\n\
         \x20   journal-content: none\n",
        server.ip(),
        server.port(),
        zone.display()
    );
    let file = folder.join("knot.conf");
    std::fs::write(&file, text)?;
    Ok(vec!["-c".into(), file.display().to_string()])
}

fn nsd(folder: &Path, server: SocketAddr, zone: &Path) -> Result<Vec<String>> {
    let here = folder.display();
    let text = format!(
        "server:\n  server-count: 1\n  ip-address: {}@{}\n  do-ip6: no\n  username: \"\"\n  zonesdir: \"{here}\"\n\
         \x20 database: \"\"\n  pidfile: \"{here}/pid\"\n  zonelistfile: \"{here}/zone.list\"\n\
         \x20 xfrdfile: \"{here}/xfrd.state\"\n  xfrdir: \"{here}\"\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n\
         remote-control:\n  control-enable: no\nzone:\n  name: {ZONE}\n  zonefile: \"{}\"\n",
        server.ip(),
        server.port(),
        zone.display()
    );
    let file = folder.join("nsd.conf");
    std::fs::write(&file, text)?;
    Ok(vec!["-d".into(), "-c".into(), file.display().to_string()])
}

/// The stock server of `lab/baseline-dns`.
fn hickory(_: &Path, server: SocketAddr, zone: &Path) -> Result<Vec<String>> {
    Ok(vec![server.to_string(), ZONE.into(), zone.display().to_string()])
}

fn until_it_answers(name: &str, process: &Process, server: SocketAddr, folder: &Path) -> Result<()> {
    let began = Instant::now();
    let mut client = Client::of(server)?;
    // Before it listens, the machine refuses for it.
    while !matches!(client.exchange(&ask(ZONE, kind::SOA), Duration::from_millis(200)), Ok(Some(_))) {
        if process.wait(LOOK_AGAIN).is_ok() || began.elapsed() > ANSWERS_WITHIN {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("{name} does not answer:\n{}", crate::command::tail(&log));
        }
    }
    Ok(())
}
