//! Zones and plugins of a DNS node replaced several times a second, for some seconds, while every answer is looked at.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::dns::reloading::Scene;

/// How long, and how often. `cargo lab bench dns-reload` does so for a minute, under dnsperf.
const FOR: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_millis(300);

pub(super) fn run(folder: &Path) -> Result<()> {
    let scene = Scene::start(folder)?;
    let (seen, ()) = scene.replace_during(EVERY, || {
        // What lasts is the time in which files are replaced; nothing is awaited.
        std::thread::sleep(FOR);
        Ok(())
    })?;
    scene.end()?;
    let tally = &seen.tally;
    println!(
        "  answers   {} in {} reloads of everything: {} lost, {} wrong",
        tally.asked, seen.reloads, tally.lost, tally.wrong
    );
    ensure!(tally.lost == 0 && tally.wrong == 0, "answers were lost or wrong: {:?}", tally.faults);
    ensure!(seen.reloads > 0, "nothing was replaced");
    Ok(())
}
