//! From what the fleet file says to what each crate wants to know. Nothing is decided here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use weir_core::config::{self, CheckType};
use weir_core::health::Operator;
use weir_core::pool::Member;
use weir_probe::Watched;
use weir_probe::agent::Question;
use weir_probe::check::{Check, HttpCheck, Method, Sockets};
use weir_proxy::{ClientTimeouts, Key, PoolSettings, ServerTimeouts};
use weir_wasm::InstanceSpec;

use crate::judge::JudgePlugin;

/// Who is in the pool.
pub(crate) fn members(pool: &config::Pool) -> Vec<Member> {
    let member = |s: &config::Server| Member {
        name: s.name.shared(),
        address: s.address,
        labels: s.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
    };
    pool.servers.iter().map(member).collect()
}

/// How the pool's servers are watched. `operator` says what was ordered before this process began.
pub(crate) fn watched(
    pool: &config::Pool,
    judge: Option<&JudgePlugin>,
    operator: impl Fn(&str) -> Operator,
) -> anyhow::Result<Vec<Watched>> {
    let watch = |s: &config::Server| -> anyhow::Result<Watched> {
        let check = match &pool.check {
            Some(c) => {
                Some(check(c, s.address, pool.send_proxy).with_context(|| format!("server {}", s.name))?)
            }
            None => None,
        };
        Ok(Watched {
            name: s.name.shared(),
            spec: pool.health(s),
            check,
            agent: pool
                .agent_check
                .as_ref()
                .map(|a| Question { address: SocketAddr::new(s.address.ip(), a.port), send: a.send.clone() }),
            judge: judge.map(|judge| {
                judge
                    .of(&s.name, s.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
            }),
            operator: operator(s.name.as_str()),
        })
    };
    pool.servers.iter().map(watch).collect()
}

/// A check of this address and port, unless the check has a port of its own.
pub(crate) fn check(check: &config::Check, server: SocketAddr, proxy_line: bool) -> anyhow::Result<Check> {
    let address = SocketAddr::new(server.ip(), check.port.unwrap_or(server.port()));
    let method = match check.kind {
        CheckType::Tcp => Method::Tcp,
        CheckType::Http => {
            let host = check.host.clone().unwrap_or_else(|| address.to_string());
            Method::Http(HttpCheck::new(&host, &check.path.to_string(), check.expect.ranges().to_vec())?)
        }
    };
    Ok(Check { address, proxy_line, sockets: Sockets::Any, method })
}

/// How the pool speaks with its servers.
pub(crate) fn pool(pool: &config::Pool) -> anyhow::Result<PoolSettings> {
    let t = &pool.timeouts;
    Ok(PoolSettings {
        timeouts: ServerTimeouts {
            connect: t.connect.get(),
            response: t.response.get(),
            read: t.read.get(),
            write: t.write.get(),
            idle: t.idle.get(),
        },
        retries: pool.retries.into(),
        key: match &pool.key {
            None => Key::Random,
            Some(config::Key::Path) => Key::Path,
            Some(config::Key::Source) => Key::Source,
            Some(config::Key::Cookie(name)) => Key::Cookie(name.to_string()),
            Some(config::Key::Header(name)) => Key::Header(name.to_string().parse().context("key")?),
        },
        send_proxy: pool.send_proxy,
    })
}

/// What a plugin instance is made of.
pub(crate) fn plugin(plugin: &config::Plugin) -> InstanceSpec {
    InstanceSpec {
        file: plugin.file.to_string(),
        config: plugin.config.clone(),
        memory: usize::try_from(plugin.memory.bytes()).unwrap_or(usize::MAX),
        sha256: plugin.sha256.as_ref().map(ToString::to_string),
    }
}

/// Where clients find a service; an empty list in the file is every address.
pub(crate) fn addresses(service: &config::Service) -> Vec<SocketAddr> {
    if service.addresses.is_empty() {
        return vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), service.port)];
    }
    service.addresses.iter().map(|ip| SocketAddr::new(*ip, service.port)).collect()
}

/// How long clients are waited for.
pub(crate) fn client(service: &config::Service) -> ClientTimeouts {
    let t = &service.client_timeouts;
    ClientTimeouts { read: t.request.get(), write: t.request.get(), keep_alive: t.idle.get() }
}

/// A number that differs between nodes and between pools, and is the same in every process: checks of all nodes are
/// spread by it. FNV-1a, 64 bits.
pub(crate) fn seed(node: &str, pool: &str) -> u64 {
    let bytes = node.bytes().chain([0]).chain(pool.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The name under which a pool's instance of a plugin is known: one plugin table may serve several pools, and
/// each has instances of its own.
pub(crate) fn instance_name(plugin: &str, pool: &str) -> Arc<str> {
    format!("{plugin}@{pool}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_limit_on_servers_arrives_as_it_is_written() {
        let written = "timeouts = { connect = \"5s\", response = \"50s\", read = \"50s\", write = \"50s\", idle = \"60s\" }";
        let text = config::EXAMPLE.replace(
            written,
            "timeouts = { connect = \"1s\", response = \"2s\", read = \"3s\", write = \"4s\", idle = \"5s\" }",
        );
        let fleet = config::parse("fleet.toml", &text).unwrap();
        let seconds = Duration::from_secs;
        let want = ServerTimeouts {
            connect: seconds(1),
            response: seconds(2),
            read: seconds(3),
            write: seconds(4),
            idle: seconds(5),
        };
        assert!(fleet.pools.values().any(|p| pool(p).unwrap().timeouts == want));
    }
}
