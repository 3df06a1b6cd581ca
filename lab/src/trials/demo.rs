//! What `cargo lab up` shows, without somebody who looks at it.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::build;
use crate::up::Demo;

pub(super) fn run(folder: &Path) -> Result<()> {
    let demo = Demo::start(folder, &build::plugins_folder())?;
    for asked in demo.ask()? {
        super::lost_nothing(asked.name, &asked.report)?;
        ensure!(asked.complete(), "not as meant: {asked:?}");
    }
    let status = demo.node.stop()?;
    ensure!(status.success(), "the node ended with {status}");
    Ok(())
}
