//! A reload of a DNS node, seen by its clients and by the servers that it checks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where something is missing")]

#[path = "started/node.rs"]
mod node;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use node::Node;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A DNS node, with its files.
struct Fixture {
    folder: TempDir,
    node: Option<Node>,
    /// Where it answers.
    at: Option<SocketAddr>,
}

impl Fixture {
    /// A node with these policies and zones.
    fn start(policies: &str, zones: &[(&str, &str)]) -> Self {
        let mut fixture = Self { folder: tempfile::tempdir().unwrap(), node: None, at: None };
        fs::create_dir(fixture.path("zones")).unwrap();
        fixture.write(policies, zones);
        let (node, said) = Node::start(&fixture.path("fleet.toml")).unwrap();
        let line = said.lines().find(|line| line.contains("answering DNS queries")).unwrap();
        let address = line.split(' ').find_map(|word| word.strip_prefix("address=")).unwrap();
        fixture.at = Some(address.parse().unwrap());
        fixture.node = Some(node);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces fleet file and zones. Each zone has one name, `www`, which a policy decides.
    fn write(&self, policies: &str, zones: &[(&str, &str)]) {
        let below = |name: &str| self.path(name).display().to_string();
        let [plugins, state, run, directory, ext] = ["plugins", "state", "run", "zones", "ext"].map(below);
        let fleet = format!(
            "version = 1\npaths = {{ plugins = {plugins:?}, state = {state:?}, run = {run:?} }}\n\
             metrics = {{ enabled = false }}\nnodes = {{ here = {{ roles = [\"dns\"], workers = 1 }} }}\n\
             [dns]\nlisten = [\"127.0.0.1:0\"]\nzones = {directory:?}\nstate-file = {{ path = {ext:?} }}\n\
             rate-limit = {{ per-second = 0 }}\n{policies}\n"
        );
        fs::write(self.path("fleet.toml"), fleet).unwrap();
        for old in fs::read_dir(self.path("zones")).unwrap() {
            fs::remove_file(old.unwrap().path()).unwrap();
        }
        for (origin, policy) in zones {
            fs::write(self.path("zones").join(origin), zone(policy)).unwrap();
        }
    }

    /// Starts a command to the node.
    fn weir(&self, command: &str) -> Child {
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.args([command, "--socket"]).arg(self.path("run/admin.sock"));
        weir.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The response code and the addresses of `www` in this zone.
    fn ask(&self, origin: &str) -> (u8, Vec<Ipv4Addr>) {
        let mut query = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x03www".to_vec();
        for label in origin.split('.') {
            query.push(label.len().try_into().unwrap());
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(b"\0\0\x01\0\x01");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.send_to(&query, self.at.unwrap()).unwrap();
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).unwrap();
        // Owner, type, class, TTL and length come before each address.
        let records = answer[query.len()..length].chunks_exact(16).take(answer[7].into());
        let address = |record: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(&record[12..]).unwrap());
        (answer[3] & 15, records.map(address).collect())
    }
}

fn zone(policy: &str) -> String {
    format!(
        "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\nwww A 192.0.2.1\n_policy.www TXT \"{policy}\"\n"
    )
}

/// Waits for the end of a reload that must succeed.
fn done(reload: Child) {
    let output = reload.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Servers at these addresses, all on one port: each check of one of them, to be answered.
fn servers(addresses: &[&str]) -> (u16, Receiver<TcpStream>) {
    let first = TcpListener::bind((addresses[0], 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let others = addresses[1..].iter().map(|address| TcpListener::bind((*address, port)).unwrap());
    let (send, checks) = channel();
    for listener in [first].into_iter().chain(others) {
        let send = send.clone();
        std::thread::spawn(move || listener.incoming().try_for_each(|check| send.send(check.unwrap())));
    }
    (port, checks)
}

fn answer(mut check: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        check.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    check.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
}

/// The next check of this address; those of others are answered.
fn check_of(address: &str, checks: &Receiver<TcpStream>) -> TcpStream {
    loop {
        let check = checks.recv_timeout(LONG).unwrap();
        if check.local_addr().unwrap().ip().to_string() == address {
            return check;
        }
        answer(check);
    }
}

fn policy(name: &str, addresses: &[&str], port: u16, timing: &str) -> String {
    let addresses: Vec<_> = addresses.iter().map(|a| format!("{{ address = {a:?} }}")).collect();
    format!(
        "[dns.policies.{name}]\naddresses = [{}]\n\
         check = {{ type = \"http\", path = \"/\", port = {port}, {timing} }}\n",
        addresses.join(", ")
    )
}

/// The first check comes within half a second, and may take its time.
const PATIENT: &str = "interval = \"5s\", timeout = \"5s\"";

const REFUSED: (u8, Vec<Ipv4Addr>) = (5, Vec::new());

fn one(address: &str) -> (u8, Vec<Ipv4Addr>) {
    (0, vec![address.parse().unwrap()])
}

#[test]
fn names_are_switched_to_a_policy_that_knows_its_addresses_and_from_one_that_is_still_there() {
    let (port, checks) = servers(&["127.0.0.1", "127.0.0.4"]);
    let old = "[dns.policies.old]\naddresses = [{ address = \"198.51.100.1\" }]\n";
    let fixture = Fixture::start(old, &[("old.test", "old")]);
    assert_eq!((fixture.ask("old.test"), fixture.ask("new.test")), (one("198.51.100.1"), REFUSED));

    // At 127.0.0.2 there is nobody. Without a check that has ended all addresses would be the answer.
    fixture.write(&policy("new", &["127.0.0.1", "127.0.0.2"], port, PATIENT), &[("new.test", "new")]);
    let reload = fixture.weir("reload");
    let check = check_of("127.0.0.1", &checks);
    assert_eq!((fixture.ask("old.test"), fixture.ask("new.test")), (one("198.51.100.1"), REFUSED));
    answer(check);
    done(reload);
    assert_eq!((fixture.ask("old.test"), fixture.ask("new.test")), (REFUSED, one("127.0.0.1")));

    // The same policy with other addresses.
    fixture.write(&policy("new", &["127.0.0.4", "127.0.0.2"], port, PATIENT), &[("new.test", "new")]);
    let reload = fixture.weir("reload");
    let check = check_of("127.0.0.4", &checks);
    assert_eq!(fixture.ask("new.test"), one("127.0.0.1"));
    answer(check);
    done(reload);
    assert_eq!(fixture.ask("new.test"), one("127.0.0.4"));
}

#[test]
fn checks_go_on_while_a_reload_reads() {
    let (port, checks) = servers(&["127.0.0.1"]);
    let (send, answered) = channel();
    std::thread::spawn(move || {
        checks.into_iter().try_for_each(|check| {
            answer(check);
            send.send(())
        })
    });
    let fixture =
        Fixture::start(&policy("web", &["127.0.0.1"], port, "interval = \"100ms\""), &[("a.test", "web")]);

    // A zone that comes slowly: a pipe.
    let slow = fixture.path("zones/slow.test");
    assert!(Command::new("mkfifo").arg(&slow).status().unwrap().success());
    let reload = fixture.weir("reload");
    let mut pipe = fs::File::create(&slow).unwrap();
    // It is being read now, since a pipe is opened at both ends.
    answered.try_iter().for_each(drop);
    for number in 0..5 {
        assert!(answered.recv_timeout(LONG).is_ok(), "after {number} checks");
    }
    pipe.write_all(zone("web").as_bytes()).unwrap();
    drop(pipe);
    done(reload);
    assert_eq!((fixture.ask("a.test"), fixture.ask("slow.test")), (one("127.0.0.1"), one("127.0.0.1")));
}

#[test]
fn a_state_file_that_is_gone_stays_in_force_over_a_reload_until_there_is_another() {
    let two =
        "[dns.policies.web]\naddresses = [{ address = \"198.51.100.1\" }, { address = \"198.51.100.2\" }]\n";
    let zones = [("a.test", "web")];
    let fixture = Fixture::start(two, &zones);
    let until = |holds: &dyn Fn() -> bool| {
        while !holds() {
            std::thread::yield_now();
        }
    };
    fs::write(fixture.path("ext"), "198.51.100.1 => DOWN\n198.51.100.2 => UP\n").unwrap();
    until(&|| fixture.ask("a.test") == one("198.51.100.2"));
    fs::remove_file(fixture.path("ext")).unwrap();
    until(&|| {
        let status = fixture.weir("status").wait_with_output().unwrap();
        String::from_utf8_lossy(&status.stdout).contains("ext is gone")
    });
    assert_eq!(fixture.ask("a.test"), one("198.51.100.2"));

    // What the file does not name is something else now; what it named is not.
    let fleet = fs::read_to_string(fixture.path("fleet.toml")).unwrap();
    let other = fleet.replace("/ext\" }", "/ext\", unlisted = \"down\" }");
    assert_ne!(fleet, other);
    fs::write(fixture.path("fleet.toml"), other).unwrap();
    done(fixture.weir("reload"));
    assert_eq!(fixture.ask("a.test"), one("198.51.100.2"));
    fs::write(fixture.path("ext"), "198.51.100.1 => UP\n").unwrap();
    until(&|| fixture.ask("a.test") == one("198.51.100.1"));
}
