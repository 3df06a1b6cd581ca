//! Weir's L4 tier between real neighbors, under clients that check every byte: how soon it moves traffic, and what the death of its
//! processes costs.
//!
//! | module | is |
//! |---|---|
//! | [`mod@figures`] | each failure that an operator knows, timed |
//! | [`mod@kills`] | processes killed at random |

mod figures;
mod kills;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::kernel;
use crate::say;
use crate::stack::Choice;
use crate::topology::Size;
use crate::world::World;

/// What is tried, for how long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// Each failure, so many times, after so long a calm.
    Figures { calm: Duration, runs: u32 },
    /// For so long.
    Kills { lasts: Duration },
}

/// The figures of [`mod@figures`]: that many of each failure, and a calm as long as was asked for.
const RUNS: u32 = 3;
/// Clients keep up so many connections: as in the published matrix.
const CONNECTIONS: usize = 60;
/// A world takes this long to be whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);
/// What a trial takes beside what was asked for: to bring a world up and to put it right between failures.
const ASIDE: Duration = Duration::from_secs(1800);
/// As short as still every kind of death comes up.
const SHORT: Duration = Duration::from_secs(20);

pub(super) fn figures(_: &Path, lasts: Option<Duration>) -> Result<()> {
    let calm = lasts.unwrap_or(SHORT);
    outside("l4-figures", Task::Figures { calm, runs: RUNS }, calm)
}

pub(super) fn kills(_: &Path, lasts: Option<Duration>) -> Result<()> {
    let lasts = lasts.unwrap_or(SHORT);
    outside("kills", Task::Kills { lasts }, lasts)
}

fn outside(name: &str, task: Task, lasts: Duration) -> Result<()> {
    let wish = kernel::Wish { limit: lasts * 2 + ASIDE, ..kernel::Wish::named(name) };
    kernel::start(&wish, Job::L4(task))?.follow(|line| say::line(line)).map(drop)
}

/// Inside.
pub(crate) fn inside(out: &Path, task: Task, _: &Orders) -> Result<()> {
    let mut world =
        World::bring_up(Fabric::new(out)?, Size::small(), Choice::WEIR, &mut |line| println!("{line}"))?;
    world.await_whole(WHOLE_WITHIN)?;
    match task {
        Task::Figures { calm, runs } => figures::try_all(&mut world, out, calm, runs)?,
        Task::Kills { lasts } => kills::try_all(&mut world, out, lasts)?,
    }
    world.end();
    Ok(())
}
