//! `cargo lab bench ipvs`: what a large table costs, and what one change of it costs.
//!
//! The same table is programmed by Weir's sidecar, by `ipvsadm --restore` and by keepalived into the same kernel, in turn, round
//! after round; then each is asked for the same again. The measure is CPU time, split into that of the program itself and that of
//! the kernel in its name: what the kernel does is the same for all, and what a user-mode kernel's system calls cost is in the second
//! part. Then a node's own way for one change, from a health word to the kernel's answer.
//!
//! | module | is |
//! |---|---|
//! | [`table`] | the table, as each of them is told it |
//! | [`programs`] | each of them, run and measured |
//! | [`sidecar`] | a host's words to a sidecar |

mod programs;
mod sidecar;
mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Spread, record};
use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::kernel::Said;
use crate::{build, install, kernel, say};
use programs::{Bench, Turn, Work};
use table::Table;

/// What is done inside.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Task {
    rounds: usize,
    services: u16,
    destinations: u16,
    changes: usize,
}

/// The file of results, in the folder of the run.
const RESULTS: &str = "ipvs.json";
/// A whole measurement takes less.
const AT_MOST: Duration = Duration::from_secs(3600);
/// The line by which those inside ask how many CPU seconds all of them have used without the kernel.
const ASK: &str = "programs' CPU time?";
/// The answer where the machine cannot tell: they are processes of its own.
const UNKNOWN: &str = "unknown";
/// Nothing is said for longer than this only where something hangs.
const SILENCE: Duration = Duration::from_secs(600);
/// From a health word to the kernel's answer, milliseconds.
const CHANGE_WITHIN: f64 = 10.0;

pub(super) fn run(rounds: usize, quick: bool) -> Result<()> {
    install::for_building()?;
    say::line("  build     weir and the example `change` (the first time this takes minutes)");
    build::weir(&crate::paths::log("build"))?;
    build::example("change")?;
    let task = match quick {
        false => Task { rounds, services: 1000, destinations: 100, changes: 60 },
        true => Task { rounds: 1, services: 50, destinations: 20, changes: 10 },
    };
    let wish = kernel::Wish { memory: 3072, limit: AT_MOST, ..kernel::Wish::named("bench-ipvs") };
    let mut inside = kernel::start(&wish, Job::BenchIpvs(task))?;
    loop {
        match inside.next(SILENCE)? {
            Said::Line(line) if line == ASK => {
                let seconds = inside.outside_the_kernel()?;
                inside.send(&seconds.map_or_else(|| UNKNOWN.to_owned(), |seconds| seconds.to_string()))?;
            }
            Said::Line(line) => say::line(line),
            Said::Nothing => {}
            Said::End => break,
        }
    }
    let out = inside.end()?;
    let results = std::fs::read_to_string(out.join(RESULTS)).context("no results")?;
    let results: Results = serde_json::from_str(&results)?;
    tell(&task, &results);
    record("ipvs", &as_json(&task, &results))
}

/// All that was measured.
#[derive(Debug, Serialize, Deserialize)]
struct Results {
    turns: Vec<Turn>,
    /// What the example `change` says.
    change: Value,
}

/// Inside.
pub(crate) fn inside(out: &Path, task: Task, orders: &Orders) -> Result<()> {
    let fabric = Fabric::new(out)?;
    let table = Table { services: task.services, destinations: task.destinations };
    let mut turns = Vec::new();
    for round in 0..task.rounds {
        println!("  round     {} of {}", round + 1, task.rounds);
        for place in 0..programs::ALL.len() {
            // A new node for each: where destinations were removed, the kernel goes through all of them for each one that is added,
            // for a minute (`ip_vs_trash_get_dest`).
            let node = format!("lb-{}-{}", round + 1, place + 1);
            fabric.add_node(&node)?;
            // Rotated, so that none always follows the same other.
            if let Some(program) = programs::ALL.get((round + place) % programs::ALL.len()) {
                let bench = Bench { fabric: &fabric, node: &node, table: &table, orders };
                let done = program(&bench)?;
                for turn in &done {
                    println!("    {}", turn.line());
                }
                turns.extend(done);
            }
        }
    }
    let change = change(&fabric, &task)?;
    std::fs::write(out.join(RESULTS), serde_json::to_string(&Results { turns, change })?)?;
    Ok(())
}

/// One change at a time, on a node of its own.
fn change(fabric: &Fabric, task: &Task) -> Result<Value> {
    const NODE: &str = "l4-1";
    fabric.add_node(NODE)?;
    println!("  changes   {} of one destination each", task.changes);
    let program = build::example_program("change").display().to_string();
    let numbers = [task.services.to_string(), task.destinations.to_string(), task.changes.to_string()];
    let argv: Vec<&str> = [program.as_str()].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    serde_json::from_str(&fabric.run(NODE, &argv)?).context("the example `change` says something else")
}

fn of(turns: &[Turn], work: Work) -> impl Iterator<Item = &Turn> + Clone {
    turns.iter().filter(move |turn| turn.work == work)
}

/// Ratio to another row, round by round: turns come in the order of rounds.
fn ratio(turns: &[Turn], work: Work, to: Work, figure: impl Fn(&Turn) -> f64) -> Option<Spread> {
    Spread::of(of(turns, work).zip(of(turns, to)).map(|(mine, its)| figure(mine) / figure(its)))
}

/// What is promised: this costs at most so many times that, by this measure.
struct Limit {
    mine: Work,
    other: Work,
    what: &'static str,
    figure: fn(&Turn) -> f64,
    at_most: f64,
}

const LIMITS: [Limit; 6] = [
    Limit {
        mine: Work::WeirProgram,
        other: Work::IpvsadmRestore,
        what: "outside the kernel",
        figure: user,
        at_most: 1.0,
    },
    Limit {
        mine: Work::WeirProgram,
        other: Work::IpvsadmRestore,
        what: "in all",
        figure: Turn::total,
        at_most: 1.1,
    },
    Limit {
        mine: Work::WeirProgram,
        other: Work::KeepalivedStart,
        what: "in all",
        figure: Turn::total,
        at_most: 1.1,
    },
    Limit {
        mine: Work::WeirSame,
        other: Work::IpvsadmRestore,
        what: "outside the kernel",
        figure: user,
        at_most: 1.0,
    },
    Limit {
        mine: Work::WeirSame,
        other: Work::IpvsadmRestore,
        what: "in all",
        figure: Turn::total,
        at_most: 1.1,
    },
    Limit {
        mine: Work::WeirSame,
        other: Work::KeepalivedReload,
        what: "in all",
        figure: Turn::total,
        at_most: 1.1,
    },
];

fn user(turn: &Turn) -> f64 {
    turn.user
}

fn tell(task: &Task, results: &Results) {
    let turns = &results.turns;
    let text =
        |spread: Option<Spread>, decimals| spread.map_or_else(|| "-".to_owned(), |one| one.text(decimals));
    let rows: Vec<Vec<String>> = Work::ALL
        .into_iter()
        .map(|work| {
            let all = of(turns, work);
            let commands = all.clone().find_map(|turn| turn.commands);
            vec![
                work.name().to_owned(),
                text(Spread::of(all.clone().map(user)), 2),
                text(Spread::of(all.clone().map(|turn| turn.system)), 2),
                text(Spread::of(all.clone().map(Turn::total)), 2),
                text(Spread::of(all.map(|turn| turn.wall)), 2),
                commands.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            ]
        })
        .collect();
    println!("\n  {} services with {} destinations each, `mh`; seconds", task.services, task.destinations);
    let header = ["row", "outside the kernel", "in the kernel", "CPU in all", "elapsed", "commands"];
    println!("{}", say::table(&header, &rows));
    for limit in &LIMITS {
        if let Some(ratio) = ratio(turns, limit.mine, limit.other, limit.figure) {
            let verdict = if ratio.median <= limit.at_most { "kept" } else { "NOT KEPT" };
            println!(
                "  {} <= {} x {}, {}: {} {verdict}",
                limit.mine.name(),
                limit.at_most,
                limit.other.name(),
                limit.what,
                ratio.text(3)
            );
        }
    }
    let figures = changes(&results.change);
    println!("\n  one destination of one service, microseconds from the health word");
    let rows: Vec<Vec<String>> =
        figures.iter().map(|(name, spread)| vec![(*name).to_owned(), text(spread.clone(), 0)]).collect();
    println!("{}", say::table(&["part", "median (range)"], &rows));
    println!("  a change is at most {CHANGE_WITHIN} ms, and is one command: {}", verdict(&results.change));
}

/// The parts of a change, over all of them.
fn changes(change: &Value) -> Vec<(&'static str, Option<Spread>)> {
    let all = |figure: &dyn Fn(&Value) -> Option<f64>| {
        Spread::of(change["changes"].as_array().into_iter().flatten().filter_map(figure))
    };
    vec![
        ("decided", all(&|one| one["decided"].as_f64())),
        ("difference as text", all(&|one| one["parts"]["told"].as_f64())),
        ("understood", all(&|one| one["parts"]["understood"].as_f64())),
        ("planned", all(&|one| one["parts"]["planned"].as_f64())),
        ("in all, with the kernel's answer and the report", all(&|one| one["total"].as_f64())),
    ]
}

fn verdict(change: &Value) -> &'static str {
    let all: Vec<&Value> = change["changes"].as_array().into_iter().flatten().collect();
    let total = Spread::of(all.iter().filter_map(|one| one["total"].as_f64()));
    let quick = total.is_some_and(|total| total.median <= CHANGE_WITHIN * 1000.0);
    let small = all.iter().all(|one| one["commands"] == 1) && !all.is_empty();
    if quick && small { "kept" } else { "NOT KEPT" }
}

fn as_json(task: &Task, results: &Results) -> Value {
    let turns = &results.turns;
    let rows: Vec<Value> = Work::ALL
        .into_iter()
        .map(|work| {
            let all = of(turns, work);
            json!({
                "name": work.name(),
                "user_seconds": Spread::of(all.clone().map(user)),
                "system_seconds": Spread::of(all.clone().map(|turn| turn.system)),
                "total_seconds": Spread::of(all.clone().map(Turn::total)),
                "elapsed_seconds": Spread::of(all.clone().map(|turn| turn.wall)),
                "commands": all.clone().find_map(|turn| turn.commands),
                "turns": all.collect::<Vec<_>>(),
            })
        })
        .collect();
    let limits: Vec<Value> = LIMITS
        .iter()
        .map(|limit| {
            let ratio = ratio(turns, limit.mine, limit.other, limit.figure);
            json!({ "row": limit.mine.name(), "of": limit.other.name(), "what": limit.what, "at_most": limit.at_most,
                    "ratio": ratio })
        })
        .collect();
    let parts: Vec<Value> = changes(&results.change)
        .into_iter()
        .map(|(name, spread)| json!({ "part": name, "micros": spread }))
        .collect();
    json!({ "task": task, "rows": rows, "required": limits, "change_parts": parts, "change": results.change })
}

/// What a table that was programmed must have, or nothing was measured.
fn ensure_whole(table: &Table, lines: usize, by: &str) -> Result<()> {
    ensure!(
        lines == table.objects(),
        "after {by} the kernel has {lines} of {} services and destinations",
        table.objects()
    );
    Ok(())
}
