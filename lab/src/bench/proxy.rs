//! `cargo lab bench proxy`: what a request costs.
//!
//! Method: the proxy alone on one core, servers and generator on another. Every row has its turn in every round, in
//! rotating order; access logs are on for all. The measure is CPU time per request, because it does not depend on
//! whether the generator's core or the proxy's was full; the share of its core that a proxy used is shown beside it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use super::contender::{self, Row, cpu_time};
use super::wrk::{Run, Wrk};
use super::{Spread, binaries, record};
use crate::{build, install, paths, say};

/// Keep-alive connections of the generator.
const CONNECTIONS: u32 = 64;
/// What the others are compared with.
const YARDSTICK: &str = "HAProxy";

/// One row's turn in one round.
#[derive(Debug, Clone, Serialize)]
struct Turn {
    run: Run,
    /// CPU microseconds of the proxy per request; 0 where there is no proxy.
    cpu_micros: f64,
    /// Share of its core that the proxy used.
    busy: f64,
}

/// All turns of a row, by round.
struct Turns {
    name: &'static str,
    turns: Vec<Turn>,
}

pub(super) fn run(rounds: usize, quick: bool) -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("this measurement needs two cores: one for the proxy, one for servers and generator");
    }
    install::for_building()?;
    build::plugins()?;
    let built = binaries(&["weir", "weir-baseline"], quick)?;
    let folder = paths::lab("bench/proxy");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(folder.join("nginx-temporary"))?;
    let duration = Duration::from_secs(if quick { 1 } else { 4 });
    let results = measured(&built, &folder, rounds, duration)?;
    tell(&results);
    record("proxy", &as_json(&results, rounds, duration))
}

fn measured(built: &Path, folder: &Path, rounds: usize, duration: Duration) -> Result<Vec<Turns>> {
    let programs = install::unpacked(&[("haproxy", "haproxy"), ("nginx", "nginx"), ("wrk", "wrk")])?;
    let [haproxy, nginx, wrk] = programs.as_slice() else { bail!("three programs were asked for") };
    let wrk = Wrk::new(wrk.clone(), folder, contender::OTHER_CORE)?;

    let (_anna, anna) = contender::server("anna", folder)?;
    let (_ben, ben) = contender::server("ben", folder)?;
    let servers = [anna, ben];
    let (haproxy, haproxy_at) = contender::haproxy(haproxy, &servers, folder)?;
    let (nginx, nginx_at) = contender::nginx(nginx, &servers, folder)?;
    let (bare, bare_at) = contender::baseline(&built.join("weir-baseline"), &servers, folder)?;
    let (node, services) = contender::weir(&built.join("weir"), &servers, folder)?;

    let mut rows = vec![
        Row { name: "direct", address: anna, pid: None },
        Row { name: YARDSTICK, address: haproxy_at, pid: Some(haproxy.pid()) },
        Row { name: "nginx", address: nginx_at, pid: Some(nginx.pid()) },
        Row { name: "bare Pingora", address: bare_at, pid: Some(bare.pid()) },
    ];
    rows.extend(services.into_iter().map(|(name, address)| Row { name, address, pid: Some(node.pid()) }));

    let mut results: Vec<Turns> =
        rows.iter().map(|row| Turns { name: row.name, turns: Vec::with_capacity(rounds) }).collect();
    for row in &rows {
        wrk.run(row.address, CONNECTIONS, Duration::from_secs(1))?;
    }
    for round in 0..rounds {
        say::line(format!("  round     {} of {rounds}", round + 1));
        for turn in 0..rows.len() {
            // Rotated, so that no row always follows the same other.
            let index = (round + turn) % rows.len();
            if let (Some(row), Some(result)) = (rows.get(index), results.get_mut(index)) {
                result.turns.push(one(&wrk, row, duration)?);
            }
        }
    }
    Ok(results)
}

fn one(wrk: &Wrk, row: &Row, duration: Duration) -> Result<Turn> {
    let used = |row: &Row| row.pid.map_or(Ok(Duration::ZERO), cpu_time);
    let before = used(row)?;
    let run = wrk.run(row.address, CONNECTIONS, duration)?;
    let cpu = used(row)?.saturating_sub(before).as_secs_f64();
    if run.failed > 0 {
        bail!("{}: {} of {} requests failed", row.name, run.failed, run.requests);
    }
    let cpu_micros = cpu * 1e6 / run.requests as f64;
    Ok(Turn { cpu_micros, busy: cpu * 1e6 / run.micros as f64, run })
}

impl Turns {
    fn spread(&self, of: impl Fn(&Turn) -> f64) -> Option<Spread> {
        Spread::of(self.turns.iter().map(of))
    }

    /// The ratio to another row, round by round.
    fn ratio(&self, other: &Self, of: impl Fn(&Turn) -> f64) -> Option<Spread> {
        Spread::of(self.turns.iter().zip(&other.turns).map(|(mine, its)| of(mine) / of(its)))
    }
}

fn row<'a>(results: &'a [Turns], name: &str) -> Option<&'a Turns> {
    results.iter().find(|turns| turns.name == name)
}

fn tell(results: &[Turns]) {
    let text = |spread: Option<Spread>, decimals| {
        spread.map_or_else(|| "-".to_owned(), |spread| spread.text(decimals))
    };
    let Some(yardstick) = row(results, YARDSTICK) else { return };
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|turns| {
            let proxied = turns.name != "direct";
            vec![
                turns.name.to_owned(),
                text(turns.spread(rate), 0),
                text(turns.spread(|turn| turn.cpu_micros).filter(|_| proxied), 2),
                text(turns.spread(|turn| turn.busy).filter(|_| proxied).map(|busy| percent(&busy)), 0),
                text(turns.ratio(yardstick, |turn| turn.cpu_micros).filter(|_| proxied), 2),
                text(turns.ratio(yardstick, rate), 2),
                text(turns.ratio(yardstick, |turn| turn.run.p50 as f64), 2),
                text(turns.ratio(yardstick, |turn| turn.run.p99 as f64), 2),
                text(turns.ratio(yardstick, |turn| turn.run.p999 as f64), 2),
            ]
        })
        .collect();
    let header = [
        "row",
        "requests/s",
        "CPU us/request",
        "core %",
        "CPU / HAProxy",
        "rate / HAProxy",
        "p50 /",
        "p99 /",
        "p99.9 /",
    ];
    println!("\n{}", say::table(&header, &rows));
    for (mine, other, limit) in REQUIRED {
        let ratio =
            row(results, mine).zip(row(results, other)).and_then(|(a, b)| a.ratio(b, |turn| turn.cpu_micros));
        if let Some(ratio) = ratio {
            let verdict = if ratio.median <= limit { "kept" } else { "NOT KEPT" };
            println!("  {mine} <= {limit} x {other}, CPU per request: {} {verdict}", ratio.text(3));
        }
    }
}

/// Comparisons that are promised: this row costs at most so many times that one.
const REQUIRED: [(&str, &str, f64); 2] =
    [("Weir pick", "Weir native", 1.03), ("Weir native", "bare Pingora", 1.0)];

fn rate(turn: &Turn) -> f64 {
    turn.run.requests as f64 * 1e6 / turn.run.micros as f64
}

fn percent(share: &Spread) -> Spread {
    Spread { median: share.median * 100.0, lowest: share.lowest * 100.0, highest: share.highest * 100.0 }
}

fn as_json(results: &[Turns], rounds: usize, duration: Duration) -> serde_json::Value {
    let yardstick = row(results, YARDSTICK);
    let rows: Vec<serde_json::Value> = results
        .iter()
        .map(|turns| {
            json!({
                "name": turns.name,
                "requests_per_second": turns.spread(rate),
                "cpu_micros_per_request": turns.spread(|turn| turn.cpu_micros),
                "cpu_to_haproxy": yardstick.and_then(|its| turns.ratio(its, |turn| turn.cpu_micros)),
                "p99_to_haproxy": yardstick.and_then(|its| turns.ratio(its, |turn| turn.run.p99 as f64)),
                "turns": turns.turns,
            })
        })
        .collect();
    let required: Vec<serde_json::Value> = REQUIRED
        .iter()
        .map(|(mine, other, limit)| {
            let pair = row(results, mine).zip(row(results, other));
            let ratio = pair.and_then(|(a, b)| a.ratio(b, |turn| turn.cpu_micros));
            json!({ "row": mine, "of": other, "at_most": limit, "cpu_ratio": ratio })
        })
        .collect();
    json!({
        "rounds": rounds, "seconds_each": duration.as_secs(), "connections": CONNECTIONS,
        "rows": rows, "required": required,
    })
}
