//! What `cargo lab up` shows, without somebody who looks at it.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::build;
use crate::up::Demo;

pub(super) fn run(folder: &Path) -> Result<()> {
    let demo = Demo::start(folder, &build::plugins_folder())?;
    for asked in demo.ask()? {
        super::lost_nothing(asked.name, &asked.report)?;
        let servers = asked.report.by_server.len();
        ensure!(servers == 3, "{}: {servers} servers answered: {}", asked.name, asked.report.summary());
    }
    let status = demo.node.stop()?;
    ensure!(status.success(), "the node ended with {status}");
    Ok(())
}
