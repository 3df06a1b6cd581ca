//! Every way of misbehaving that a plugin has, each in a service of its own: requests are answered by the fallback,
//! and the node says which plugin and why.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::fleet::{Fleet, Pool};
use crate::load::{Load, Pace};
use crate::node::Node;

/// What to make a plugin file of.
enum Guest {
    /// The fixture that misbehaves as its configuration says, already when it is tried before its first use.
    AtOnce(&'static str),
    /// The same, and it behaves until it is trusted with requests.
    Later(&'static str),
    /// Another fixture.
    File(&'static str),
    /// The first half of a good plugin.
    Truncated,
    /// Text.
    NotWasm,
}

const GUESTS: [(&str, Guest); 14] = [
    ("spins", Guest::AtOnce("spin-in = pick")),
    ("traps", Guest::AtOnce("trap-in = update")),
    ("grows", Guest::AtOnce("grow-in = configure")),
    ("recurses", Guest::AtOnce("recurse-in = update")),
    ("lies", Guest::AtOnce("lie = out-of-range")),
    ("wrong-table", Guest::AtOnce("lie = wrong-table")),
    ("spins-later", Guest::Later("spin-in = pick")),
    ("traps-later", Guest::Later("trap-in = pick")),
    ("grows-later", Guest::Later("grow-in = pick")),
    ("lies-later", Guest::Later("lie = out-of-range")),
    ("wrong-world", Guest::File("wrong-world.wasm")),
    ("foreign-import", Guest::File("foreign-import.wasm")),
    ("truncated", Guest::Truncated),
    ("not-wasm", Guest::NotWasm),
];

/// Calls after which a patient guest begins: more than a version is asked before it is put to use.
const PATIENCE: u64 = 3000;
/// Requests to such a guest. Workers share them, and at least one gets more than the patience lasts.
const REQUESTS: u64 = 4 * PATIENCE;

pub(super) fn run(folder: &Path) -> Result<()> {
    let servers = super::servers(&["anna", "ben"])?;
    let mut fleet = Fleet::new(folder)?.with_workers(2);
    let mut services = Vec::new();
    for (name, guest) in &GUESTS {
        let (content, config) = guest.file()?;
        let file = format!("{name}.wasm");
        std::fs::write(fleet.paths.plugins.join(&file), content)?;
        fleet.plugin(name, &file, &config);
        services.push((*name, guest, fleet.service(name, Pool::unchecked(&servers, &[1, 1]).by(name))?));
    }
    let node = Node::start(&fleet, folder)?;
    for (name, guest, address) in services {
        let requests = if matches!(guest, Guest::Later(_)) { REQUESTS } else { 100 };
        let load = Load { address, path: "/plain".into(), pace: Pace::Count(requests), connections: 4 };
        let report = load.start().join()?;
        super::lost_nothing(name, &report)?;
        ensure!(report.by_server.len() == 2, "{name}: not both servers were used: {:?}", report.by_server);
    }
    let (status, metrics, log) = (node.status()?, node.metrics()?, node.log_text());
    for (name, guest) in &GUESTS {
        accounted(name, guest, &status, &metrics).with_context(|| format!("plugin {name}"))?;
        ensure!(log.lines().any(|line| line.contains(name)), "no line of the log names {name}");
    }
    Ok(())
}

/// Whether status and metrics say of a guest what it did and who stood in for it.
fn accounted(name: &str, guest: &Guest, status: &Value, metrics: &str) -> Result<()> {
    let plugin = super::plugin(status, name, name).context("the status does not know it")?;
    let why = ["reason", "last_error"].map(|field| plugin[field].as_str().unwrap_or_default()).concat();
    ensure!(!why.is_empty(), "the status does not say why: {plugin:#}");
    let label = format!("plugin=\"{}\"", super::instance(name, name));
    let counted = match guest {
        Guest::Later(_) => super::metric(metrics, "weir_plugin_failures_total", &[&label]),
        _ => super::metric(metrics, "weir_plugin_state", &[&label, "state=\"rejected\""]),
    };
    ensure!(counted > 0.0, "no metric counts it: {plugin:#}");
    let pool = format!("pool=\"{name}\"");
    let stood_in = super::metric(metrics, "weir_pool_decisions_total", &[&pool, "by=\"fallback\""]);
    ensure!(stood_in > 0.0, "the fallback decided nothing: {plugin:#}");
    Ok(())
}

impl Guest {
    /// Content of the file, and configuration.
    fn file(&self) -> Result<(Vec<u8>, String)> {
        let read = |file: &str| {
            std::fs::read(super::built(file)).with_context(|| format!("the plugin {file} was not built"))
        };
        Ok(match self {
            Self::AtOnce(what) => (read("misbehave.wasm")?, (*what).to_owned()),
            Self::Later(what) => (read("misbehave.wasm")?, format!("{what}\nafter = {PATIENCE}")),
            Self::File(file) => (read(file)?, String::new()),
            Self::Truncated => {
                let mut content = read("two-choices.wasm")?;
                content.truncate(content.len() / 2);
                (content, String::new())
            }
            Self::NotWasm => (b"#!/bin/sh\necho this is not Wasm\n".to_vec(), String::new()),
        })
    }
}
