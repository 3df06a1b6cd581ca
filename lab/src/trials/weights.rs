//! Weights are exact, not about right: by the host's own round robin and by a plugin's cycle.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::fleet::{Fleet, Pool};
use crate::load::{Load, Pace};
use crate::node::Node;

/// 1,111 rounds of nine and one request more, which is the heaviest server's: smooth round robin begins with it.
const REQUESTS: u64 = 10_000;
const EXPECTED: [(&str, u64); 3] = [("anna", 5556), ("ben", 3333), ("cleo", 1111)];

pub(super) fn run(folder: &Path) -> Result<()> {
    let servers = super::servers(&EXPECTED.map(|(name, _)| name))?;
    // Workers count for themselves, each from the start; the promise is for one.
    let mut fleet = Fleet::new(folder)?.with_workers(1);
    let file = "weighted-round-robin.wasm";
    std::fs::copy(super::built(file), fleet.paths.plugins.join(file))?;
    fleet.plugin("in-turn", file, "");
    let pool = Pool::unchecked(&servers, &[5, 3, 1]);
    let services = [
        ("native", fleet.service("native", pool.clone())?),
        ("cycle", fleet.service("cycle", pool.by("in-turn"))?),
    ];
    let _node = Node::start(&fleet, folder)?;
    for (name, address) in services {
        let load = Load { address, path: "/plain".into(), pace: Pace::Count(REQUESTS), connections: 4 };
        let report = load.start().join()?;
        super::lost_nothing(name, &report)?;
        let expected: BTreeMap<String, u64> = EXPECTED.map(|(name, count)| (name.to_owned(), count)).into();
        ensure!(report.by_server == expected, "{name}: {:?} instead of {expected:?}", report.by_server);
    }
    Ok(())
}
