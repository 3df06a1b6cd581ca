//! The whole topology at its small size, end to end: what a stack on the L7 tier must do between the real neighbours.
//!
//! The same is asked of the classic stack and of Weir's L7 nodes in the place of HAProxy, which is how these are seen to be
//! a drop-in: the health URL that keepalived asks, the PROXY line that nginx takes, the tunnels, the direct return. Weir in
//! gdnsd's place is asked for its names: see [`names`].

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{names, second_chance};
use crate::ask::Questions;
use crate::clients::{Files, Outcome, Plan, Running};
use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::kernel;
use crate::say;
use crate::stack::{Choice, Stack};
use crate::tiers::Shape;
use crate::topology::{Kind, SERVICE_PORT, Size, address};
use crate::way;
use crate::world::World;

/// How long keepalived may take to see and tell every change: it asks every ten seconds.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);
/// How long a run may take on a machine that does other things as well.
const AT_MOST: Duration = Duration::from_secs(8 * 60);
/// Connections whose every byte is checked, and how many of them must have ended.
const CONNECTIONS: usize = 24;
const ENDS: u64 = 120;

pub(super) fn classic(_: &Path) -> Result<()> {
    outside("tiers-classic", Choice::CLASSIC)
}

pub(super) fn all(_: &Path) -> Result<()> {
    outside("tiers-all", Choice::WEIR)
}

pub(super) fn weir(_: &Path) -> Result<()> {
    outside("tiers-weir", Choice { l4: Stack::Classic, ..Choice::WEIR })
}

fn outside(name: &str, choice: Choice) -> Result<()> {
    let wish = kernel::Wish { limit: AT_MOST, ..kernel::Wish::named(name) };
    let run = kernel::start(&wish, Job::Trial(Shape { size: Size::small(), choice }))?;
    run.follow(|line| say::line(line)).map(drop)
}

/// Inside: brings the world up and asks it everything.
pub(crate) fn inside(out: &Path, shape: Shape, _: &Orders) -> Result<()> {
    let fabric = Fabric::new(out)?;
    let mut world = World::bring_up(fabric, shape.size, shape.choice, &mut |line| println!("{line}"))?;
    world.await_whole(KNOWN_WITHIN)?;
    ways(&world)?;
    clients_are_known(&world)?;
    answers_return_directly(&world, out)?;
    health_is_obeyed(&mut world)?;
    if shape.choice.makes_its_own(Kind::L7) {
        second_chance::lives_on(&mut world, out, KNOWN_WITHIN)?;
        tunnels_are_checked(&mut world)?;
    }
    if shape.choice.dns == Stack::Weir {
        names::follow_health(&world)?;
    }
    world.end();
    Ok(())
}

/// Both families reach every tier, from several users.
fn ways(world: &World) -> Result<()> {
    let users = world.topology().size.users;
    let ways = way::ways(world, &[1, users.div_ceil(2), users])?;
    for way in &ways {
        ensure!(
            way.l4.starts_with("LB4-") && way.l7.starts_with("LB7-"),
            "{way:?} is no way through the tiers"
        );
    }
    println!("  ways      {} connections through router, L4, L7 and server, over both families", ways.len());
    Ok(())
}

/// nginx is told by the PROXY line who asks.
fn clients_are_known(world: &World) -> Result<()> {
    let user = address::user(2);
    let services = world.topology().services();
    let wish = Questions {
        from: vec![user.into(), address::beside(user).into()],
        to: services.into_iter().map(|to| (to, SERVICE_PORT).into()).collect(),
        path: "/who".into(),
        times: 1,
        within: 10,
    };
    let asked = world.ask("users", &wish)?;
    for each in &asked {
        let text = each.answers.first().with_context(|| format!("{}: {:?}", each.to, each.failure))?;
        let answer: Value = serde_json::from_str(text).with_context(|| format!("not an answer: {text}"))?;
        let told = answer["headers"]["x-forwarded-for"].as_str().unwrap_or_default();
        let from = each.from.context("a connection without a source")?.ip();
        ensure!(
            told.parse() == Ok(from),
            "{from} asked {}, and the server was told that it was {told:?}",
            each.to
        );
    }
    println!(
        "  known     nginx has the address of the user from the PROXY line, for all {} pairs",
        asked.len()
    );
    Ok(())
}

/// Every byte arrives, and what servers send does not pass the L4 nodes.
fn answers_return_directly(world: &World, out: &Path) -> Result<()> {
    let l4: Vec<String> = world.topology().of(Kind::L4).map(|node| node.name.clone()).collect();
    let sent = || l4.iter().map(|node| world.sent_bytes(node, "veth0")).sum::<Result<u64>>();
    let users = (1..=world.topology().size.users).map(address::user);
    let plan = Plan {
        sources: users.flat_map(|v4| [v4.into(), address::beside(v4).into()]).collect(),
        destinations: world.topology().services().into_iter().map(|to| (to, SERVICE_PORT).into()).collect(),
        connections: CONNECTIONS,
        uploads_share: 0.0,
        steady_share: 0.0,
        ends_after: Some(ENDS),
        // Everything shares one CPU with the machine's other work: being slow is no fault here.
        connect_ms: 11_000,
        ..Plan::default()
    };
    let before = sent()?;
    let timeline = watched(world, out, "downloads", &plan)?;
    let through = sent()? - before;
    ensure!(
        through * 4 < timeline.bytes_down,
        "{} bytes came down, and the L4 nodes sent {through}: answers go through them",
        timeline.bytes_down
    );
    let uploads = Plan { uploads_share: 1.0, ipv6_uploads: false, ..plan };
    let up = watched(world, out, "uploads", &uploads)?;
    println!(
        "  direct    {} bytes came down past the L4 nodes, {} went up, each one checked",
        timeline.bytes_down, up.bytes_up
    );
    Ok(())
}

fn watched(world: &World, out: &Path, name: &str, plan: &Plan) -> Result<crate::clients::Timeline> {
    let files = Files::write(out, name, plan)?;
    let lab = std::env::current_exe().context("cannot find this program")?.display().to_string();
    let arguments = files.arguments();
    let argv: Vec<&str> = std::iter::once(lab.as_str()).chain(arguments.iter().map(String::as_str)).collect();
    let log = out.join(format!("{name}.log"));
    let mut command = world.fabric().command("users", &argv)?;
    command.stderr(std::fs::File::create(&log)?);
    let timeline = Running::start(command, files)?.finished()?;
    let bad: Vec<_> = timeline.outcomes.iter().filter(|(outcome, _)| **outcome != Outcome::Ok).collect();
    ensure!(bad.is_empty(), "{name}: not every connection ended well: {bad:?} (log: {})", log.display());
    Ok(timeline)
}

/// An L7 node that lives and answers, and loses what comes out of its tunnels, is taken out where checks go through the tunnels: for
/// the family that it loses.
fn tunnels_are_checked(world: &mut World) -> Result<()> {
    world.check_through_tunnels()?;
    world.await_whole(KNOWN_WITHIN)?;
    let node = world.topology().of(Kind::L7).next().context("no L7 node")?;
    let first = node.interfaces.first().context("an L7 node without interfaces")?;
    let addresses: Vec<_> = first.addresses.iter().map(|(address, _)| *address).collect();
    let name = node.name.clone();
    let balancers = world.topology().of(Kind::L4).map(|node| node.name.clone()).collect::<Vec<_>>();
    // A client is never reached through the tunnel that its packets come from, and a strict source check minds that.
    world.fabric().sysctl(&name, &[("net.ipv4.conf.all.rp_filter", "1")])?;
    world.await_that("a node whose tunnels lose IPv4 is left for IPv4 only", KNOWN_WITHIN, || {
        for l4 in &balancers {
            for (service, nodes) in world.destinations(l4)? {
                let there = addresses.iter().any(|address| nodes.contains(address));
                if there != service.is_ipv6() {
                    return Ok(Some(format!("{l4} and {service}: {there}")));
                }
            }
        }
        Ok(None)
    })?;
    world.await_answers(Duration::ZERO).context("with a node that loses IPv4")?;
    world.fabric().sysctl(&name, &[("net.ipv4.conf.all.rp_filter", "0")])?;
    world.await_whole(KNOWN_WITHIN)?;

    // Nothing is known before the first check, and no check has a way in an empty kernel.
    let first = balancers.first().context("no L4 node")?;
    world.kill(first)?;
    world.fabric().run(first, &["/usr/sbin/ipvsadm", "--clear"])?;
    let began = std::time::Instant::now();
    world.start(first)?;
    world.await_whole(KNOWN_WITHIN)?;
    println!(
        "  tunnels   checks go through them: {name} lost IPv4 there, and was left for IPv4 only; {first} began anew in {}",
        say::elapsed(began.elapsed())
    );
    Ok(())
}

/// Waits until no L4 node sends new connections to an L7 node that has these addresses.
pub(super) fn left(world: &World, name: &str, addresses: &[IpAddr]) -> Result<()> {
    let balancers: Vec<String> = world.topology().of(Kind::L4).map(|node| node.name.clone()).collect();
    world.await_that("every L4 node takes out the node that is down", KNOWN_WITHIN, || {
        for l4 in &balancers {
            let still =
                world.destinations(l4)?.values().any(|nodes| addresses.iter().any(|at| nodes.contains(at)));
            if still {
                return Ok(Some(format!("{l4} still sends to {name}")));
            }
        }
        Ok(None)
    })
}

/// An L7 node whose agent says down fails its health URL, is taken out by every L4 node, and costs no new connection.
fn health_is_obeyed(world: &mut World) -> Result<()> {
    let (name, addresses) = {
        let node = world.topology().of(Kind::L7).next().context("no L7 node")?;
        let first = node.interfaces.first().context("an L7 node without interfaces")?;
        (node.name.clone(), first.addresses.iter().map(|(address, _)| *address).collect::<Vec<_>>())
    };
    let health = Questions {
        from: Vec::new(),
        to: addresses.iter().map(|to| (*to, SERVICE_PORT).into()).collect(),
        path: "/healthcheck".into(),
        times: 1,
        within: 0,
    };
    world.maintenance(&name, true)?;
    world.await_that("the health URL of a node that is down answers 503", KNOWN_WITHIN, || {
        let asked = world.ask("LB4-1", &health)?;
        let well = asked.iter().find(|each| each.failure.as_deref() != Some("status 503"));
        Ok(well.map(|each| format!("{} says {:?}", each.to, each.failure.as_deref().unwrap_or("200"))))
    })?;
    left(world, &name, &addresses)?;
    world.await_answers(Duration::ZERO).context("with one L7 node down")?;
    world.maintenance(&name, false)?;
    world.await_whole(KNOWN_WITHIN)?;
    if !world.lacking().is_empty() {
        bail!("the world did not stay whole");
    }
    println!("  health    the agent's word fails the health URL, takes the node out, and brings it back");
    Ok(())
}
