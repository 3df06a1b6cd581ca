//! Plugin files replaced under an open-loop load: good, another, broken, in turn.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::fleet::{Fleet, Pool, replace};
use crate::load::{Load, Pace};
use crate::node::Node;

/// Replacements; each waits until the node has taken notice of it.
const ROUNDS: usize = 12;
/// How long a node may take to notice a file and decide about it.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn run(folder: &Path) -> Result<()> {
    let servers = super::servers(&["anna", "ben", "cleo"])?;
    let mut fleet = Fleet::new(folder)?;
    let file = fleet.paths.plugins.join("policy.wasm");
    let read =
        |name: &str| std::fs::read(super::built(name)).with_context(|| format!("{name} was not built"));
    let (good, other) = (read("two-choices.wasm")?, read("weighted-round-robin.wasm")?);
    let broken = b"\0asm broken".to_vec();
    std::fs::write(&file, &good)?;
    fleet.plugin("policy", "policy.wasm", "");
    let address = fleet.service("web", Pool::unchecked(&servers, &[5, 3, 1]).by("policy"))?;
    let node = Node::start(&fleet, folder)?;
    node.until("the first version is in use", NOTICED_WITHIN, |status| named(status) == Some("two-choices"))?;

    let load = Load { address, path: "/plain".into(), pace: Pace::Rate(1000.0), connections: 16 }.start();
    let replaced = (0..ROUNDS).try_for_each(|round| {
        let (content, wanted): (_, fn(&Value) -> bool) = match round % 3 {
            0 => (&other, |status| {
                named(status) == Some("weighted-round-robin") && state(status) == Some("active")
            }),
            1 => (&broken, |status| {
                named(status) == Some("weighted-round-robin") && state(status) == Some("rejected")
            }),
            _ => (&good, |status| named(status) == Some("two-choices") && state(status) == Some("active")),
        };
        replace(&file, content)?;
        node.until(&format!("replacement {round} was noticed"), NOTICED_WITHIN, wanted).map(|_| ())
    });
    let report = load.stop()?;
    replaced?;
    super::lost_nothing("plugins replaced", &report)
}

/// The version that decides, by the name its author gave it.
fn named(status: &Value) -> Option<&str> {
    super::plugin(status, "policy", "web")?["version"]["name"].as_str()
}

fn state(status: &Value) -> Option<&str> {
    super::plugin(status, "policy", "web")?["state"].as_str()
}
