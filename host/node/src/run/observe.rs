//! The node's status, put together from everybody who knows a part of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use weir_core::config::Service;
use weir_core::health::Status;
use weir_proxy::{DECIDERS, LATENCY_BOUNDS, PoolStats, ServerStats};

use super::{Node, settings};
use crate::l4::Balancing;
use crate::pools::RunningPool;
use crate::status::{
    AgentStatus, FleetStatus, Latency, NodeStatus, PoolStatus, ProxyStatus, ServerStatus, ServiceStatus,
};

/// Answers by the first digit of their status; what is no status at all is counted with nobody's.
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Node {
    /// Everything at once.
    pub(super) async fn status(&self) -> NodeStatus {
        let mut pools = Vec::with_capacity(self.pools.len());
        for (name, pool) in &self.pools {
            pools.push(self.pool_status(name.as_str(), pool).await);
        }
        let agent = AgentStatus {
            up: self.own_agent.as_ref().is_none_or(|a| a.is_up()),
            line: self.own_agent.as_ref().map(|a| a.line()).unwrap_or_default(),
        };
        let services = match &self.shards {
            Some(_) => {
                self.offered.iter().map(|(name, s)| self.service_status(name.as_str(), s, agent.up)).collect()
            }
            None => Vec::new(),
        };
        NodeStatus {
            node: self.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            draining: self.draining,
            agent,
            fleet: FleetStatus {
                file: self.file.path.display().to_string(),
                sha256: self.file.sha256.clone(),
                loaded_unix: unix(self.loaded),
                last_reload_ok: self.reload_error.is_none(),
                last_reload_error: self.reload_error.clone(),
                restart_needed: self.restart_needed.clone(),
            },
            proxy: self.proxy_status(),
            services,
            pools,
            network: self.network_status(),
            l4: match &self.balancing {
                Some(balancing) => balancing.status().await,
                None => None,
            },
            l4_judge: self.balancing.as_ref().and_then(Balancing::judge_status),
            dns: self.dns.as_ref().map(|dns| dns.status(self.ground.clock.now())),
            plugins: self.ground.plugins.status(),
            plugin_directory_problem: self.ground.plugins.directory_problem(),
        }
    }

    fn proxy_status(&self) -> ProxyStatus {
        let Some(shards) = &self.shards else { return ProxyStatus::default() };
        let stats = shards.stats();
        ProxyStatus {
            workers: shards.workers(),
            ports: shards.ports().to_vec(),
            accepted: stats.accepted,
            misdirected: stats.misdirected,
            answered: stats.answered,
            malformed: stats.malformed,
            connections: stats.connections,
            in_flight: stats.in_flight,
            log_lines_dropped: stats.log_dropped,
        }
    }

    fn service_status(&self, name: &str, service: &Service, agent_up: bool) -> ServiceStatus {
        let usable = self.pools.get(&service.pool).map_or(0, |p| p.proxy().view().usable());
        ServiceStatus {
            name: name.to_owned(),
            addresses: settings::addresses(service).into_iter().map(shown).collect(),
            pool: service.pool.to_string(),
            healthcheck: service.healthcheck.path().map(str::to_owned),
            healthy: usable > 0 && agent_up && !self.draining,
        }
    }

    async fn pool_status(&self, name: &str, pool: &RunningPool) -> PoolStatus {
        let standings: BTreeMap<Arc<str>, Status> = pool.standings().await.into_iter().collect();
        let (view, stats) = (pool.proxy().view(), pool.proxy().stats());
        let counted: BTreeMap<&str, &ServerStats> = stats.servers.iter().map(|s| (&*s.name, s)).collect();
        let servers = view.servers.iter().map(|server| {
            let status = standings.get(&server.name);
            let configured = pool.config().servers.iter().find(|s| s.name.as_str() == &*server.name);
            let counts = counted.get(&*server.name);
            ServerStatus {
                name: server.name.to_string(),
                address: server.address.to_string(),
                state: server.state,
                weight: server.weight,
                configured_weight: configured.map_or(server.weight, |s| s.weight),
                max_in_flight: server.max_in_flight,
                in_flight: server.load.in_flight(),
                latency_us: server.load.latency_micros(),
                reason: status.map(|s| s.reason.clone()).unwrap_or_default(),
                note: status.and_then(|s| s.note.clone()),
                judgement: status.and_then(|s| s.judgement.clone()),
                state_seconds: status.map_or(0, |s| self.ground.clock.now().since(s.since).as_secs()),
                bits: status.map(|s| s.bits),
                answers: counts.map(|c| CLASSES.into_iter().zip(c.answers).collect()).unwrap_or_default(),
                bytes: counts.map_or(0, |c| c.bytes),
                connects: counts.map_or(0, |c| c.connects),
                retries: counts.map_or(0, |c| c.retries),
                failures: counts.map(|c| failures(c)).unwrap_or_default(),
            }
        });
        PoolStatus {
            name: name.to_owned(),
            scheduler: pool.config().scheduler.as_ref().map(ToString::to_string),
            plan: view.plan.as_str(),
            epoch: view.epoch,
            usable: view.usable(),
            decisions: DECIDERS.into_iter().map(|by| by.as_str()).zip(stats.decisions).collect(),
            policy_failures: stats.policy_failures,
            client_aborts: stats.client_aborts,
            latency: latency(&stats),
            judge: pool.judge_status(),
            servers: servers.collect(),
        }
    }
}

fn failures(counts: &ServerStats) -> BTreeMap<&'static str, u64> {
    [
        ("connect-failed", counts.connect_failed),
        ("connect-timed-out", counts.connect_timed_out),
        ("timed-out", counts.timed_out),
        ("broken", counts.broken),
    ]
    .into()
}

fn latency(stats: &PoolStats) -> Latency {
    let bounds = LATENCY_BOUNDS.into_iter().map(|us| f64::from(us) / 1e6).chain([f64::MAX]);
    Latency { sum_seconds: stats.latency_sum.as_secs_f64(), buckets: bounds.zip(stats.latency).collect() }
}

/// As clients may write it; a service without addresses is on all of them.
fn shown(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("*:{}", address.port()) } else { address.to_string() }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
