//! From one fleet file to the next, while requests are served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use sd_notify::NotifyState;
use weir_core::config::{self, Fleet};
use weir_proxy::{Service, ServiceTable};

use super::{Node, RESCAN};
use crate::fleet::FleetFile;
use crate::pools::RunningPool;
use crate::settings;

impl Node {
    /// Reads the fleet file and the plugin directory and applies what they say. The answer is for a person; an error means
    /// that nothing has changed.
    pub(super) async fn reload(&mut self) -> Result<String, String> {
        // What systemd wants to know of a `notify-reload` service; elsewhere nobody listens.
        let _ = sd_notify::notify(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Ready),
        ]);
        let outcome = self.read_and_apply().await;
        match &outcome {
            Ok(done) => {
                tracing::info!(fleet = %self.file.path.display(), sha256 = %self.file.sha256, "{done}")
            }
            Err(error) => {
                tracing::error!(fleet = %self.file.path.display(), "not reloaded, nothing has changed: {error}")
            }
        }
        self.reload_error = outcome.as_ref().err().cloned();
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        outcome
    }

    async fn read_and_apply(&mut self) -> Result<String, String> {
        let file = FleetFile::read(&self.file.path).map_err(|e| e.to_string().trim_end().to_owned())?;
        file.fleet.node(&self.name).map_err(|e| e.to_string())?;
        let fleet = Arc::clone(&file.fleet);
        let changes = config::changes(&self.file.fleet, &fleet, &self.name);
        if self.shards.is_some() {
            self.apply_pools(&fleet).map_err(|e| format!("{e:#}"))?;
            let table = self.service_table(&fleet).map_err(|e| format!("{e:#}"))?;
            if let Some(shards) = &self.shards {
                shards.set_services(table);
            }
            let wanted = wanted_pools(&fleet);
            self.pools.retain(|name, _| wanted.contains(name));
        }
        self.level.set(fleet.log.level);
        self.file = file;
        self.loaded = SystemTime::now();
        let plugins = Arc::clone(&self.ground.plugins);
        let read = tokio::task::spawn_blocking(move || plugins.rescan(RESCAN)).await.unwrap_or(false);
        for pool in self.pools.values() {
            pool.flush();
        }
        for change in &changes.restart_needed {
            if !self.restart_needed.contains(change) {
                self.restart_needed.push(change.clone());
            }
        }
        let mut done = if changes.live.is_empty() {
            "reloaded; nothing in the fleet file changes what this node does".to_owned()
        } else {
            format!("reloaded:\n  {}", changes.live.join("\n  "))
        };
        for change in &changes.restart_needed {
            done.push_str("\n  takes effect after a restart: ");
            done.push_str(change);
        }
        if !read {
            done.push_str("\n  the plugin directory is still being read");
        }
        Ok(done)
    }

    /// Starts pools that are new, changes those that can be, makes anew those that cannot. Pools that are not wanted any more stay
    /// until nothing refers to them.
    pub(super) fn apply_pools(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        for name in wanted_pools(fleet) {
            let Some(pool) = fleet.pools.get(&name) else { continue };
            match self.pools.get_mut(&name).filter(|running| running.can_become(pool)) {
                Some(running) => running.apply(&name, pool, fleet, &self.operators)?,
                None => {
                    let running = RunningPool::start(&self.ground, &name, pool, fleet, &self.operators)?;
                    self.pools.insert(name, running);
                }
            }
        }
        Ok(())
    }

    /// What clients may connect to, as far as the ports of this process go.
    pub(super) fn service_table(&self, fleet: &Fleet) -> anyhow::Result<ServiceTable> {
        let services = fleet.services.iter().filter_map(|(name, service)| {
            let pool = self.pools.get(&service.pool)?;
            let mut offered =
                Service::new(name.shared(), settings::addresses(service), Arc::clone(pool.proxy()));
            offered.client = settings::client(service);
            offered.healthcheck = service.healthcheck.path().map(Into::into);
            Some(offered)
        });
        Ok(ServiceTable::new(services.collect())?)
    }
}

/// Pools that a service uses. The others are nobody's, and checking their servers would be for nothing.
fn wanted_pools(fleet: &Fleet) -> BTreeSet<config::Name> {
    fleet.services.values().map(|s| s.pool.clone()).collect()
}
