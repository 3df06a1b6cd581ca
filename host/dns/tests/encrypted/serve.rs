//! A server with all transports on loopback, and what its clients trust.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use weir_core::dns::answer::{Responder, Settings, Transport};
use weir_core::dns::name::Name;
use weir_core::dns::zone::Zones;
use weir_core::dns::zonefile;
use weir_dns::certificate::Certificate;
use weir_dns::stats::Stats;
use weir_dns::{Encrypted, Options, Server, Serving};

/// The name that certificates are made for.
pub(crate) const HOST: &str = "dns.test";

/// A certificate for [`HOST`] that nobody vouches for, on disk.
pub(crate) struct Pair {
    pub(crate) folder: TempDir,
    pub(crate) der: CertificateDer<'static>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("crt"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key"), made.signing_key.serialize_pem()).unwrap();
        Self { folder, der: made.cert.der().clone() }
    }

    pub(crate) fn read(&self) -> Certificate {
        Certificate::read(&self.folder.path().join("crt"), &self.folder.path().join("key")).unwrap()
    }
}

/// The server, and the certificate that it began with.
pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) pair: Pair,
}

impl Fixture {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let pair = Pair::new();
        let any = || vec!["127.0.0.1:0".parse().unwrap()];
        let mut options = Options {
            listen: any(),
            threads: 1,
            connections: 100,
            idle: Duration::from_secs(60),
            encrypted: Some(Encrypted {
                certificate: pair.read(),
                tls: any(),
                https: any(),
                https_path: "/dns-query".to_owned(),
                quic: any(),
                handshake: Duration::from_secs(60),
            }),
            log: None,
        };
        change(&mut options);
        let mut server = Server::bind(options, serving()).unwrap();
        server.run().unwrap();
        Self { server, pair }
    }

    /// Where this transport is listened to.
    pub(crate) fn at(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Udp | Transport::Tcp => self.server.listening()[0],
            other => self.server.listening_encrypted().iter().find(|(over, _)| *over == other).unwrap().1,
        }
    }

    /// Those whom a client believes.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.pair.der.clone()).unwrap();
        roots
    }

    /// Waits until the counters are so.
    pub(crate) async fn until(&self, holds: impl Fn(&Stats) -> bool) {
        while !holds(&self.server.stats()) {
            tokio::task::yield_now().await;
        }
    }
}

fn serving() -> Serving {
    let mut text =
        "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\nwww A 192.0.2.1\nwww 30 AAAA 2001:db8::1\n"
            .to_owned();
    for part in 0..200 {
        text.push_str(&format!("large TXT \"{part:0>250}\"\n"));
    }
    let mut include = |path: &str, _: &str| Err(format!("no {path} here"));
    let zone = zonefile::read(&Name::parse("a.test").unwrap(), "a.test", text.as_bytes(), &mut include);
    let settings = Settings { keepalive: Some(300), nsid: b"dns-1".to_vec(), ..Settings::default() };
    Serving {
        zones: Zones::new([zone.unwrap()]).unwrap(),
        responder: Responder::new(settings),
        ..Serving::default()
    }
}
