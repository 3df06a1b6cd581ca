//! A step as it is done: the world, the clients that look at it, and what is measured.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::balance::{self, Sample};
use super::record::Phase;
use crate::clients::{Damage, Files, Plan, Running, Timeline};
use crate::topology::{Kind, address};
use crate::world::World;

/// How long connections may take to be there before a step.
const STEADY_WITHIN: Duration = Duration::from_secs(60);
/// For so many seconds it is waited for that none fails; a world in which some always fail is looked at as it is.
const CALM_AT_MOST: u64 = 30;
/// After a phase the clients are watched for longer than a connection may stall until it counts as such.
const AFTER_STALL: Duration = Duration::from_secs(2);
/// And until no new connection has failed for so many seconds.
const QUIET: u64 = 3;
/// But no longer than this.
const WATCH_AT_MOST: Duration = Duration::from_secs(50);
/// Between two looks at the balance.
const LOOK: Duration = Duration::from_millis(500);

/// A step that is under way.
pub(crate) struct Scene<'a> {
    world: &'a mut World,
    clients: Running,
    stall: Duration,
    tell: &'a mut dyn FnMut(&str),
    /// Phases so far; what the clients saw is known at the end.
    phases: Vec<Phase>,
}

impl<'a> Scene<'a> {
    /// Starts clients and waits until all connections stand and none fails.
    pub(crate) fn open(
        world: &'a mut World,
        folder: &Path,
        name: &str,
        plan: &Plan,
        tell: &'a mut dyn FnMut(&str),
    ) -> Result<Self> {
        let files = Files::write(folder, name, plan)?;
        let lab = std::env::current_exe().context("cannot find this program")?.display().to_string();
        let arguments = files.arguments();
        let argv: Vec<&str> =
            std::iter::once(lab.as_str()).chain(arguments.iter().map(String::as_str)).collect();
        let mut command = world.fabric().command("users", &argv)?;
        let log = folder.join(format!("{name}.clients.log"));
        command
            .stderr(std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
        let clients = Running::start(command, files)?;
        let wanted = plan.connections as u64 * 9 / 10;
        let steady = clients.await_second(0, STEADY_WITHIN, |second| second.open >= wanted)?;
        // All connections begin at once, which one CPU needs a while for. What fails because of it is not what is looked for.
        let mut quiet = 0;
        for at in steady.at + 1..=steady.at + CALM_AT_MOST {
            let second = clients.await_second(at, STEADY_WITHIN, |_| true)?;
            quiet = if second.failed() == 0 && second.broke() == 0 { quiet + 1 } else { 0 };
            if quiet >= QUIET {
                break;
            }
        }
        Ok(Self { world, clients, stall: Duration::from_millis(plan.stall_ms), tell, phases: Vec::new() })
    }

    /// The world as it is.
    pub(super) fn world(&self) -> &World {
        self.world
    }

    /// The name of the L7 node that can be added.
    pub(super) fn spare(&self) -> Result<String> {
        Ok(self.world.topology().spare().context("the topology has no spare L7 node")?.name.clone())
    }

    /// Does something to the world and watches what becomes of it. `idle` are L7 nodes that should have no connections after it.
    pub(crate) fn phase(
        &mut self,
        what: &str,
        node: &str,
        idle: &[String],
        act: impl FnOnce(&mut World) -> Result<()>,
    ) -> Result<()> {
        self.watched(what, node, idle, Duration::ZERO, act)
    }

    /// As [`Scene::phase`], before another one that finds what this one left. It lasts as long with every stack: what the next one
    /// does would else meet more connections of before where a stack is quick.
    pub(super) fn phase_before(
        &mut self,
        what: &str,
        node: &str,
        idle: &[String],
        act: impl FnOnce(&mut World) -> Result<()>,
    ) -> Result<()> {
        self.watched(what, node, idle, WATCH_AT_MOST, act)
    }

    fn watched(
        &mut self,
        what: &str,
        node: &str,
        idle: &[String],
        at_least: Duration,
        act: impl FnOnce(&mut World) -> Result<()>,
    ) -> Result<()> {
        let had = self.world.open_by_l7()?.get(node).copied();
        self.clients.mark(&mark(what, self.phases.len()))?;
        let began = Instant::now();
        act(self.world).with_context(|| format!("{node}, {what}"))?;
        let took = began.elapsed();
        let should: Vec<String> =
            serving(self.world).into_iter().filter(|name| !idle.contains(name)).collect();
        let mut samples = Vec::new();
        // What L4 nodes do about it, some seconds later, breaks connections as well: a stall counts from then.
        let mut told = None;
        loop {
            let look = Instant::now();
            if told.is_none() && self.world.l4_nodes_send_to(&should)? {
                told = Some(began.elapsed().max(took));
            }
            samples.push(Sample { at: began.elapsed().as_secs_f64(), open: self.world.open_by_l7()? });
            let since = began.elapsed().saturating_sub(took);
            let settled = told.is_some_and(|told| began.elapsed() >= told + self.stall + AFTER_STALL);
            let is_over = settled
                && since >= at_least
                && self.is_quiet()
                && balance::since(&samples, &should).is_some();
            if is_over || since >= WATCH_AT_MOST {
                break;
            }
            // How connections are spread is no event. Among many nodes a look takes a while, in which nodes do less.
            std::thread::sleep(LOOK.max(look.elapsed() * 4));
        }
        self.phases.push(Phase {
            what: what.to_owned(),
            node: node.to_owned(),
            had,
            took: took.as_secs_f64(),
            watched: began.elapsed().as_secs_f64(),
            balanced: balance::since(&samples, &should),
            damage: Damage::default(),
        });
        Ok(())
    }

    /// Whether no new connection failed in the last seconds.
    fn is_quiet(&self) -> bool {
        self.clients.seconds().iter().rev().take(QUIET as usize).all(|second| second.failed() == 0)
    }

    /// Ends the clients and says what they saw.
    pub(crate) fn close(self) -> Result<Vec<Phase>> {
        let Self { clients, mut phases, tell, .. } = self;
        let timeline: Timeline = clients.stop()?;
        let marks: Vec<String> =
            phases.iter().enumerate().map(|(number, phase)| mark(&phase.what, number)).collect();
        for (number, phase) in phases.iter_mut().enumerate() {
            let next = marks.get(number + 1).map(String::as_str);
            let label = marks.get(number).context("a phase without a mark")?;
            phase.damage = timeline.damage(label, next).with_context(|| format!("no mark `{label}`"))?;
            tell(&super::table::line(phase));
        }
        Ok(phases)
    }
}

/// Marks of one step differ, also where it does the same thing twice.
fn mark(what: &str, number: usize) -> String {
    if number == 0 { what.to_owned() } else { format!("{what} ({})", number + 1) }
}

/// How long it takes until all clients of a step are there.
const RAMP: Duration = Duration::from_secs(4);

/// Clients from all user addresses to all services, over both families.
pub(crate) fn plan(world: &World, connections: usize, seed: u64, ipv6_uploads: bool) -> Plan {
    let users = (1..=world.topology().size.users).map(address::user);
    let sources = users.flat_map(|v4| [v4.into(), address::beside(v4).into()]).collect();
    let services = world.topology().services();
    Plan {
        sources,
        destinations: services.into_iter().map(|to| (to, crate::topology::SERVICE_PORT).into()).collect(),
        connections,
        seed,
        ipv6_uploads,
        ramp_ms: RAMP.as_millis() as u64,
        ..Plan::default()
    }
}

/// Names of the L7 nodes that the L4 nodes know, and so should send connections to.
fn serving(world: &World) -> Vec<String> {
    let known = world.known_l7();
    let nodes = world.topology().nodes.iter();
    nodes.filter(|node| node.kind == Kind::L7 && node.number <= known).map(|node| node.name.clone()).collect()
}
