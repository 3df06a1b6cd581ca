//! The certificate of a DNS node: a reload shows another one, or refuses it and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

#[path = "started/node.rs"]
mod node;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use node::Node;

/// Where a node that said this answers over TLS.
fn listens_at(said: &str) -> SocketAddr {
    let words = said.lines().find(|line| line.contains("transport=\"tls\"")).unwrap().split(' ');
    let address = words.into_iter().find_map(|word| word.strip_prefix("address="));
    address.unwrap().parse().unwrap()
}

/// A certificate and its key.
struct Pair(rcgen::CertifiedKey<rcgen::KeyPair>);

impl Pair {
    fn new() -> Self {
        Self(rcgen::generate_simple_self_signed(["dns.test".to_owned()]).unwrap())
    }

    fn write(&self, folder: &Path) {
        fs::write(folder.join("dns.crt"), self.0.cert.pem()).unwrap();
        fs::write(folder.join("dns.key"), self.0.signing_key.serialize_pem()).unwrap();
    }

    /// Whether a client that believes this one alone gets an answer.
    fn is_shown(&self, at: SocketAddr) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = Arc::new(config.with_no_client_auth());
        let client = ClientConnection::new(config, "dns.test".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(at).unwrap());
        // What no zone here has: refused, which is an answer.
        let query = b"\0\x13\0\x07\0\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
        let sent = std::io::Write::write_all(&mut stream, query);
        let mut answer = [0; 21];
        sent.and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer.starts_with(b"\0\x13\0\x07")
    }
}

fn fleet(folder: &TempDir) -> String {
    let below = |name: &str| folder.path().join(name).display().to_string();
    let (plugins, state, run, zones, ext) =
        (below("plugins"), below("state"), below("run"), below("zones"), below("ext"));
    fs::create_dir(&zones).unwrap();
    format!(
        "version = 1\npaths = {{ plugins = {plugins:?}, state = {state:?}, run = {run:?} }}\n\
         metrics = {{ enabled = false }}\nnodes = {{ here = {{ roles = [\"dns\"], workers = 1 }} }}\n\
         [dns]\nlisten = [\"127.0.0.1:0\"]\nzones = {zones:?}\nstate-file = {{ path = {ext:?} }}\n\
         [dns.tls]\ncertificate = {:?}\nkey = {:?}\nlisten = [\"127.0.0.1:0\"]\n",
        below("dns.crt"),
        below("dns.key"),
    )
}

fn reload(folder: &Path) -> Output {
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    weir.args(["reload", "--socket"]).arg(folder.join("run/admin.sock")).output().unwrap()
}

#[test]
fn a_reload_shows_the_new_certificate_or_refuses_it_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.toml");
    fs::write(&file, fleet(&folder)).unwrap();
    let said = Node::start(&file).err().unwrap();
    assert!(said.contains("dns.tls: ") && said.contains("dns.crt: No such file"), "{said}");

    let (old, new) = (Pair::new(), Pair::new());
    old.write(folder.path());
    let (_node, said) = Node::start(&file).unwrap();
    let at = listens_at(&said);
    assert!(old.is_shown(at) && !new.is_shown(at));

    // Of two pairs one half each.
    fs::write(folder.path().join("dns.crt"), new.0.cert.pem()).unwrap();
    let refused = reload(folder.path());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("is not the key of the first certificate"),
        "{refused:?}"
    );
    assert!(old.is_shown(at) && !new.is_shown(at));

    new.write(folder.path());
    let done = reload(folder.path());
    assert!(done.status.success(), "{done:?}");
    assert!(new.is_shown(at) && !old.is_shown(at));
}
