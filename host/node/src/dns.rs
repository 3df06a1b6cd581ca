//! The DNS side of a node: its server, its policies, and what keeps them up to date.
//!
//! Checks and the state file speak to [`standing`], which publishes a new table with each change; a reload of the fleet
//! file reads all zones and publishes them at once, or none of them.

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
use weir_core::config::{self, Access, Dns, Fleet, Name};
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
use crate::pools::Ground;
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
    watched: config::StateFile,
    secrets: Option<Secrets>,
    config: Dns,
}

/// A fleet file's DNS part, ready to be taken in. Made before anything is changed, so that a file or a zone with a fault
/// changes nothing.
pub(crate) struct Prepared {
    serving: Serving,
    secrets: Option<Secrets>,
    networks: Option<Arc<dyn Networks>>,
    certificate: Option<Certificate>,
    policies: Vec<(Name, Change)>,
}

impl DnsNode {
    /// Reads the zones, opens the sockets and starts the checks. Queries are answered after [`DnsNode::answer`].
    pub(crate) fn start(fleet: &Fleet, ground: &Ground, operators: &OperatorStates) -> anyhow::Result<Self> {
        let config = &fleet.dns;
        let zones = read_zones(config)?;
        let secrets = secrets(config, &fleet.paths.state)?;
        let serving = serving(config, &ground.node, zones, secrets.clone());
        let options = Options {
            listen: config.listen.clone(),
            threads: ground.workers,
            connections: config.tcp.connections.into(),
            idle: config.tcp.idle.get(),
            encrypted: encrypted(config)?,
            log: query_log(&config.query_log)?,
        };
        // One more than the server has: explanations ask as a worker of their own.
        let workers = options.workers() + 1;
        let server = Server::bind(options, serving)?;
        let standing = Standing::new(server.tables(), Arc::clone(&ground.changed));
        let path = &config.state_file.path;
        standing.state_file(config.state_file.unlisted, state_file::read(path));
        standing.networks(read_networks(config)?);
        let watch = watch(&standing, &config.state_file)?;
        let mut node = Self {
            explainer: Explainer::new(workers - 1),
            watch,
            watched: config.state_file.clone(),
            answers: false,
            policies: BTreeMap::new(),
            config: config.clone(),
            secrets,
            server,
            standing,
            workers,
        };
        let policies = node.stage(fleet, ground)?;
        node.take_in(fleet, ground, operators, policies);
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

    /// Reads what a new fleet file says. Nothing is changed yet.
    ///
    /// # Errors
    /// What is wrong with a zone, or what the machine refuses.
    pub(crate) fn prepare(&self, fleet: &Fleet, ground: &Ground) -> anyhow::Result<Prepared> {
        let zones = read_zones(&fleet.dns)?;
        let secrets = match (&self.secrets, fleet.dns.cookies) {
            (_, false) => None,
            // Read again: it may be replaced while the node runs.
            (_, true) => secrets(&fleet.dns, &fleet.paths.state)?,
        };
        let serving = serving(&fleet.dns, &ground.node, zones, secrets.clone());
        let networks = read_networks(&fleet.dns)?;
        let certificate = read_certificate(&fleet.dns)?;
        Ok(Prepared { serving, secrets, networks, certificate, policies: self.stage(fleet, ground)? })
    }

    /// Takes in what was prepared. Returns what zones it changes, a line each.
    pub(crate) fn apply(
        &mut self,
        fleet: &Fleet,
        ground: &Ground,
        operators: &OperatorStates,
        prepared: Prepared,
    ) -> Vec<String> {
        self.standing.networks(prepared.networks);
        self.take_in(fleet, ground, operators, prepared.policies);
        let changes = zone_changes(&self.server.serving().zones, &prepared.serving.zones);
        self.server.set_serving(prepared.serving);
        self.secrets = prepared.secrets;
        if let Some(certificate) = prepared.certificate {
            self.server.set_certificate(certificate);
        }
        let file = &fleet.dns.state_file;
        if *file != self.watched {
            match watch(&self.standing, file) {
                Ok(watch) => {
                    self.standing.state_file(file.unlisted, state_file::read(&file.path));
                    self.watch = watch;
                    self.watched = file.clone();
                }
                Err(error) => tracing::error!("the state file is still {}: {error:#}", self.watched.path),
            }
        }
        self.config = fleet.dns.clone();
        changes
    }

    fn stage(&self, fleet: &Fleet, ground: &Ground) -> anyhow::Result<Vec<(Name, Change)>> {
        let policies = fleet.dns.policies.iter();
        let staged = policies.map(|(name, config)| {
            let change = Change::of(self.policies.get(name), name, config, fleet, ground, self.workers)?;
            Ok((name.clone(), change))
        });
        staged.collect()
    }

    /// From here on nothing fails.
    fn take_in(
        &mut self,
        fleet: &Fleet,
        ground: &Ground,
        operators: &OperatorStates,
        changes: Vec<(Name, Change)>,
    ) {
        let wanted = &fleet.dns.policies;
        self.policies.retain(|name, _| wanted.contains_key(name));
        for (name, change) in changes {
            let Some(config) = wanted.get(&name) else { continue };
            let running = self
                .policies
                .entry(name.clone())
                .or_insert_with(|| RunningPolicy::start(&name, ground, &self.standing));
            running.apply(&name, config, change, &self.standing, operators);
        }
        self.standing.keep_only(wanted);
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

fn watch(standing: &Arc<Standing>, file: &config::StateFile) -> anyhow::Result<StateFileWatch> {
    let (weak, unlisted) = (Arc::downgrade(standing), file.unlisted);
    let on_change = move |outcome| {
        if let Some(standing) = weak.upgrade() {
            standing.state_file(unlisted, outcome);
        }
    };
    StateFileWatch::start(file.path.to_path_buf(), on_change).context("cannot start a thread")
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

fn read_zones(config: &Dns) -> anyhow::Result<Zones> {
    Ok(directory::read(&config.zones, |name| config.policies.contains_key(name))?)
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
fn encrypted(config: &Dns) -> anyhow::Result<Option<Encrypted>> {
    let (Some(tls), Some(certificate)) = (&config.tls, read_certificate(config)?) else { return Ok(None) };
    Ok(Some(Encrypted {
        certificate,
        tls: tls.listen.clone(),
        https: tls.https.clone(),
        https_path: tls.https_path.to_string(),
        quic: tls.quic.clone(),
        handshake: HANDSHAKE,
    }))
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
