//! `cargo lab bench plugins`: what a decision costs. The measurement itself is the benchmark of the crate that calls
//! plugins; this runs it over every scheduler that was built, and compares with what is promised.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::record;
use crate::{build, command, install, paths, say};

/// Schedulers to measure; a smoke run takes the first two.
const SCHEDULERS: [&str; 6] =
    ["two-choices", "weighted-round-robin", "consistent-hash", "least-request", "peak-ewma", "round-robin-c"];
/// A plan decides within so many nanoseconds, warm.
const PLAN_LIMIT: f64 = 20.0;
/// And a call to `two-choices` within so many.
const PICK_LIMIT: f64 = 300.0;

pub(super) fn run(quick: bool) -> Result<()> {
    install::for_building()?;
    let folder = build::plugins()?;
    // As it is shipped; a smoke run takes what the tests have built.
    let profile = if quick { "release" } else { "dist" };
    say::line(format!("  build     the benchmark (profile {profile}; the first time this takes minutes)"));
    let mut results = Vec::new();
    for name in SCHEDULERS.iter().take(if quick { 2 } else { SCHEDULERS.len() }) {
        say::line(format!("  measure   {name}"));
        let file = folder.join(format!("{name}.wasm"));
        let mut bench =
            command::cargo(&["bench", "--profile", profile, "-p", "weir-wasm", "--bench", "decision", "--"]);
        let output = command::successful(bench.arg(&file), &paths::log(&format!("bench-{name}")))?;
        for line in output.text.lines().filter(|line| line.starts_with('{')) {
            results.push(serde_json::from_str::<Value>(line).with_context(|| format!("{name}: {line}"))?);
        }
    }
    let number =
        |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.0}"));
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|result| {
            let text = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
            let numbers =
                ["servers", "choose_ns", "choose_cold_p99_ns", "pick_ns", "pick_cold_p99_ns", "update_us"];
            let mut row = vec![text("plugin"), text("plan")];
            row.extend(numbers.map(|field| number(&result[field])));
            row.push(verdict(result).unwrap_or_default());
            row
        })
        .collect();
    let header = [
        "plugin",
        "plan",
        "servers",
        "decision ns",
        "cold p99",
        "pick ns",
        "pick cold p99",
        "update us",
        "promise",
    ];
    println!("\n{}", say::table(&header, &rows));
    record(
        "plugins",
        &json!({ "plan_limit_ns": PLAN_LIMIT, "pick_limit_ns": PICK_LIMIT, "results": results }),
    )
}

/// Whether a result keeps what is promised of it; `None` where nothing is.
fn verdict(result: &Value) -> Option<String> {
    let (cost, limit) = match result["plan"].as_str()? {
        "table" | "cycle" => (result["choose_ns"].as_f64()?, PLAN_LIMIT),
        "per-request" if result["plugin"] == "two-choices" => (result["pick_ns"].as_f64()?, PICK_LIMIT),
        _ => return None,
    };
    Some(format!("at most {limit} ns: {}", if cost <= limit { "kept" } else { "NOT KEPT" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_held_against_the_promise_for_its_plan() {
        let kept = |result: Value| verdict(&result).map(|text| text.ends_with(": kept"));
        assert_eq!(kept(json!({"plugin": "a", "plan": "cycle", "choose_ns": 4.0})), Some(true));
        assert_eq!(kept(json!({"plugin": "a", "plan": "table", "choose_ns": 21.0})), Some(false));
        assert_eq!(
            kept(json!({"plugin": "two-choices", "plan": "per-request", "pick_ns": 301.0})),
            Some(false)
        );
        assert_eq!(kept(json!({"plugin": "least-request", "plan": "per-request", "pick_ns": 9000.0})), None);
    }
}
