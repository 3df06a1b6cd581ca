//! From one fleet file to the next, while requests are served.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;
use weir_core::config::{self, Fleet, Name};
use weir_proxy::{Service, ServiceTable};

use super::{Node, RESCAN};
use crate::fleet::FleetFile;
use crate::pools::{FIRST_CHECKS, Prepared, RunningPool};
use crate::settings;

/// How long `weir reload` waits for the sidecar.
pub(super) const CARRIED_OUT: Duration = Duration::from_secs(2);

impl Node {
    /// Reads the fleet file and the plugin directory and applies what they say. The answer is for a person; an error means
    /// that nothing has changed.
    pub(super) async fn reload(&mut self) -> Result<String, String> {
        if self.draining {
            return Err("the node is stopping".to_owned());
        }
        // What systemd shows of a service; elsewhere nobody listens.
        let mut reloading = vec![NotifyState::Reloading];
        reloading.extend(NotifyState::monotonic_usec_now());
        let _ = sd_notify::notify(&reloading);
        let outcome = self.read_and_apply().await;
        match &outcome {
            Ok(done) => {
                tracing::info!(fleet = %self.file.path.display(), sha256 = %self.file.sha256, "{done}");
            }
            Err(error) => {
                tracing::error!(fleet = %self.file.path.display(), "not reloaded, nothing has changed: {error}");
            }
        }
        self.reload_error = outcome.as_ref().err().cloned();
        if !self.draining {
            let words =
                outcome.as_ref().map_or("the last reload was refused, see weir status", |_| "serving");
            let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(words)]);
        }
        outcome
    }

    async fn read_and_apply(&mut self) -> Result<String, String> {
        let path = self.file.path.clone();
        let read =
            tokio::task::spawn_blocking(move || FleetFile::read(&path)).await.map_err(|e| e.to_string())?;
        let file = read.map_err(|e| e.to_string().trim_end().to_owned())?;
        file.fleet.node(&self.name).map_err(|e| e.to_string())?;
        let fleet = Arc::clone(&file.fleet);
        let mut changes = config::changes(&self.file.fleet, &fleet, &self.name);
        let balancing = match self.balancing.is_some() {
            true => Some(self.prepare_balancing(&fleet).map_err(|e| format!("{e:#}"))?),
            false => None,
        };
        let dns = self.prepare_dns(&fleet).await?;
        if self.shards.is_some() {
            self.apply_pools(&fleet).await.map_err(|e| format!("{e:#}"))?;
            self.apply_services(&fleet);
        }
        if let (Some(running), Some(prepared)) = (&mut self.balancing, balancing) {
            running.apply(prepared);
        }
        changes.live.extend(self.apply_dns(&fleet, dns).await);
        self.receive(&fleet);
        let is_carried_out = self.is_carried_out().await;
        self.level.set(fleet.log.level);
        // Against the file of the start: what is changed and changed back needs no restart.
        self.restart_needed = config::changes(&self.started_with, &fleet, &self.name).restart_needed;
        self.file = file;
        self.loaded = SystemTime::now();
        let plugins = Arc::clone(&self.ground.plugins);
        let scanned = tokio::task::spawn_blocking(move || plugins.rescan(RESCAN)).await.unwrap_or(false);
        for pool in self.pools.values() {
            pool.flush().await;
        }
        let mut done = if changes.live.is_empty() {
            "reloaded; nothing in the fleet file changes what this node does".to_owned()
        } else {
            format!("reloaded:\n  {}", changes.live.join("\n  "))
        };
        for change in &self.restart_needed {
            done.push_str("\n  takes effect after a restart: ");
            done.push_str(change);
        }
        if !is_carried_out {
            done.push_str("\n  the sidecar has not carried it out yet; weir status says what it does");
        }
        if !scanned {
            done.push_str("\n  the plugin directory is still being read");
        }
        Ok(done)
    }

    /// Changes the pools that run and starts those that are new; waits until the new ones know their servers, so that
    /// services can be switched to them. Pools that are not wanted any more stay until the services have left them.
    pub(super) async fn apply_pools(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        let wanted = wanted_pools(fleet);
        let pools = fleet.pools.iter().filter(|(name, _)| wanted.contains(*name));
        let prepared: Vec<_> = pools
            .map(|(name, pool)| Prepared::new(name, pool, fleet, &self.operators))
            .collect::<anyhow::Result<_>>()?;
        // Whatever can fail, first; from then on nothing does, so that a file is applied whole or not at all.
        let (mut changes, mut news) = (Vec::new(), Vec::new());
        for prepared in prepared {
            let name = prepared.name().clone();
            match self.pools.get(&name) {
                Some(running) => changes.push((name, running.stage(&self.ground, &prepared)?, prepared)),
                None => news.push((name, RunningPool::start(&self.ground, prepared)?)),
            }
        }
        for (name, change, prepared) in changes {
            if let Some(running) = self.pools.get_mut(&name) {
                running.apply(prepared, change);
            }
        }
        let started: Vec<_> = news.iter().map(|(name, _)| name.clone()).collect();
        self.pools.extend(news);
        if self.shards.is_some() {
            let end = tokio::time::Instant::now() + FIRST_CHECKS;
            for pool in started.iter().filter_map(|name| self.pools.get(name)) {
                while !pool.is_settled().await && tokio::time::Instant::now() < end {
                    let _ = tokio::time::timeout_at(end, self.ground.changed.notified()).await;
                }
                pool.flush().await;
            }
        }
        Ok(())
    }

    /// Switches the services, as far as the ports of this process go, then lets go of pools that none uses.
    pub(super) fn apply_services(&mut self, fleet: &Fleet) {
        let ports: BTreeSet<u16> = match &self.shards {
            Some(shards) => shards.ports().iter().copied().collect(),
            None => fleet.services.values().map(|s| s.port).collect(),
        };
        self.offered = offered(&self.offered, &fleet.services, |port| ports.contains(&port));
        match (&self.shards, self.service_table(fleet)) {
            (Some(shards), Ok(table)) => shards.set_services(table),
            (None, _) => {}
            // The rules of the fleet file do not let it come to this.
            (Some(_), Err(error)) => tracing::error!(%error, "the services stay as they were"),
        }
        let mut wanted = wanted_pools(fleet);
        wanted.extend(self.offered.values().map(|s| s.pool.clone()));
        self.pools.retain(|name, _| wanted.contains(name));
    }

    /// What clients may connect to, and where L4 nodes check this node.
    pub(super) fn service_table(&self, fleet: &Fleet) -> anyhow::Result<ServiceTable> {
        let own = match (&self.network, fleet.node(&self.name)) {
            (Some(_), Ok(node)) => node.addresses.as_slice(),
            _ => &[],
        };
        let mut addresses = with_own(&self.offered, own);
        let services = self.offered.iter().filter_map(|(name, service)| {
            let pool = self.pools.get(&service.pool)?;
            let addresses = addresses.remove(name).unwrap_or_default();
            let mut offered = Service::new(name.shared(), addresses, Arc::clone(pool.proxy()));
            offered.client = settings::client(service);
            offered.healthcheck = service.healthcheck.path().map(Into::into);
            Some(offered)
        });
        Ok(ServiceTable::new(services.collect())?
            .asked_at(own, fleet.l4.check.path.as_deref().map(Into::into)))
    }
}

/// Addresses of each service, with the node's own ones: L4 nodes ask for the health of a service there, on its port. The first service of
/// a port answers where none is named, unless another one is there anyway.
fn with_own(offered: &BTreeMap<Name, config::Service>, own: &[IpAddr]) -> BTreeMap<Name, Vec<SocketAddr>> {
    let mut addresses: BTreeMap<_, _> =
        offered.iter().map(|(name, service)| (name.clone(), settings::addresses(service))).collect();
    let mut taken: BTreeSet<SocketAddr> = addresses.values().flatten().copied().collect();
    for (name, service) in offered {
        if taken.iter().any(|a| a.ip().is_unspecified() && a.port() == service.port) {
            continue;
        }
        let free = own.iter().map(|ip| SocketAddr::new(*ip, service.port)).filter(|a| taken.insert(*a));
        addresses.entry(name.clone()).or_default().extend(free);
    }
    addresses
}

/// Pools that a service uses. The others are nobody's, and checking their servers would be for nothing.
fn wanted_pools(fleet: &Fleet) -> BTreeSet<Name> {
    fleet.services.values().map(|s| s.pool.clone()).collect()
}

/// What can be offered of the services that are wanted: all those on open ports. A service that wants to move to a port that is not
/// open stays where it is until a restart, unless another one has taken its place.
fn offered(
    before: &BTreeMap<Name, config::Service>,
    wanted: &BTreeMap<Name, config::Service>,
    is_open: impl Fn(u16) -> bool,
) -> BTreeMap<Name, config::Service> {
    let (mut offered, waiting): (BTreeMap<_, _>, BTreeMap<_, _>) =
        wanted.iter().map(|(n, s)| (n.clone(), s.clone())).partition(|(_, s)| is_open(s.port));
    for (name, service) in waiting {
        let Some(old) = before.get(&name) else { continue };
        let stays = config::Service { port: old.port, addresses: old.addresses.clone(), ..service };
        if !offered.values().any(|other| collide(other, &stays)) {
            offered.insert(name, stays);
        }
    }
    offered
}

fn collide(a: &config::Service, b: &config::Service) -> bool {
    let both_any = a.addresses.is_empty() && b.addresses.is_empty();
    a.port == b.port && (both_any || a.addresses.iter().any(|ip| b.addresses.contains(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(text: &str) -> BTreeMap<Name, config::Service> {
        let rest = "[nodes.n]\nroles = [\"l7\"]\n[pools.p]\nservers = [{ name = \"s\", address = \"192.0.2.1:80\" }]";
        config::parse("test", &format!("version = 1\n{text}\n{rest}\n")).unwrap().services
    }

    fn ports(offered: &BTreeMap<Name, config::Service>) -> Vec<(&str, u16)> {
        offered.iter().map(|(name, s)| (name.as_str(), s.port)).collect()
    }

    #[test]
    fn a_service_that_moves_to_a_closed_port_stays_where_it_is() {
        let before = services("services.www = { port = 80, pool = \"p\" }");
        let moved = services(
            "services.www = { port = 81, pool = \"p\" }\nservices.new = { port = 82, pool = \"p\" }",
        );
        let after = offered(&before, &moved, |port| port == 80);
        assert_eq!(ports(&after), [("www", 80)]);
        // Twice, and it is still there.
        assert_eq!(ports(&offered(&after, &moved, |port| port == 80)), [("www", 80)]);
        assert_eq!(ports(&offered(&before, &moved, |_| true)), [("new", 82), ("www", 81)]);
    }

    #[test]
    fn a_service_whose_place_was_taken_waits_for_the_restart() {
        let before = services("services.www = { port = 80, pool = \"p\" }");
        let taken = services(
            "services.www = { port = 81, pool = \"p\" }\nservices.new = { port = 80, pool = \"p\" }",
        );
        assert_eq!(ports(&offered(&before, &taken, |port| port == 80)), [("new", 80)]);
    }

    #[test]
    fn a_service_that_is_gone_is_gone() {
        let before = services("services.www = { port = 80, pool = \"p\" }");
        assert!(offered(&before, &BTreeMap::new(), |_| true).is_empty());
    }

    #[test]
    fn l4_nodes_find_the_first_service_of_a_port_at_the_nodes_own_address() {
        let text = "services.a = { port = 80, pool = \"p\", addresses = [\"198.51.100.1\"] }\n\
                    services.b = { port = 80, pool = \"p\", addresses = [\"198.51.100.2\"] }\n\
                    services.c = { port = 81, pool = \"p\", addresses = [\"192.0.2.9\"] }\n\
                    services.d = { port = 82, pool = \"p\" }";
        let own = ["192.0.2.9".parse().unwrap()];
        let addresses = with_own(&services(text), &own);
        let of = |name: &str| {
            addresses.iter().find(|(n, _)| n.as_str() == name).unwrap().1.iter().map(ToString::to_string)
        };
        assert_eq!(of("a").collect::<Vec<_>>(), ["198.51.100.1:80", "192.0.2.9:80"]);
        assert_eq!(of("b").collect::<Vec<_>>(), ["198.51.100.2:80"]);
        assert_eq!(of("c").collect::<Vec<_>>(), ["192.0.2.9:81"]);
        assert_eq!(of("d").collect::<Vec<_>>(), ["[::]:82"]);
    }

    #[test]
    fn an_l4_node_asks_for_the_health_of_a_service_where_an_l7_node_answers_for_it() {
        let text = "version = 1\n\
             nodes.l4 = { roles = [\"l4\"], addresses = [\"192.0.2.1\"] }\n\
             nodes.n = { roles = [\"l7\"], addresses = [\"192.0.2.9\"], join = 1 }\n\
             pools.p.servers = [{ name = \"s\", address = \"192.0.2.101:80\" }]\n\
             pools.q.servers = [{ name = \"s\", address = \"192.0.2.102:80\" }]\n\
             services.a = { port = 80, pool = \"p\", addresses = [\"198.51.100.1\"] }\n\
             services.b = { port = 80, pool = \"q\", addresses = [\"198.51.100.2\"] }\n\
             services.c = { port = 80, pool = \"q\", addresses = [\"198.51.100.3\"] }\n\
             services.d = { port = 80, pool = \"q\", addresses = [\"198.51.100.4\"], healthcheck = \"/d\" }\n\
             services.e = { port = 81, pool = \"q\", addresses = [\"198.51.100.1\"] }\n\
             bgp = { as = 65000, neighbors = [{ name = \"r\", address = \"192.0.2.254\", as = 65000 }] }\n";
        let fleet = config::parse("test", text).unwrap();
        let own = with_own(&fleet.services, &["192.0.2.9".parse().unwrap()]);
        let layout = weir_core::l4::Layout::of(&fleet);
        let mut asked: Vec<(String, String)> = Vec::new();
        for target in layout.targets() {
            let first = || own.iter().find(|(_, at)| at.contains(&target.to)).map(|(name, _)| name.clone());
            let answers = target.service.clone().or_else(first).unwrap();
            assert_eq!(
                target.path.as_deref(),
                fleet.services[&answers].healthcheck.path(),
                "{}",
                target.name
            );
            asked.push((target.name.to_string(), answers.to_string()));
        }
        let expected = [
            ("n 192.0.2.9:80 /healthcheck", "a"),
            ("n 192.0.2.9:80 /healthcheck for b", "b"),
            ("n 192.0.2.9:80 /d for d", "d"),
            ("n 192.0.2.9:81 /healthcheck", "e"),
        ];
        assert_eq!(asked, expected.map(|(target, service)| (target.to_owned(), service.to_owned())));
    }
}
