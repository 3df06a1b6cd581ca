//! What is measured, and how it is told: a table for people, JSON below `target/lab/bench/` for machines.
//!
//! Figures are ratios of things that ran in turn, in the same minutes, on the same cores; the machine's own mood is in
//! both sides. A median is shown with its range, so that a difference smaller than the noise looks like one.

mod contender;
mod dns;
mod dns_reload;
pub(crate) mod ipvs;
mod plugins;
mod proxy;
mod reload;
mod wrk;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use crate::{command, paths, say};

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// The cost of a decision, for every plugin
    Plugins {
        /// A smoke run: shows that it works, not what it costs
        #[arg(long)]
        quick: bool,
    },
    /// The cost of a request, beside HAProxy, nginx and a bare Pingora
    Proxy {
        /// Rounds in which every row has its turn
        #[arg(long, default_value_t = 9)]
        rounds: usize,
        /// A smoke run: shows that it works, not what it costs
        #[arg(long)]
        quick: bool,
    },
    /// A thousand services with a hundred destinations each: first programming, the same again, one change; beside `ipvsadm` and
    /// keepalived, in the lab's kernel
    Ipvs {
        /// Rounds in which every row has its turn
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// A smoke run: shows that it works, not what it costs
        #[arg(long)]
        quick: bool,
    },
    /// The cost of a DNS query, beside gdnsd, Knot, NSD and stock hickory
    Dns {
        /// Rounds in which every row has its turn
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// A smoke run: shows that it works, not what it costs
        #[arg(long)]
        quick: bool,
    },
    /// Whether replacing zones and a plugin every second costs DNS answers under load
    DnsReload {
        /// A smoke run: a few seconds
        #[arg(long)]
        quick: bool,
    },
    /// What replacing a plugin every second costs requests under load
    Reload {
        /// Pairs of runs, one with and one without
        #[arg(long, default_value_t = 5)]
        pairs: usize,
        /// A smoke run: shows that it works, not what it costs
        #[arg(long)]
        quick: bool,
    },
}

/// Measures.
pub(crate) fn run(what: &What) -> Result<()> {
    match *what {
        What::Plugins { quick } => plugins::run(quick),
        What::Ipvs { rounds, quick } => ipvs::run(rounds, quick),
        What::Proxy { rounds, quick } => proxy::run(if quick { 1 } else { rounds }, quick),
        What::Dns { rounds, quick } => dns::run(if quick { 1 } else { rounds }, quick),
        What::DnsReload { quick } => dns_reload::run(quick),
        What::Reload { pairs, quick } => reload::run(if quick { 1 } else { pairs }, quick),
    }
}

/// Builds with the profile of what is shipped; a smoke run takes that of `up` and `test`, which is there already. Says
/// where the binaries are.
fn binaries(packages: &[&str], quick: bool) -> Result<PathBuf> {
    let profile = if quick { "release" } else { "dist" };
    let names = packages.join(", ");
    say::line(format!("  build     {names} (profile {profile}; the first time this takes minutes)"));
    // One after the other: together they would share the features of what they are built on, and be built from nothing for that.
    for package in packages {
        let mut build = command::cargo(&["build", "--profile", profile, "-p", package]);
        command::successful(&mut build, &paths::log(&format!("build-{package}")))?;
    }
    Ok(paths::target().join(profile))
}

/// Writes a result and says where.
fn record(name: &str, result: &Value) -> Result<()> {
    let file = paths::lab("bench").join(format!("{name}.json"));
    std::fs::create_dir_all(paths::lab("bench"))?;
    std::fs::write(&file, format!("{result:#}\n"))?;
    say::line(format!("  {}", paths::short(&file)));
    Ok(())
}

/// Numbers of several rounds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    /// Of these numbers; `None` of none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().filter(|number| number.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = match sorted.get(middle.wrapping_sub(1)) {
            Some(lower) if sorted.len().is_multiple_of(2) => f64::midpoint(*lower, upper),
            _ => upper,
        };
        Some(Self { median, lowest, highest })
    }

    /// `1.05 (1.01-1.10)`, with this many decimals.
    pub(crate) fn text(&self, decimals: usize) -> String {
        let Self { median, lowest, highest } = self;
        format!("{median:.decimals$} ({lowest:.decimals$}-{highest:.decimals$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).unwrap(), Spread { median: 2.0, lowest: 1.0, highest: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN]), None);
    }
}
