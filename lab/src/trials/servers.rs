//! The fleet file changes under load: servers come and go without a lost request; a faulty file changes nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::fleet::{self, Fleet, Pool};
use crate::load::{Load, Pace};
use crate::node::Node;

/// State of a server as the status has it.
pub(super) fn state<'a>(status: &'a Value, pool: &str, server: &str) -> Option<&'a str> {
    let pools = status.get("pools")?.as_array()?;
    let pool = pools.iter().find(|each| each["name"] == pool)?;
    let server = pool.get("servers")?.as_array()?.iter().find(|each| each["name"] == server)?;
    server.get("state")?.as_str()
}

pub(super) fn run(folder: &Path) -> Result<()> {
    let servers = super::servers(&["anna", "ben", "cleo"])?;
    let (two, three) = (
        Pool::unchecked(servers.get(..2).unwrap_or_default(), &[1, 1]),
        Pool::unchecked(&servers, &[1, 1, 1]),
    );
    let mut fleet = Fleet::new(folder)?;
    let address = fleet.service("web", two.clone())?;
    let node = Node::start(&fleet, folder)?;
    let load = Load { address, path: "/plain".into(), pace: Pace::Rate(500.0), connections: 8 }.start();

    fleet.pools.insert("web".into(), three);
    fleet.write(&node.file)?;
    let (content, said) = node.reload()?;
    ensure!(content, "a good fleet file was refused: {said}");
    ensure!(answering(address)?.contains(&"cleo".to_owned()), "the new server gets nothing");

    let broken = b"version = 1\n[pools.web\n";
    fleet::replace(&node.file, broken)?;
    let (content, said) = node.reload()?;
    ensure!(!content && said.contains("fleet.toml:2"), "a broken fleet file is not reported: {said}");
    ensure!(answering(address)?.len() == 3, "a broken fleet file changed what is served");
    node.until("the status names the broken file", Duration::from_secs(5), |status| {
        status.to_string().contains("fleet.toml:2")
    })?;

    fleet.pools.insert("web".into(), two);
    fleet.write(&node.file)?;
    node.signal(rustix::process::Signal::HUP)?;
    node.until("SIGHUP took cleo out", Duration::from_secs(5), |status| {
        state(status, "web", "cleo").is_none()
    })?;
    ensure!(!answering(address)?.contains(&"cleo".to_owned()), "a server that is gone still gets requests");
    super::lost_nothing("fleet file changed", &load.stop()?)
}

/// Who answers, each that does at least once in thirty requests.
pub(super) fn answering(address: std::net::SocketAddr) -> Result<Vec<String>> {
    let load = Load { address, path: "/plain".into(), pace: Pace::Count(30), connections: 1 };
    let report = load.start().join()?;
    super::lost_nothing("asked who answers", &report)?;
    Ok(report.by_server.into_keys().collect())
}
