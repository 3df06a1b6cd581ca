//! A server dies under load, connections and all: clients notice nothing, and checks take it out.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::fleet::{Fleet, Pool};
use crate::load::{Load, Pace};
use crate::node::Node;

pub(super) fn run(folder: &Path) -> Result<()> {
    let mut servers = super::servers(&["anna", "ben", "cleo"])?;
    let mut fleet = Fleet::new(folder)?;
    let address = fleet.service("web", Pool::unchecked(&servers, &[1, 1, 1]).checked())?;
    let node = Node::start(&fleet, folder)?;
    let load = Load { address, path: "/plain".into(), pace: Pace::Rate(500.0), connections: 8 }.start();
    let cleo = servers.pop();
    let taken = |state: &'static str| {
        move |status: &Value| super::servers::state(status, "web", "cleo") == Some(state)
    };
    node.until("cleo is up", Duration::from_secs(5), taken("up"))?;
    drop(cleo);
    let found = node.until("cleo is down", Duration::from_secs(10), taken("down"));
    let report = load.stop()?;
    found?;
    super::lost_nothing("a server died", &report)
}
