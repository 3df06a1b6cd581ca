//! Fleet files that the lab writes: one node, loopback, ports that were free a moment ago.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::server::DemoServer;

/// The name of the only node.
pub(crate) const NODE: &str = "demo";

/// A fleet file as a value. Field names are those of the file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fleet {
    version: u32,
    /// Where the node keeps what it keeps.
    pub(crate) paths: Paths,
    log: Log,
    /// Where metrics can be read.
    pub(crate) metrics: Metrics,
    nodes: BTreeMap<String, Node>,
    /// What the node's agent serves; its file decides over the node's own health.
    pub(crate) agent: Agent,
    /// Instances of plugins.
    pub(crate) plugins: BTreeMap<String, Plugin>,
    /// Servers and how one is chosen.
    pub(crate) pools: BTreeMap<String, Pool>,
    /// What clients connect to.
    pub(crate) services: BTreeMap<String, Service>,
    /// How an L4 node checks the L7 nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    l4: Option<L4>,
    /// What the node answers, where it is a DNS node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<Dns>,
}

/// `[paths]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Paths {
    pub(crate) plugins: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
}

#[derive(Debug, Clone, Serialize)]
struct Log {
    level: String,
    access: String,
}

/// `[metrics]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Metrics {
    enabled: bool,
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Clone, Serialize)]
struct Node {
    roles: Vec<&'static str>,
    workers: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<u32>,
}

/// `[l4]`
#[derive(Debug, Clone, Serialize)]
struct L4 {
    judge: String,
    check: NodeCheck,
}

/// `[l4.check]`
#[derive(Debug, Clone, Serialize)]
struct NodeCheck {
    path: &'static str,
    interval: &'static str,
}

/// `[agent]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Agent {
    listen: SocketAddr,
    pub(crate) file: PathBuf,
}

/// `[plugins.NAME]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Plugin {
    pub(crate) file: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) config: String,
}

/// `[pools.NAME]`
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Pool {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheduler: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_check: Option<AgentCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) judge: Option<String>,
    pub(crate) servers: Vec<Server>,
}

/// What a request is known by.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Key {
    Header(String),
}

/// `[pools.NAME.check]`
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Check {
    #[serde(rename = "type")]
    kind: &'static str,
    path: &'static str,
    interval: &'static str,
    fast_interval: &'static str,
    rise: u32,
    fall: u32,
}

/// `[pools.NAME.agent-check]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AgentCheck {
    pub(crate) port: u16,
    pub(crate) interval: &'static str,
}

/// `[[pools.NAME.servers]]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) weight: u16,
}

/// `[services.NAME]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) pool: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
}

/// `[dns]`
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Dns {
    /// Where it listens.
    pub(crate) listen: Vec<SocketAddr>,
    zones: PathBuf,
    /// Which server this is.
    pub(crate) identity: String,
    /// Which program.
    pub(crate) version: String,
    rate_limit: RateLimit,
    state_file: StateFile,
    /// Where it listens over encrypted transports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<DnsTls>,
    /// Who decides addresses.
    pub(crate) policies: BTreeMap<String, Policy>,
}

/// `[dns.tls]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DnsTls {
    /// The certificate in PEM.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// TLS.
    pub(crate) listen: Vec<SocketAddr>,
    /// HTTPS.
    pub(crate) https: Vec<SocketAddr>,
    /// QUIC.
    pub(crate) quic: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
struct RateLimit {
    per_second: u32,
}

#[derive(Debug, Clone, Serialize)]
struct StateFile {
    path: PathBuf,
}

/// `[dns.policies.NAME]`
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Policy {
    /// The instance of a plugin that decides.
    pub(crate) plugin: String,
    /// The addresses, without checks: up from the first moment.
    pub(crate) addresses: Vec<DnsAddress>,
}

/// `[[dns.policies.NAME.addresses]]`
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DnsAddress {
    /// The address.
    pub(crate) address: IpAddr,
}

impl Dns {
    /// A server on a free port of loopback, without zones. One client asks it all that it can, so nobody's rate is limited.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let zones = folder.join("zones");
        std::fs::create_dir_all(&zones).with_context(|| format!("cannot make {}", zones.display()))?;
        Ok(Self {
            listen: vec![free_address()?],
            zones,
            identity: String::new(),
            version: String::new(),
            rate_limit: RateLimit { per_second: 0 },
            state_file: StateFile { path: folder.join("ext") },
            tls: None,
            policies: BTreeMap::new(),
        })
    }

    /// Writes a zone's file.
    pub(crate) fn zone(&self, origin: &str, text: &str) -> Result<()> {
        replace(&self.zones.join(format!("{origin}.zone")), text.as_bytes())
    }

    /// Adds a policy of these addresses that an instance of a plugin decides.
    pub(crate) fn policy(&mut self, name: &str, plugin: &str, addresses: &[IpAddr]) {
        let addresses = addresses.iter().map(|address| DnsAddress { address: *address }).collect();
        self.policies.insert(name.into(), Policy { plugin: plugin.into(), addresses });
    }

    /// Its first address.
    pub(crate) fn server(&self) -> SocketAddr {
        self.listen.first().copied().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)))
    }
}

impl Fleet {
    /// A fleet whose node keeps everything below `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let paths =
            Paths { plugins: folder.join("plugins"), state: folder.join("state"), run: folder.join("run") };
        for each in [&paths.plugins, &paths.state, &paths.run] {
            std::fs::create_dir_all(each).with_context(|| format!("cannot make {}", each.display()))?;
        }
        Ok(Self {
            version: 1,
            log: Log { level: "info".into(), access: folder.join("access.log").display().to_string() },
            metrics: Metrics { enabled: true, listen: free_address()? },
            nodes: BTreeMap::from([(NODE.to_owned(), Node::new("l7", "agent"))]),
            agent: Agent { listen: free_address()?, file: folder.join("agent-check") },
            plugins: BTreeMap::new(),
            pools: BTreeMap::new(),
            services: BTreeMap::new(),
            l4: None,
            dns: None,
            paths,
        })
    }

    /// A fleet whose node is an L4 node, `own` its address. It checks L7 nodes at these addresses and this port every tenth of a second,
    /// and a plugin of the name `judge` judges that.
    pub(crate) fn balancing(
        folder: &Path,
        own: IpAddr,
        l7: &[IpAddr],
        port: u16,
        judge: &str,
    ) -> Result<Self> {
        let mut fleet = Self::new(folder)?;
        let l4 = Node { addresses: vec![own], ..Node::new("l4", "agent") };
        fleet.nodes.insert(NODE.into(), l4);
        for (number, address) in (1..).zip(l7) {
            let node = Node { addresses: vec![*address], join: Some(number), ..Node::new("l7", "agent") };
            fleet.nodes.insert(format!("l7-{number}"), node);
        }
        fleet.pools.insert("web".into(), Pool::of(&[free_address()?]));
        // Of the addresses for documentation.
        let addresses = vec![Ipv4Addr::new(198, 51, 100, 1).into()];
        fleet.services.insert("web".into(), Service { port, pool: "web".into(), addresses });
        let check = NodeCheck { path: "/state", interval: "100ms" };
        fleet.l4 = Some(L4 { judge: judge.into(), check });
        Ok(fleet)
    }

    /// Runs with this many workers; 0 is one for each core.
    #[must_use]
    pub(crate) fn with_workers(mut self, workers: u32) -> Self {
        for node in self.nodes.values_mut() {
            node.workers = workers;
        }
        self
    }

    /// A DNS node, and nothing else.
    #[must_use]
    pub(crate) fn answering(mut self, dns: Dns) -> Self {
        for node in self.nodes.values_mut() {
            node.roles = vec!["dns"];
        }
        self.dns = Some(dns);
        self
    }

    /// Adds an instance of a plugin file with this configuration.
    pub(crate) fn plugin(&mut self, name: &str, file: &str, config: &str) {
        self.plugins.insert(name.into(), Plugin { file: file.into(), config: config.into() });
    }

    /// Adds a service on a free port with a pool of the same name, and says where it listens.
    pub(crate) fn service(&mut self, name: &str, pool: Pool) -> Result<SocketAddr> {
        let address = free_address()?;
        self.pools.insert(name.into(), pool);
        let service = Service { port: address.port(), pool: name.into(), addresses: Vec::new() };
        self.services.insert(name.into(), service);
        Ok(address)
    }

    /// The admin socket of a node that runs this file.
    pub(crate) fn socket(&self) -> PathBuf {
        self.paths.run.join("admin.sock")
    }

    /// Writes the file at once: a reader sees the old one or the new one.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = toml::to_string(self)?;
        let comment = "# Written by the lab. Every field: `weir reference`.\n";
        replace(file, format!("{comment}{text}").as_bytes())
    }
}

impl Node {
    fn new(role: &'static str, other: &'static str) -> Self {
        Self { roles: vec![role, other], workers: 0, addresses: Vec::new(), join: None }
    }
}

impl Pool {
    /// These servers with these weights, without checks: up from the first moment.
    pub(crate) fn unchecked(servers: &[DemoServer], weights: &[u16]) -> Self {
        let servers = servers.iter().zip(weights).map(|(server, weight)| Server {
            name: server.name.clone(),
            address: server.address,
            weight: *weight,
        });
        Self {
            scheduler: None,
            key: None,
            check: None,
            agent_check: None,
            judge: None,
            servers: servers.collect(),
        }
    }

    /// Servers elsewhere, of equal weight, without checks.
    pub(crate) fn of(addresses: &[SocketAddr]) -> Self {
        let servers = addresses.iter().enumerate().map(|(number, address)| Server {
            name: format!("s{number}"),
            address: *address,
            weight: 1,
        });
        Self {
            scheduler: None,
            key: None,
            check: None,
            agent_check: None,
            judge: None,
            servers: servers.collect(),
        }
    }

    /// With an HTTP check, quick enough for a person to watch.
    #[must_use]
    pub(crate) fn checked(mut self) -> Self {
        self.check = Some(Check {
            kind: "http",
            path: "/plain",
            interval: "1s",
            fast_interval: "200ms",
            rise: 1,
            fall: 2,
        });
        self
    }

    /// Chosen by this instance of a plugin.
    #[must_use]
    pub(crate) fn by(mut self, plugin: &str) -> Self {
        self.scheduler = Some(plugin.into());
        self
    }

    /// Requests are known by this header.
    #[must_use]
    pub(crate) fn keyed_by_header(mut self, name: &str) -> Self {
        self.key = Some(Key::Header(name.into()));
        self
    }
}

/// Puts a file in its place by rename, as an operator should.
pub(crate) fn replace(file: &Path, content: &[u8]) -> Result<()> {
    let unready = file.with_extension("unready");
    std::fs::write(&unready, content).with_context(|| format!("cannot write {}", unready.display()))?;
    std::fs::rename(&unready, file).with_context(|| format!("cannot put {} in place", file.display()))
}

/// A plugin file's content with a custom section that makes it another one, so that each is compiled and none comes from the cache. At
/// the end of a file that was cut off it changes nothing for the better.
pub(crate) fn numbered(content: &[u8], number: u64) -> Vec<u8> {
    const NAME: &[u8] = b"number";
    let length = 1 + NAME.len() + size_of::<u64>();
    let mut numbered = content.to_vec();
    // Section 0, its length and that of its name: both below 128, so one byte each.
    numbered.extend([0, length as u8, NAME.len() as u8]);
    numbered.extend(NAME);
    numbered.extend((u64::from(std::process::id()) << 32 | number).to_le_bytes());
    numbered
}

/// A loopback address that nobody listens on at this moment, over TCP or UDP, and that was not given to anybody else of this process.
///
/// It is below the ports that Linux gives to whoever asks for none: there one that was free a moment ago may be given away again, to the
/// next who asks as well as to a connection.
pub(crate) fn free_address() -> Result<SocketAddr> {
    const PORTS: Range<u32> = 12_000..32_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    for _ in PORTS {
        // Each process begins elsewhere, a few hundred ports from the one before it.
        let place = std::process::id().wrapping_mul(397).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(PORTS.start + place % count)?));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("none of the ports from {} to {} is free", PORTS.start, PORTS.end - 1)
}
