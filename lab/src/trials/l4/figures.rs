//! Each failure that an operator knows, timed by clients and by the neighbors' own logs.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::CONNECTIONS;
use crate::bench::Spread;
use crate::disrupt::{Phase, Scene, plan};
use crate::topology::Kind;
use crate::world::World;
use crate::world::sessions::Sessions;

/// A check each 200 ms, three that fail, 200 ms for the last of them: what Weir has where nothing is said. And 200 ms for all else.
const L7_LIMIT: f64 = 0.2 * 3.0 + 0.2 + 0.2;
/// BFD notices after 300 ms.
const ROUTER_LIMIT: f64 = 1.0;
/// The lab's sessions are held for six seconds without a word.
const REFLECTOR_LIMIT: f64 = 6.0 + 1.0;
/// A neighbor that has not noticed by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(12);
/// Between two looks at whether somebody lost a session while nothing was done.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn try_all(world: &mut World, out: &Path, calm: Duration, runs: u32) -> Result<()> {
    let mut broken = Vec::new();
    stay_calm(world, out, calm, &mut broken)?;
    let mut all = Figures::default();
    for run in 1..=runs {
        println!("  run       {run} of {runs}");
        all.l7_killed(world, out, run)?;
        all.l4_lost(world, out, run, "killed", World::kill, World::start)?;
        all.l4_lost(world, out, run, "cut off", World::cut_off, World::reconnect)?;
        all.l4_drained(world, out, run)?;
    }
    all.judge(&mut broken);
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

/// Under load and with nothing done, no session is lost.
fn stay_calm(world: &mut World, out: &Path, lasts: Duration, broken: &mut Vec<String>) -> Result<()> {
    let mut tell = |line: &str| println!("{line}");
    let plan = plan(world, CONNECTIONS, 1, false);
    let mut lost = Vec::new();
    let mut scene = Scene::open(world, out, "calm", &plan, &mut tell)?;
    scene.phase("nothing", "-", &[], |world| {
        let mut sessions = Sessions::new(world)?;
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            // That nothing happens is no event.
            std::thread::sleep(LOOK);
            lost.extend(sessions.lost()?);
        }
        Ok(())
    })?;
    let phases = scene.close()?;
    let count = phases.iter().map(|phase| phase.damage.broke()).sum::<u64>();
    println!(
        "  calm      {} s under load: {} sessions lost, {count} connections broken",
        lasts.as_secs(),
        lost.len()
    );
    broken.extend(lost.iter().map(|lost| format!("with nothing done, {lost}")));
    if count > 0 {
        broken.push(format!("with nothing done, {count} connections broke"));
    }
    Ok(())
}

/// Seconds, and counts, one of each run.
#[derive(Debug, Default)]
struct Figures {
    l7: Vec<f64>,
    clients: Vec<(&'static str, f64)>,
    routers: Vec<(&'static str, f64)>,
    reflectors: Vec<(&'static str, f64)>,
    drained: Vec<u64>,
}

impl Figures {
    fn l7_killed(&mut self, world: &mut World, out: &Path, run: u32) -> Result<()> {
        let node = first(world, Kind::L7)?;
        let phases = scene(world, out, &format!("l7-killed-{run}"), run, |scene| {
            scene.phase("killed", &node, std::slice::from_ref(&node), |world| world.kill(&node))?;
            scene.phase("started", &node, &[], |world| world.start(&node))
        })?;
        let killed = phases.first().context("no phase")?;
        self.l7.push(killed.damage.seconds_to_new.unwrap_or(f64::INFINITY));
        Ok(())
    }

    fn l4_lost(
        &mut self,
        world: &mut World,
        out: &Path,
        run: u32,
        how: &'static str,
        there: fn(&mut World, &str) -> Result<()>,
        back: fn(&mut World, &str) -> Result<()>,
    ) -> Result<()> {
        let node = first(world, Kind::L4)?;
        let names = |world: &World, kind| -> BTreeSet<String> {
            world.topology().of(kind).map(|node| node.name.clone()).collect()
        };
        let (routers, reflectors) = (names(world, Kind::Router), names(world, Kind::Reflector));
        let both: BTreeSet<String> = routers.union(&reflectors).cloned().collect();
        let mut noticed = std::collections::BTreeMap::new();
        let phases = scene(world, out, &format!("l4-{}-{run}", how.replace(' ', "-")), run, |scene| {
            scene.phase(how, &node, &[], |world| {
                let mut sessions = Sessions::new(world)?;
                there(world, &node)?;
                noticed = sessions.await_loss(&both, &node, PATIENCE)?;
                Ok(())
            })?;
            scene.phase("back", &node, &[], |world| back(world, &node))
        })?;
        let of = |name: &String| noticed.get(name).map_or(f64::INFINITY, Duration::as_secs_f64);
        self.routers.extend(routers.iter().map(|name| (how, of(name))));
        self.reflectors.extend(reflectors.iter().map(|name| (how, of(name))));
        let lost = phases.first().context("no phase")?;
        self.clients.push((how, lost.damage.seconds_to_new.unwrap_or(f64::INFINITY)));
        Ok(())
    }

    fn l4_drained(&mut self, world: &mut World, out: &Path, run: u32) -> Result<()> {
        let node = first(world, Kind::L4)?;
        let phases = scene(world, out, &format!("l4-drained-{run}"), run, |scene| {
            scene.phase("taken out", &node, &[], |world| world.maintenance(&node, true))?;
            scene.phase("back", &node, &[], |world| world.maintenance(&node, false))
        })?;
        self.drained.push(phases.iter().map(|phase| phase.damage.broke()).sum());
        Ok(())
    }

    /// Says what was found, and what of it is not as promised.
    fn judge(&self, broken: &mut Vec<String>) {
        let mut judge = |what: &str, seconds: Vec<f64>, limit: f64| {
            let never = seconds.iter().filter(|one| one.is_infinite()).count();
            let spread = Spread::of(seconds.iter().copied());
            let text = spread.as_ref().map_or_else(|| "never".to_owned(), |spread| spread.text(2));
            let kept = never == 0 && spread.is_some_and(|spread| spread.median <= limit);
            let verdict = if kept { "kept" } else { "NOT KEPT" };
            println!("  {what}: {text} s, never in {never}; at most {limit:.1} s: {verdict}");
            if !kept {
                broken.push(format!("{what}: {text} s (never in {never}), not {limit:.1} s"));
            }
        };
        let of = |figures: &[(&'static str, f64)], how: &str| -> Vec<f64> {
            figures.iter().filter(|(one, _)| *one == how).map(|(_, seconds)| *seconds).collect()
        };
        judge("an L7 node is killed, until no new connection fails", self.l7.clone(), L7_LIMIT);
        for how in ["killed", "cut off"] {
            judge(
                &format!("an L4 node is {how}, until no new connection fails"),
                of(&self.clients, how),
                ROUTER_LIMIT,
            );
            judge(&format!("an L4 node is {how}, until BIRD notices"), of(&self.routers, how), ROUTER_LIMIT);
            judge(
                &format!("an L4 node is {how}, until GoBGP notices"),
                of(&self.reflectors, how),
                REFLECTOR_LIMIT,
            );
        }
        let drained: u64 = self.drained.iter().sum();
        println!(
            "  an L4 node is drained by its file and comes back: {drained} connections broken; none: {}",
            if drained == 0 { "kept" } else { "NOT KEPT" }
        );
        if drained > 0 {
            broken.push(format!("{drained} connections broke when an L4 node was drained by its file"));
        }
    }
}

fn first(world: &World, kind: Kind) -> Result<String> {
    Ok(world.topology().of(kind).next().context("no node of that kind")?.name.clone())
}

/// One scene under clients; the world is put right after it.
fn scene(
    world: &mut World,
    out: &Path,
    name: &str,
    seed: u32,
    act: impl FnOnce(&mut Scene<'_>) -> Result<()>,
) -> Result<Vec<Phase>> {
    let mut tell = |line: &str| println!("{line}");
    let plan = plan(world, CONNECTIONS, seed.into(), false);
    let mut scene = Scene::open(world, out, name, &plan, &mut tell)?;
    act(&mut scene)?;
    let phases = scene.close()?;
    world.settle().with_context(|| format!("after {name} the world could not be put right"))?;
    Ok(phases)
}
