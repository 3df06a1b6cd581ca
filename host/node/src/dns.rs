//! The DNS side of a node: its server, its policies, and what keeps them up to date.
//!
//! Checks and the state file speak to [`standing`], which publishes a new table with each change; a reload of the fleet
//! file reads all zones and publishes them at once, or none of them. It puts policies in before the zones that name them, once their
//! addresses have been checked, and takes policies out after them, so that no answer is made of one without the other.

pub(crate) mod explain;
mod policy;
mod standing;
pub(crate) mod status;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use weir_core::config::{self, AbsolutePath, Access, Dns, Fleet, Name};
use weir_core::dns::answer::{Responder, Settings};
use weir_core::dns::cookie::Secrets;
use weir_core::dns::policy::Networks;
use weir_core::dns::ratelimit::Limits;
use weir_core::dns::zone::{Zone, Zones};
use weir_core::health::{OperatorCommand, Status};
use weir_core::time::Moment;
use weir_dns::certificate::Certificate;
use weir_dns::explain::{Ask, Explainer, Explanation};
use weir_dns::geography::Geography;
use weir_dns::query_log::QueryLog;
use weir_dns::state_file::{self, StateFileWatch};
use weir_dns::{Encrypted, Options, Server, Serving, cookie_file, directory};

use crate::operator::OperatorStates;
use crate::pools::{FIRST_CHECKS, Ground};
use policy::{Change, RunningPolicy};
use standing::Standing;

/// How long a client may take until its connection is encrypted: three lost packets in a row, and some.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The file of the cookies' secret in `paths.state`.
const COOKIE_FILE: &str = "dns-cookie";

/// A DNS server that runs, or waits for its first round of checks.
pub(crate) struct DnsNode {
    server: Server,
    answers: bool,
    workers: usize,
    standing: Arc<Standing>,
    policies: BTreeMap<Name, RunningPolicy>,
    explainer: Explainer,
    watch: StateFileWatch,
    /// What `watch` watches.
    watched: AbsolutePath,
    config: Dns,
}

/// What a fleet file's DNS part refers to, read.
pub(crate) struct Material {
    zones: Zones,
    secrets: Option<Secrets>,
    networks: Option<Arc<dyn Networks>>,
    certificate: Option<Certificate>,
}

impl Material {
    /// Reads all of it. Zones and databases may be large: to be called where nobody waits for anything else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(fleet: &Fleet) -> anyhow::Result<Self> {
        let config = &fleet.dns;
        Ok(Self {
            zones: directory::read(&config.zones, |name| config.policies.contains_key(name))?,
            // Each time: it may be replaced while the node runs.
            secrets: secrets(config, &fleet.paths.state)?,
            networks: read_networks(config)?,
            certificate: read_certificate(config)?,
        })
    }
}

/// A fleet file's DNS part, ready to be taken in. Made before anything is changed, so that a file or a zone with a fault
/// changes nothing.
pub(crate) struct Prepared {
    serving: Serving,
    networks: Option<Arc<dyn Networks>>,
    certificate: Option<Certificate>,
    policies: Vec<(Name, Change)>,
}

impl DnsNode {
    /// Reads the zones, opens the sockets and starts the checks. Queries are answered after [`DnsNode::answer`].
    pub(crate) fn start(fleet: &Fleet, ground: &Ground, operators: &OperatorStates) -> anyhow::Result<Self> {
        let config = &fleet.dns;
        let Material { zones, secrets, networks, certificate } = Material::read(fleet)?;
        let serving = serving(config, &ground.node, zones, secrets);
        let options = Options {
            listen: config.listen.clone(),
            threads: ground.workers,
            connections: config.tcp.connections.into(),
            idle: config.tcp.idle.get(),
            encrypted: encrypted(config, certificate),
            log: query_log(&config.query_log)?,
        };
        // One more than the server has: explanations ask as a worker of their own.
        let workers = options.workers() + 1;
        let server = Server::bind(options, serving)?;
        let standing = Standing::new(server.tables(), Arc::clone(&ground.changed));
        let (watch, said) = watch(&standing, &config.state_file.path)?;
        standing.unlisted(config.state_file.unlisted);
        standing.state_file(said);
        standing.networks(networks);
        let mut node = Self {
            explainer: Explainer::new(workers - 1),
            watch,
            watched: config.state_file.path.clone(),
            answers: false,
            policies: BTreeMap::new(),
            config: config.clone(),
            server,
            standing,
            workers,
        };
        let policies = node.stage(fleet, ground)?;
        node.take_in(fleet, ground, operators, policies);
        // Nothing is answered yet.
        node.standing.release();
        Ok(node)
    }

    /// Begins to answer: what waited in the sockets first.
    pub(crate) fn answer(&mut self) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.answers, true) {
            self.server.run()?;
            for address in self.server.listening() {
                tracing::info!(%address, zones = self.server.serving().zones.iter().count(), "answering DNS queries");
            }
            for (transport, address) in self.server.listening_encrypted() {
                tracing::info!(%address, transport = transport.as_str(), "answering encrypted DNS queries");
            }
        }
        Ok(())
    }

    /// Whether every address that is checked has been checked once.
    pub(crate) fn is_settled(&self) -> bool {
        self.standing.is_settled()
    }

    /// Makes ready what a new fleet file says. Nothing is changed yet.
    ///
    /// # Errors
    /// What is wrong with a policy, or what the machine refuses.
    pub(crate) fn prepare(
        &self,
        fleet: &Fleet,
        ground: &Ground,
        material: Material,
    ) -> anyhow::Result<Prepared> {
        let Material { zones, secrets, networks, certificate } = material;
        let serving = serving(&fleet.dns, &ground.node, zones, secrets);
        Ok(Prepared { serving, networks, certificate, policies: self.stage(fleet, ground)? })
    }

    /// Takes in what was prepared; new and changed policies, and what names them, when their addresses have been checked or
    /// [`FIRST_CHECKS`] is over. Returns what zones it changes, a line each.
    pub(crate) async fn apply(
        &mut self,
        fleet: &Fleet,
        ground: &Ground,
        operators: &OperatorStates,
        prepared: Prepared,
    ) -> Vec<String> {
        self.watch_file(&fleet.dns.state_file);
        self.standing.networks(prepared.networks);
        self.take_in(fleet, ground, operators, prepared.policies);
        self.settle(ground).await;
        let changes = zone_changes(&self.server.serving().zones, &prepared.serving.zones);
        self.server.set_serving(prepared.serving);
        // Nobody names them any more.
        self.policies.retain(|name, _| fleet.dns.policies.contains_key(name));
        self.standing.keep_only(&fleet.dns.policies);
        if let Some(certificate) = prepared.certificate {
            self.server.set_certificate(certificate);
        }
        self.config = fleet.dns.clone();
        changes
    }

    /// Publishes new and changed policies, each as soon as its addresses have been checked, and what is left when [`FIRST_CHECKS`] is over.
    async fn settle(&self, ground: &Ground) {
        for running in self.policies.values() {
            // Behind this, what is known of its addresses is no more what was known before the change.
            running.watch.snapshot().await;
        }
        let end = tokio::time::Instant::now() + FIRST_CHECKS;
        while !self.standing.release_settled() {
            if tokio::time::timeout_at(end, ground.changed.notified()).await.is_err() {
                break;
            }
        }
        self.standing.release();
    }

    fn watch_file(&mut self, file: &config::StateFile) {
        self.standing.unlisted(file.unlisted);
        // The same file is watched on: a new watch would not know that it was there.
        if file.path == self.watched {
            return;
        }
        match watch(&self.standing, &file.path) {
            Ok((watch, said)) => {
                self.watch = watch;
                self.watched = file.path.clone();
                self.standing.state_file(said);
            }
            Err(error) => tracing::error!("the state file is still {}: {error:#}", self.watched),
        }
    }

    fn stage(&self, fleet: &Fleet, ground: &Ground) -> anyhow::Result<Vec<(Name, Change)>> {
        let policies = fleet.dns.policies.iter();
        let staged = policies.map(|(name, config)| {
            let change = Change::of(self.policies.get(name), name, config, fleet, ground, self.workers)?;
            Ok((name.clone(), change))
        });
        staged.collect()
    }

    /// Starts or changes all policies that the fleet file has; others stay. From here on nothing fails.
    fn take_in(
        &mut self,
        fleet: &Fleet,
        ground: &Ground,
        operators: &OperatorStates,
        changes: Vec<(Name, Change)>,
    ) {
        for (name, change) in changes {
            let Some(config) = fleet.dns.policies.get(&name) else { continue };
            let running = self
                .policies
                .entry(name.clone())
                .or_insert_with(|| RunningPolicy::start(&name, ground, &self.standing));
            running.apply(&name, config, change, &self.standing, operators);
        }
    }

    /// An operator's command about an address; `None` where there is no such policy. Returns the address as it is printed, which is
    /// its name, and what the command led to.
    pub(crate) async fn operator(
        &self,
        policy: &str,
        address: &str,
        command: OperatorCommand,
    ) -> Option<anyhow::Result<(String, Status)>> {
        let running = self.policies.get(policy)?;
        let name = match address.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => address.to_owned(),
        };
        Some(match running.watch.operator(&name, command).await {
            Ok(status) => Ok((name, status)),
            Err(_) => {
                let known: Vec<_> = running.config.addresses.iter().map(|a| a.address.to_string()).collect();
                Err(anyhow::anyhow!(
                    "the policy {policy} has no address {address}; it has {}",
                    known.join(", ")
                ))
            }
        })
    }

    /// The policies' names.
    pub(crate) fn policy_names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(Name::as_str)
    }

    /// The plugin of this name, or of this policy's instance of it, is tried again. False where no policy has it.
    pub(crate) fn retry(&self, name: &str) -> bool {
        let mut found = false;
        for (policy, running) in &self.policies {
            if let Some(plugin) = running.plugin_if(policy, name) {
                plugin.retry();
                found = true;
            }
        }
        found
    }

    /// Opens the file of the query log again.
    pub(crate) fn reopen_log(&self) {
        self.server.reopen_log();
    }

    /// Why this query is answered as it is.
    pub(crate) fn explain(&mut self, ask: &Ask, now: Moment) -> Explanation {
        self.explainer.explain(ask, &self.server.serving(), &self.server.table(), now)
    }
}

/// Watches this file: the watch, and what the file says now.
fn watch(standing: &Arc<Standing>, path: &Path) -> anyhow::Result<(StateFileWatch, state_file::Outcome)> {
    let weak = Arc::downgrade(standing);
    let on_change = move |outcome| {
        if let Some(standing) = weak.upgrade() {
            standing.state_file(outcome);
        }
    };
    StateFileWatch::start(path.to_path_buf(), on_change).context("cannot start a thread")
}

/// What differs between the zones of two reads, as far as their serials say.
fn zone_changes(before: &Zones, after: &Zones) -> Vec<String> {
    let mut changes = Vec::new();
    for zone in after.iter() {
        let (origin, serial) = (zone.origin(), zone.serial());
        match before.get(origin).map(Zone::serial) {
            None => changes.push(format!("zone {origin}: added, serial {serial}")),
            Some(old) if old != serial => changes.push(format!("zone {origin}: serial {old} -> {serial}")),
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|zone| after.get(zone.origin()).is_none());
    changes.extend(gone.map(|zone| format!("zone {}: removed", zone.origin())));
    changes.sort();
    changes
}

fn read_networks(config: &Dns) -> anyhow::Result<Option<Arc<dyn Networks>>> {
    let read = |geography: &config::Geography| {
        let database = Geography::read(&geography.database, &geography.labels);
        let database = database.context("dns.geography")?;
        tracing::info!(database = %geography.database, "{database}");
        Ok(Arc::new(database) as Arc<dyn Networks>)
    };
    config.geography.as_ref().map(read).transpose()
}

fn read_certificate(config: &Dns) -> anyhow::Result<Option<Certificate>> {
    let read = |tls: &config::DnsTls| Certificate::read(&tls.certificate, &tls.key).context("dns.tls");
    config.tls.as_ref().map(read).transpose()
}

/// What is listened to beside UDP and TCP.
fn encrypted(config: &Dns, certificate: Option<Certificate>) -> Option<Encrypted> {
    let (tls, certificate) = (config.tls.as_ref()?, certificate?);
    Some(Encrypted {
        certificate,
        tls: tls.listen.clone(),
        https: tls.https.clone(),
        https_path: tls.https_path.to_string(),
        quic: tls.quic.clone(),
        handshake: HANDSHAKE,
    })
}

fn secrets(config: &Dns, state: &Path) -> anyhow::Result<Option<Secrets>> {
    let load = || cookie_file::load(&state.join(COOKIE_FILE)).context("dns.cookies");
    config.cookies.then(load).transpose()
}

fn query_log(access: &Access) -> anyhow::Result<Option<QueryLog>> {
    let log = match access {
        Access::Off => return Ok(None),
        Access::Stdout => QueryLog::to_writer(std::io::stdout()),
        Access::File(path) => QueryLog::to_file(path),
    };
    Ok(Some(log.with_context(|| format!("dns.query-log: cannot write to {access}"))?))
}

/// How the server presents itself, with its zones.
fn serving(config: &Dns, node: &str, zones: Zones, secrets: Option<Secrets>) -> Serving {
    let identity = match config.identity.as_str() {
        "off" => None,
        "" => Some(node.to_owned()),
        own => Some(own.to_owned()),
    };
    let tenths = config.tcp.idle.as_millis() / 100;
    let settings = Settings {
        udp_size: config.udp_size,
        nsid: identity.clone().unwrap_or_default().into_bytes(),
        identity,
        version: Some(config.version.clone()).filter(|v| !v.is_empty()),
        secrets,
        subnet: config.client_subnet,
        keepalive: Some(u16::try_from(tenths).unwrap_or(u16::MAX)),
    };
    let limits = Limits {
        per_second: config.rate_limit.per_second,
        burst: config.rate_limit.burst,
        slip: config.rate_limit.slip,
        ..Limits::default()
    };
    Serving { zones, responder: Responder::new(settings), limits }
}
