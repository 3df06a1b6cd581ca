//! `cargo lab bench reload`: no request is lost when a plugin file is replaced every second, and the slowest do not
//! become much slower. Pairs of runs in turn, one without and one with replacements, at half of measured saturation.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use super::{Spread, record};
use crate::fleet::{Fleet, Pool, numbered, replace};
use crate::load::{Load, Pace, Report};
use crate::node::Node;
use crate::server::DemoServer;
use crate::{build, install, paths, say};

const CONNECTIONS: u32 = 32;
/// The 99th percentile with replacements may be at most so many times that without.
const LIMIT: f64 = 1.3;

pub(super) fn run(pairs: usize, quick: bool) -> Result<()> {
    install::for_building()?;
    build::everything()?;
    let folder = paths::lab("bench/reload");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let duration = Duration::from_secs(if quick { 6 } else { 60 });

    let servers: Vec<DemoServer> =
        ["anna", "ben", "cleo"].iter().map(|name| DemoServer::start(name)).collect::<Result<_>>()?;
    let mut fleet = Fleet::new(&folder)?;
    let file = fleet.paths.plugins.join("policy.wasm");
    let contents = contents()?;
    std::fs::write(&file, contents.first().context("no plugin")?)?;
    fleet.plugin("policy", "policy.wasm", "");
    let address = fleet.service("web", Pool::unchecked(&servers, &[5, 3, 1]).by("policy"))?;
    let node = Node::start(&fleet, &folder)?;

    let probe = Duration::from_secs(if quick { 2 } else { 10 });
    let saturation = load(address, Pace::Saturate).run_for(probe)?.rate();
    let rate = saturation / 2.0;
    say::line(format!("  load      saturation {saturation:.0}/s, so {rate:.0}/s"));

    let mut results = Vec::new();
    for pair in 0..pairs {
        let without = load(address, Pace::Rate(rate)).run_for(duration)?;
        let with = replacing(address, rate, duration, &file, &contents)?;
        say::line(format!("  pair {:>2}   without  {}", pair + 1, without.summary()));
        say::line(format!("            with     {}", with.summary()));
        results.push((without, with));
    }
    let loads = node.status()?;
    let ended = node.stop()?;

    let failed: u64 = results.iter().map(|(without, with)| without.failed() + with.failed()).sum();
    let ratio = Spread::of(
        results.iter().map(|(without, with)| with.quantile_millis(0.99) / without.quantile_millis(0.99)),
    )
    .context("no pair was measured")?;
    println!("\n  failed requests: {failed}; p99 with / without: {} (at most {LIMIT})", ratio.text(2));
    let pairs: Vec<_> = results
        .iter()
        .map(|(without, with)| json!({ "without": without.json(), "with": with.json() }))
        .collect();
    record(
        "reload",
        &json!({ "saturation": saturation, "rate": rate, "seconds_each": duration.as_secs(), "failed": failed,
                 "p99_ratio": ratio, "at_most": LIMIT, "pairs": pairs, "plugins": loads["plugins"] }),
    )?;
    if failed > 0 {
        bail!("{failed} requests were lost");
    }
    if !ended.success() {
        bail!("the node ended with {ended}");
    }
    if ratio.median > LIMIT && !quick {
        bail!("the 99th percentile grew {:.2} times, more than {LIMIT}", ratio.median);
    }
    Ok(())
}

fn load(address: SocketAddr, pace: Pace) -> Load {
    Load { address, path: "/plain".into(), pace, connections: CONNECTIONS }
}

/// Good, different, broken.
fn contents() -> Result<[Vec<u8>; 3]> {
    let read = |name: &str| {
        std::fs::read(build::plugins_folder().join(name)).with_context(|| format!("{name} was not built"))
    };
    let good = read("two-choices.wasm")?;
    let mut broken = good.clone();
    broken.truncate(good.len() / 2);
    Ok([good, read("weighted-round-robin.wasm")?, broken])
}

/// A run during which the file is replaced every second.
fn replacing(
    address: SocketAddr,
    rate: f64,
    duration: Duration,
    file: &Path,
    contents: &[Vec<u8>; 3],
) -> Result<Report> {
    let (stop, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        let replacer = scope.spawn(move || -> Result<()> {
            for (content, number) in contents.iter().cycle().skip(1).zip(0u64..) {
                if stopped.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                replace(file, &numbered(content, number))?;
            }
            Ok(())
        });
        let report = load(address, Pace::Rate(rate)).run_for(duration);
        drop(stop);
        replacer.join().map_err(|_| anyhow!("the thread that replaces files panicked"))??;
        report
    })
}
