//! `cargo lab bench dns`: what a query costs.
//!
//! Method: the server on one core with one thread, dnsperf on another with one thread. Every row has its turn in every round, in
//! rotating order. The measure is CPU time of the server per query: on loopback dnsperf is often what is full. All serve a zone of
//! ten names from the same file, none writes a log of queries, none limits rates.

pub(super) mod dnsperf;
mod servers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use super::contender::cpu_time;
use super::{Spread, binaries, record};
use crate::{build, install, paths, say};
use dnsperf::{Dnsperf, Run};

/// Names of the zone that is large.
const MANY: usize = 1_000_000;
/// The same in a smoke run.
const MANY_QUICKLY: usize = 100_000;

/// One row.
struct Row {
    name: &'static str,
    server: SocketAddr,
    /// The process whose CPU time counts.
    pid: u32,
    queries: PathBuf,
    /// The response code that every answer must have.
    code: &'static str,
}

/// One row's turn in one round.
#[derive(Debug, Clone, Serialize)]
struct Turn {
    run: Run,
    /// CPU microseconds of the server for each query.
    cpu_micros: f64,
    /// Share of its core that the server used.
    busy: f64,
}

/// All turns of a row, by round.
struct Turns {
    name: &'static str,
    turns: Vec<Turn>,
}

/// Comparisons that are promised: this row costs at most so many times that one.
const REQUIRED: [(&str, &str, f64); 4] = [
    ("Weir", "gdnsd", 1.0),
    ("Weir policy, repeated", "Weir", 1.1),
    ("Weir policy, asked", "Weir", 1.4),
    ("Weir NXDOMAIN, many", "Weir NXDOMAIN", 1.3),
];
/// What the others are compared with.
const YARDSTICK: &str = "gdnsd";

pub(super) fn run(rounds: usize, quick: bool) -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("this measurement needs two cores: one for the server, one for dnsperf");
    }
    install::for_building()?;
    build::plugins()?;
    let built = binaries(&["weir", "weir-baseline-dns"], quick)?;
    let folder = paths::lab("bench/dns");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let duration = Duration::from_secs(if quick { 2 } else { 5 });
    let many = if quick { MANY_QUICKLY } else { MANY };
    let results = measured(&built, &folder, rounds, duration, many)?;
    tell(&results, many);
    record("dns", &as_json(&results, rounds, duration, many))
}

fn measured(
    built: &Path,
    folder: &Path,
    rounds: usize,
    duration: Duration,
    many: usize,
) -> Result<Vec<Turns>> {
    let dnsperf = Dnsperf::new()?;
    let servers = servers::start(built, folder, many)?;
    let rows = servers.rows(folder)?;
    let mut results: Vec<Turns> =
        rows.iter().map(|row| Turns { name: row.name, turns: Vec::with_capacity(rounds) }).collect();
    for row in &rows {
        dnsperf.run(row.server, &row.queries, Duration::from_secs(1))?;
    }
    for round in 0..rounds {
        say::line(format!("  round     {} of {rounds}", round + 1));
        for turn in 0..rows.len() {
            // Rotated, so that no row always follows the same other.
            let index = (round + turn) % rows.len();
            if let (Some(row), Some(result)) = (rows.get(index), results.get_mut(index)) {
                result.turns.push(one(&dnsperf, row, duration)?);
            }
        }
    }
    Ok(results)
}

fn one(dnsperf: &Dnsperf, row: &Row, duration: Duration) -> Result<Turn> {
    let before = cpu_time(row.pid)?;
    let run = dnsperf.run(row.server, &row.queries, duration)?;
    let cpu = cpu_time(row.pid)?.saturating_sub(before).as_secs_f64();
    if run.code(row.code) != run.completed || run.completed == 0 {
        bail!("{}: not every answer is {}: {:?}", row.name, row.code, run.codes);
    }
    Ok(Turn { cpu_micros: cpu * 1e6 / run.completed as f64, busy: cpu / run.seconds, run })
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

fn rate(turn: &Turn) -> f64 {
    turn.run.completed as f64 / turn.run.seconds
}

fn tell(results: &[Turns], many: usize) {
    let text = |spread: Option<Spread>, decimals| {
        spread.map_or_else(|| "-".to_owned(), |spread| spread.text(decimals))
    };
    let Some(yardstick) = row(results, YARDSTICK) else { return };
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|turns| {
            vec![
                turns.name.to_owned(),
                text(turns.spread(|turn| turn.cpu_micros), 2),
                text(turns.ratio(yardstick, |turn| turn.cpu_micros), 2),
                text(turns.spread(rate), 0),
                text(turns.spread(|turn| turn.busy * 100.0), 0),
                turns.turns.iter().map(|turn| turn.run.lost).sum::<u64>().to_string(),
            ]
        })
        .collect();
    let header = ["row", "CPU us/query", "CPU / gdnsd", "queries/s", "core %", "lost"];
    println!("\n{}", say::table(&header, &rows));
    println!("  many is {many} names; all others have ten\n");
    for (mine, other, limit) in REQUIRED {
        if let Some(ratio) = required(results, mine, other) {
            let verdict = if ratio.median <= limit { "kept" } else { "NOT KEPT" };
            println!("  {mine} <= {limit} x {other}, CPU per query: {} {verdict}", ratio.text(3));
        }
    }
}

fn required(results: &[Turns], mine: &str, other: &str) -> Option<Spread> {
    row(results, mine)?.ratio(row(results, other)?, |turn| turn.cpu_micros)
}

fn as_json(results: &[Turns], rounds: usize, duration: Duration, many: usize) -> serde_json::Value {
    let yardstick = row(results, YARDSTICK);
    let rows: Vec<serde_json::Value> = results
        .iter()
        .map(|turns| {
            json!({
                "name": turns.name,
                "queries_per_second": turns.spread(rate),
                "cpu_micros_per_query": turns.spread(|turn| turn.cpu_micros),
                "cpu_to_gdnsd": yardstick.and_then(|its| turns.ratio(its, |turn| turn.cpu_micros)),
                "turns": turns.turns,
            })
        })
        .collect();
    let required: Vec<serde_json::Value> = REQUIRED
        .iter()
        .map(|(mine, other, limit)| {
            json!({ "row": mine, "of": other, "at_most": limit, "cpu_ratio": required(results, mine, other) })
        })
        .collect();
    json!({ "rounds": rounds, "seconds_each": duration.as_secs(), "many": many, "rows": rows, "required": required })
}
