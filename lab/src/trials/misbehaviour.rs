//! Every way of misbehaving that a plugin has, each in a service of its own: requests are answered by the fallback,
//! and the node says which plugin and why.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fleet::{Fleet, Pool};
use crate::load::{Load, Pace};
use crate::node::Node;

/// What to make a plugin file of.
enum Guest {
    /// The fixture that misbehaves as its configuration says.
    Told(&'static str),
    /// Another fixture.
    File(&'static str),
    /// The first half of a good plugin.
    Truncated,
    /// Text.
    NotWasm,
}

const GUESTS: [(&str, Guest); 10] = [
    ("spins-in-pick", Guest::Told("spin pick")),
    ("traps-in-pick", Guest::Told("trap pick")),
    ("grows-in-pick", Guest::Told("grow pick")),
    ("lies-in-pick", Guest::Told("lie pick")),
    ("traps-in-update", Guest::Told("trap update")),
    ("lies-in-update", Guest::Told("lie update")),
    ("wrong-world", Guest::File("wrong-world.wasm")),
    ("foreign-import", Guest::File("foreign-import.wasm")),
    ("truncated", Guest::Truncated),
    ("not-wasm", Guest::NotWasm),
];

pub(super) fn run(folder: &Path) -> Result<()> {
    let servers = super::servers(&["anna", "ben"])?;
    let mut fleet = Fleet::new(folder)?;
    let mut services = Vec::new();
    for (name, guest) in &GUESTS {
        let (content, config) = guest.file()?;
        let file = format!("{name}.wasm");
        std::fs::write(fleet.paths.plugins.join(&file), content)?;
        fleet.plugin(name, &file, config);
        services.push((*name, fleet.service(name, Pool::unchecked(&servers, &[1, 1]).by(name))?));
    }
    let node = Node::start(&fleet, folder)?;
    for (name, address) in services {
        let load = Load { address, path: "/plain".into(), pace: Pace::Rate(200.0), connections: 4 };
        let report = load.run_for(Duration::from_secs(1))?;
        super::lost_nothing(name, &report)?;
        if report.by_server.len() != 2 {
            bail!("{name}: the fallback did not use both servers: {:?}", report.by_server);
        }
    }
    let (status, metrics) = (node.status()?, node.metrics()?);
    for (name, _) in &GUESTS {
        let plugin =
            super::plugin(&status, name).with_context(|| format!("the status does not know {name}"))?;
        let why = ["reason", "last_error"].map(|field| plugin[field].as_str().unwrap_or_default()).concat();
        if why.is_empty() {
            bail!("{name}: the status does not say why: {plugin:#}");
        }
        let label = format!("plugin=\"{name}\"");
        let failures = super::metric(&metrics, "weir_plugin_failures_total", &[&label]);
        let refusals = super::metric(&metrics, "weir_plugin_reloads_total", &[&label, "result=\"rejected\""]);
        if failures + refusals == 0.0 {
            bail!("{name}: no metric counts what it did");
        }
        if !node.log_text().lines().any(|line| line.contains(name)) {
            bail!("{name}: no line of the log names it");
        }
    }
    Ok(())
}

impl Guest {
    fn file(&self) -> Result<(Vec<u8>, &'static str)> {
        let read = |file: &str| {
            std::fs::read(super::built(file)).with_context(|| format!("the plugin {file} was not built"))
        };
        Ok(match self {
            Self::Told(what) => (read("misbehave.wasm")?, what),
            Self::File(file) => (read(file)?, ""),
            Self::Truncated => {
                let mut content = read("two-choices.wasm")?;
                content.truncate(content.len() / 2);
                (content, "")
            }
            Self::NotWasm => (b"#!/bin/sh\necho this is not Wasm\n".to_vec(), ""),
        })
    }
}
