//! Connections that began while an L7 node was away live on when it is back and routers move them to another L4 node.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::tiers;
use crate::clients::{Files, Plan, Running};
use crate::say;
use crate::topology::{Kind, SERVICE_PORT, address};
use crate::world::World;

const CONNECTIONS: usize = 40;
/// More packets than strays are.
const ENOUGH: u64 = 50;
/// Of the clients: other ports than those of a moment ago, whose last packets nodes still expect.
const SEED: u64 = 7;
/// A connection on which nothing moves for this long has broken, milliseconds.
const STALL: u64 = 11_000;

/// Done to a world that is whole, and left so.
pub(super) fn lives_on(world: &mut World, out: &Path, known_within: Duration) -> Result<()> {
    let node = world.topology().of(Kind::L7).next().context("no L7 node")?;
    let first = node.interfaces.first().context("an L7 node without interfaces")?;
    let addresses: Vec<_> = first.addresses.iter().map(|(address, _)| *address).collect();
    let name = node.name.clone();
    world.maintenance(&name, true)?;
    tiers::left(world, &name, &addresses)?;

    let clients = connected(world, out, known_within)?;
    world.maintenance(&name, false)?;
    world.await_whole(known_within)?;
    // Stray packets of before count as well.
    let before = world.handed_on(&name)?;
    let moved_from = world.move_ecmp()?;
    world.await_that("connections of others are handed on", known_within, || {
        let handed_on = world.handed_on(&name)?.saturating_sub(before);
        Ok((handed_on < ENOUGH).then(|| format!("{name} has handed on {handed_on} packets")))
    })?;
    // Whatever was lost shows by then.
    let now = clients.seconds().last().map_or(0, |second| second.at);
    clients.await_second(now + STALL.div_ceil(1000) + 2, known_within, |_| true)?;
    let handed_on = world.handed_on(&name)?.saturating_sub(before);
    let timeline = clients.stop()?;
    ensure!(
        timeline.breaks.is_empty() && timeline.unfinished == CONNECTIONS as u64,
        "of {CONNECTIONS} connections, with {handed_on} packets handed on, {} broke: {:?}",
        timeline.breaks.len(),
        timeline.breaks
    );
    world.maintenance(&moved_from, false)?;
    world.await_whole(known_within)?;
    println!(
        "  chance    {name} came back, {moved_from} was left: {handed_on} packets handed on, none of {CONNECTIONS} connections broke"
    );
    Ok(())
}

/// Connections over both families that end by no wish of their clients, all of them there.
fn connected(world: &World, out: &Path, within: Duration) -> Result<Running> {
    let users = (1..=world.topology().size.users).map(address::user);
    let plan = Plan {
        sources: users.flat_map(|v4| [v4.into(), address::beside(v4).into()]).collect(),
        destinations: world.topology().services().into_iter().map(|to| (to, SERVICE_PORT).into()).collect(),
        connections: CONNECTIONS,
        seed: SEED,
        uploads_share: 0.0,
        steady_share: 1.0,
        probe_every_ms: 0,
        connect_ms: STALL,
        stall_ms: STALL,
        ..Plan::default()
    };
    let files = Files::write(out, "second-chance", &plan)?;
    let lab = std::env::current_exe().context("cannot find this program")?.display().to_string();
    let arguments = files.arguments();
    let argv: Vec<&str> = std::iter::once(lab.as_str()).chain(arguments.iter().map(String::as_str)).collect();
    let mut command = world.fabric().command("users", &argv)?;
    command.stderr(std::fs::File::create(out.join("second-chance.log"))?);
    let clients = Running::start(command, files)?;
    let began = std::time::Instant::now();
    clients.await_second(0, within, |second| second.open == CONNECTIONS as u64)?;
    println!("  chance    {CONNECTIONS} connections in {}", say::elapsed(began.elapsed()));
    Ok(clients)
}
