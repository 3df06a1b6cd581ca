//! The matrix for people: one line a phase, the median of all runs with their range.

use std::collections::BTreeMap;

use super::record::{Phase, Record};
use crate::bench::Spread;
use crate::clients::{Counts, Outcome};
use crate::say;

const HEADER: [&str; 9] = [
    "step",
    "phase",
    "node",
    "open",
    "it had",
    "broken",
    "new failed",
    "s until none fails",
    "s until balanced",
];

/// What is said of a phase while the run goes on.
pub(super) fn line(phase: &Phase) -> String {
    let damage = &phase.damage;
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| format!("{value:.1} s"));
    format!(
        "    {:<14} {:<8} {} open{}, {}, new connections: {} failed, none after {}; balanced after {}",
        phase.what,
        phase.node,
        damage.open,
        phase.had.map_or_else(String::new, |had| format!(", {had} of them there")),
        broken(&[&damage.broken, &damage.broken_later]),
        damage.new_failed,
        seconds(damage.seconds_to_new),
        seconds(phase.balanced),
    )
}

/// `12 broken (10 reset, 2 stalled)`.
fn broken(counts: &[&Counts]) -> String {
    let mut sum: BTreeMap<Outcome, u64> = BTreeMap::new();
    for (outcome, count) in counts.iter().copied().flatten() {
        *sum.entry(*outcome).or_default() += count;
    }
    let total: u64 = sum.values().sum();
    if total == 0 {
        return "none broken".into();
    }
    let kinds: Vec<String> = sum.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    format!("{total} broken ({})", kinds.join(", "))
}

/// Cells of one phase over all runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) cells: Vec<String>,
}

/// One row for each phase of each step, in the order of the first run.
pub(crate) fn rows(records: &[Record]) -> Vec<Row> {
    let mut rows = Vec::new();
    for step in records.iter().flat_map(|record| &record.steps).map(|done| done.step.as_str()) {
        if rows.iter().any(|row: &Row| row.cells.first().is_some_and(|name| name == step)) {
            continue;
        }
        let of_step: Vec<&super::record::Done> =
            records.iter().flat_map(|record| &record.steps).filter(|done| done.step == step).collect();
        let most = of_step.iter().map(|done| done.phases.len()).max().unwrap_or(0);
        for number in 0..most {
            let phases: Vec<&Phase> = of_step.iter().filter_map(|done| done.phases.get(number)).collect();
            rows.push(row(step, &phases));
        }
    }
    rows
}

fn row(step: &str, phases: &[&Phase]) -> Row {
    let first = phases.first();
    let number = |of: &dyn Fn(&Phase) -> f64| spread(phases.iter().map(|phase| Some(of(phase))), 0);
    Row {
        cells: vec![
            step.to_owned(),
            first.map_or_else(String::new, |phase| phase.what.clone()),
            first.map_or_else(String::new, |phase| phase.node.clone()),
            number(&|phase| phase.damage.open as f64),
            match phases.iter().any(|phase| phase.had.is_some()) {
                true => spread(phases.iter().filter_map(|phase| phase.had).map(|had| Some(had as f64)), 0),
                false => "-".to_owned(),
            },
            number(&|phase| phase.damage.broke() as f64),
            number(&|phase| phase.damage.new_failed as f64),
            spread(phases.iter().map(|phase| phase.damage.seconds_to_new), 1),
            spread(phases.iter().map(|phase| phase.balanced), 1),
        ],
    }
}

/// Median and range; how many were never, where some were.
fn spread(values: impl Iterator<Item = Option<f64>>, decimals: usize) -> String {
    let values: Vec<Option<f64>> = values.collect();
    let never = values.iter().filter(|value| value.is_none()).count();
    let text = match Spread::of(values.iter().copied().flatten()) {
        Some(spread) if values.len() > 1 => spread.text(decimals),
        Some(spread) => format!("{:.decimals$}", spread.median),
        None => return "never".into(),
    };
    if never > 0 { format!("{text}, never in {never}") } else { text }
}

/// A line for each step that could not be done.
fn failures(records: &[Record]) -> String {
    let steps = records.iter().flat_map(|record| &record.steps);
    let failed = steps.filter_map(|done| Some((done.step.as_str(), done.failed.as_deref()?)));
    failed.map(|(step, why)| format!("{step} could not be done: {why}\n")).collect()
}

/// For a terminal.
pub(crate) fn text(records: &[Record]) -> String {
    let rows: Vec<Vec<String>> = rows(records).into_iter().map(|row| row.cells).collect();
    format!("{}{}", say::table(&HEADER, &rows), failures(records))
}

/// For the book.
pub(crate) fn markdown(records: &[Record]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&HEADER.map(str::to_owned));
    text.push_str(&format!("|{}\n", "---|".repeat(HEADER.len())));
    for row in rows(records) {
        text.push_str(&line(&row.cells));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Damage;
    use crate::disrupt::record::Done;
    use crate::stack::Choice;
    use crate::tiers::Shape;
    use crate::topology::Size;

    fn record(broken: u64, balanced: Option<f64>) -> Record {
        let damage = Damage {
            open: 100,
            broken: Counts::from([(Outcome::Reset, broken)]),
            seconds_to_new: Some(1.5),
            ..Damage::default()
        };
        let phase = Phase {
            what: "killed".into(),
            node: "LB7-1".into(),
            had: Some(50),
            took: 0.1,
            watched: 15.0,
            balanced,
            damage,
        };
        Record {
            shape: Shape { size: Size::small(), choice: Choice::CLASSIC },
            kernel: "uml".into(),
            connections: 100,
            seed: 1,
            up_seconds: 20.0,
            steps: vec![Done { step: "l7-kill".into(), phases: vec![phase], failed: None }],
        }
    }

    #[test]
    fn several_runs_are_one_line_with_median_and_range() {
        let rows = rows(&[record(3, Some(2.0)), record(9, None), record(4, Some(4.0))]);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            rows[0].cells[3..],
            [
                "100 (100-100)",
                "50 (50-50)",
                "4 (3-9)",
                "0 (0-0)",
                "1.5 (1.5-1.5)",
                "3.0 (2.0-4.0), never in 1"
            ]
        );
    }

    #[test]
    fn what_failed_has_no_row_but_a_line() {
        let mut failed = record(0, None);
        failed.steps[0].phases.clear();
        failed.steps[0].failed = Some("LB7-1, killed: no such program".into());
        assert_eq!(rows(std::slice::from_ref(&failed)), []);
        assert_eq!(failures(&[failed]), "l7-kill could not be done: LB7-1, killed: no such program\n");
    }

    #[test]
    fn a_line_says_how_connections_broke() {
        let record = record(3, Some(2.0));
        assert!(line(&record.steps[0].phases[0]).contains("3 broken (3 reset)"));
    }
}
