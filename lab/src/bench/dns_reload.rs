//! `cargo lab bench dns-reload`: no answer is lost or wrong while zones and a plugin are replaced every second under dnsperf.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::dns::dnsperf::Dnsperf;
use super::record;
use crate::dns::reloading::Scene;
use crate::{build, install, paths, say};

/// Queries a second: below what any machine of this kind answers, so that a queue that is full is not counted as a fault.
const RATE: u32 = 20_000;

pub(super) fn run(quick: bool) -> Result<()> {
    install::for_building()?;
    build::everything()?;
    let folder = paths::lab("bench/dns-reload");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let duration = Duration::from_secs(if quick { 6 } else { 60 });
    let queries = folder.join("queries");
    std::fs::write(
        &queries,
        "www.one.test A\nversion.one.test TXT\nwww.two.test AAAA\nversion.two.test TXT\n",
    )?;
    let dnsperf = Dnsperf::new()?;
    let scene = Scene::start(&folder)?;
    say::line(format!("  load      {RATE}/s by dnsperf for {}", say::elapsed(duration)));
    let rate = RATE.to_string();
    let (seen, run) = scene.replace_during(Duration::from_secs(1), || {
        dnsperf.paced(scene.server, &queries, duration, &["-Q", &rate, "-q", "1000"])
    })?;
    let plugins = scene.end()?;
    let wrong = run.completed - run.code("NOERROR") + seen.tally.wrong;
    let lost = run.lost + seen.tally.lost;
    println!(
        "\n  {} reloads of all zones and the plugin; {} answers to dnsperf, {} looked at: {lost} lost, {wrong} wrong",
        seen.reloads, run.completed, seen.tally.asked
    );
    record(
        "dns-reload",
        &json!({ "seconds": duration.as_secs(), "reloads": seen.reloads, "dnsperf": run, "looked_at": seen.tally,
                 "lost": lost, "wrong": wrong, "plugins": plugins }),
    )?;
    if lost + wrong > 0 {
        bail!("{lost} answers were lost and {wrong} wrong: {:?}", seen.tally.faults);
    }
    ensure!(seen.reloads > 0, "nothing was replaced");
    Ok(())
}
