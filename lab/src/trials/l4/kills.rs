//! Processes of the L4 tier killed at random, under load: what the kernel was told stays, so no connection notices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::CONNECTIONS;
use crate::clients::dice::Dice;
use crate::disrupt::{Scene, plan};
use crate::topology::Kind;
use crate::world::World;
use crate::world::parts::Part;
use crate::world::sessions::{Lost, Sessions, What};

/// Whoever was killed has put the kernel's table right by then.
const RIGHT_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks at the table.
const LOOK: Duration = Duration::from_millis(50);
/// How long a node may take until its neighbors have it again.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// A death is over when nothing has come of it for so long.
const AFTER: Duration = Duration::from_secs(1);

/// Of whom something is killed. The host of an L7 node is not among them: it is the proxy, and its death is its connections' own.
const DEATHS: [(Kind, Part); 5] = [
    (Kind::L4, Part::Host),
    (Kind::L4, Part::Sidecar),
    (Kind::L4, Part::Supervisor),
    (Kind::L4, Part::All),
    (Kind::L7, Part::Sidecar),
];

/// What came of the deaths of one kind.
#[derive(Debug, Default)]
struct Count {
    deaths: u64,
    /// Sessions that neighbors lost.
    sessions: u64,
    /// How often a node that lived and its neighbors heard nothing of each other.
    stalls: u64,
    /// The longest that a table was wrong, from the death on.
    wrong: Duration,
}

pub(super) fn try_all(world: &mut World, out: &Path, lasts: Duration) -> Result<()> {
    let mut tell = |line: &str| println!("{line}");
    let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
    let mut faults = Vec::new();
    let plan = plan(world, CONNECTIONS, 1, false);
    let mut scene = Scene::open(world, out, "kills", &plan, &mut tell)?;
    scene.phase("killed at random", "L4 tier", &[], |world| {
        let mut dice = Dice::new(1, 0);
        let until = Instant::now() + lasts;
        let mut turn = 0;
        // Each kind once in an order by chance, then by chance alone.
        let mut first = DEATHS.to_vec();
        while Instant::now() < until || turn < DEATHS.len() {
            let (kind, part) = match first.len() {
                0 => *dice.pick(&DEATHS).context("nobody to kill")?,
                left => first.swap_remove(dice.below(left as u64) as usize),
            };
            turn += 1;
            die(world, &mut dice, kind, part, &mut counts, &mut faults)?;
        }
        Ok(())
    })?;
    let phases = scene.close()?;
    for (what, count) in &counts {
        println!(
            "  killed    {what}: {} times; {} sessions lost by neighbors, {} times all stood still, a table was wrong for {} ms at most",
            count.deaths,
            count.sessions,
            count.stalls,
            count.wrong.as_millis()
        );
    }
    let broke: u64 = phases.iter().map(|phase| phase.damage.broke()).sum();
    println!("  broken    {broke} connections");
    if broke > 0 {
        faults.push(format!("{broke} connections broke"));
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// One death, and what comes of it.
fn die(
    world: &mut World,
    dice: &mut Dice,
    kind: Kind,
    part: Part,
    counts: &mut BTreeMap<&'static str, Count>,
    faults: &mut Vec<String>,
) -> Result<()> {
    let nodes: Vec<String> =
        world.topology().of(kind).filter(|node| !node.spare).map(|node| node.name.clone()).collect();
    let node = dice.pick(&nodes).context("nobody to kill")?.clone();
    let tier = if kind == Kind::L4 { "L4" } else { "L7" };
    let mut sessions = Sessions::new(world)?;
    world.kill_part(&node, part)?;
    let died = Instant::now();
    if kind == Kind::L4 {
        // Whoever comes back finds that somebody has used the time.
        world.meddle(&node)?;
    }
    let wrong = table_right(world, &node, kind)?;
    world.await_whole(WHOLE_WITHIN)?;
    // What a neighbor has yet to notice is no event here.
    std::thread::sleep(AFTER);
    let lost = sessions.lost()?;
    let what = match (tier, part) {
        ("L4", Part::Host) => "host of an L4 node",
        ("L4", Part::Sidecar) => "sidecar of an L4 node",
        ("L4", Part::Supervisor) => "supervisor of an L4 node",
        ("L4", _) => "all of an L4 node",
        _ => "sidecar of an L7 node",
    };
    let count = counts.entry(what).or_default();
    count.deaths += 1;
    count.sessions += lost.iter().filter(|lost| lost.what == What::Bgp).count() as u64;
    match wrong {
        Some(wrong) => count.wrong = count.wrong.max(wrong),
        None => faults.push(format!("{node}: {what}: the table was not right within {RIGHT_WITHIN:?}")),
    }
    // Where a node that lives found its neighbors silent, and they found it silent, the one CPU ran none of them: a kernel that is not
    // preempted takes a while to end a large process.
    let stalled: BTreeSet<&str> =
        lost.iter().filter(|lost| lost.what == What::Silence).map(|lost| lost.of.as_str()).collect();
    count.stalls += u64::from(!stalled.is_empty());
    let explained = |lost: &&Lost| {
        let own = lost.of == node && kind == Kind::L4 && part != Part::Host;
        own || (lost.of != node && stalled.contains(lost.of.as_str()))
    };
    faults.extend(lost.iter().filter(|lost| !explained(lost)).map(|lost| format!("{node}: {what}: {lost}")));
    println!("    {what:<26} {node}: whole after {:.1} s", died.elapsed().as_secs_f64());
    Ok(())
}

/// How long the table of a node was wrong, where it was right in time.
fn table_right(world: &World, node: &str, kind: Kind) -> Result<Option<Duration>> {
    if kind != Kind::L4 {
        return Ok(Some(Duration::ZERO));
    }
    let began = Instant::now();
    loop {
        let right = world.table_is_right(node)?;
        let elapsed = began.elapsed();
        if right {
            return Ok(Some(elapsed));
        }
        if elapsed > RIGHT_WITHIN {
            return Ok(None);
        }
        // The kernel tells nobody of a change.
        std::thread::sleep(LOOK);
    }
}
