//! Stages: what `cargo lab test` is made of. Each has a name, a command that repeats it alone, and a log.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::{paths, say};

/// What a stage counts: itself, or the tests that a runner ran in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// A stage that is one check.
    pub(crate) const ONE: Self = Self { passed: 1, failed: 0 };
}

/// A stage that failed, and what it counted before.
#[derive(Debug)]
pub(crate) struct Failed {
    /// What a person should read.
    pub(crate) why: String,
    /// Tests of the stage that passed and failed.
    pub(crate) count: Count,
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self { why: format!("{error:#}"), count: Count { passed: 0, failed: 1 } }
    }
}

/// How a stage ends.
pub(crate) type Outcome = Result<Count, Failed>;

/// Runs stages in turn and adds them up.
pub(crate) struct Stages {
    keep_going: bool,
    total: Count,
    failed: Vec<String>,
    began: Instant,
}

impl Stages {
    /// Nothing has run yet. Without `keep_going` the first failure ends the run.
    pub(crate) fn new(keep_going: bool) -> Self {
        Self { keep_going, total: Count::default(), failed: Vec::new(), began: Instant::now() }
    }

    /// Runs one stage, unless an earlier one failed and ended the run. `repeat` is the command for this stage alone.
    pub(crate) fn run(&mut self, name: &str, repeat: &str, stage: impl FnOnce(&Path) -> Outcome) {
        if !self.failed.is_empty() && !self.keep_going {
            return;
        }
        let log: PathBuf = paths::log(&name.replace(' ', "-"));
        let began = Instant::now();
        let outcome = stage(&log);
        let took = say::elapsed(began.elapsed());
        let count = match &outcome {
            Ok(count) => *count,
            Err(failed) => failed.count,
        };
        self.total.passed += count.passed;
        self.total.failed += count.failed;
        match outcome {
            Ok(Count { passed: 1, .. }) => say::line(format!("  ok    {took:>9}  {name}")),
            Ok(Count { passed, .. }) => say::line(format!("  ok    {took:>9}  {name}: {passed} passed")),
            Err(failed) => {
                say::line(format!("  FAIL  {took:>9}  {name}\n\n{}\n", failed.why));
                say::line(format!("    again: {repeat}\n"));
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Says how it went in all; the last line on standard output is the totals. Whether nothing failed.
    pub(crate) fn finish(self) -> bool {
        say::line(format!("\n  {} in all", say::elapsed(self.began.elapsed())));
        if !self.failed.is_empty() {
            say::line(format!("  failed: {}", self.failed.join(", ")));
        }
        println!("{} passed, {} failed", self.total.passed, self.total.failed);
        self.total.failed == 0
    }
}

/// Adds up cargo's lines `test result: ok. 5 passed; 0 failed; ...`.
pub(crate) fn counted(output: &str) -> Count {
    let mut count = Count::default();
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        let words: Vec<&str> = line.split([' ', ';', '.']).collect();
        for pair in words.windows(2) {
            if let [number, word] = pair
                && let Ok(number) = number.parse::<u64>()
            {
                match *word {
                    "passed" => count.passed += number,
                    "failed" => count.failed += number,
                    _ => {}
                }
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_the_sum_of_what_the_runners_print() {
        let output = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                      noise 9 passed\n\
                      test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(counted(output), Count { passed: 7, failed: 2 });
    }

    #[test]
    fn after_a_failure_nothing_runs_unless_asked_to_keep_going() {
        for (keep_going, expected) in [(false, 0), (true, 1)] {
            let mut stages = Stages::new(keep_going);
            stages.run("first", "again", |_| Err(anyhow::anyhow!("broken").into()));
            let mut ran = 0;
            stages.run("second", "again", |_| {
                ran += 1;
                Ok(Count::ONE)
            });
            assert_eq!(ran, expected);
            assert!(!stages.finish());
        }
    }
}
