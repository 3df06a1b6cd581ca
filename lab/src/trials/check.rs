//! A fleet file with a fault is refused before anything is bound, with the exit code of a usage error.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::fleet::{Fleet, NODE, Pool};
use crate::{http, paths};

/// `EX_USAGE` of sysexits.h.
const USAGE: i32 = 64;

pub(super) fn run(folder: &Path) -> Result<()> {
    let servers = super::servers(&["anna"])?;
    let mut fleet = Fleet::new(folder)?;
    let address = fleet.service("web", Pool::unchecked(&servers, &[1]))?;
    let good = folder.join("good.toml");
    fleet.write(&good)?;
    let output = Command::new(paths::weir()).arg("check").arg(&good).output()?;
    ensure!(output.status.success(), "a good file is refused: {}", String::from_utf8_lossy(&output.stderr));

    if let Some(service) = fleet.services.get_mut("web") {
        service.pool = "webb".into();
    }
    let bad = folder.join("bad.toml");
    fleet.write(&bad)?;
    let line = 1 + std::fs::read_to_string(&bad)?.lines().position(|line| line.contains("webb")).unwrap_or(0);
    let place = format!("bad.toml:{line}:");
    let bad = bad.display().to_string();
    for arguments in [vec!["check", &bad], vec!["run", "--fleet", &bad, "--node", NODE]] {
        let output = Command::new(paths::weir()).args(&arguments).output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let what = arguments.first().copied().unwrap_or_default();
        ensure!(output.status.code() == Some(USAGE), "weir {what} ends with {}: {said}", output.status);
        ensure!(
            said.contains("webb") && said.contains(&place),
            "weir {what} does not say {place} webb: {said}"
        );
    }
    ensure!(http::get(address, "/").is_err(), "somebody listens on the service's port");
    Ok(())
}
