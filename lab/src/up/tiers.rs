//! `cargo lab up` with all tiers: the topology in a kernel, a request's way through it, and then it stays.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Wish;
use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::kernel::{self, Run, Said};
use crate::tiers::Shape;
use crate::way::{self, Way};
use crate::world::World;
use crate::{build, install, node, paths, say, stack};

/// The name of the run, for `cargo lab shell` and `cargo lab capture`.
const RUN: &str = "up";
/// Before the result, among lines of progress.
const RESULT: &str = "result ";
/// The order to end.
const STOP: &str = "stop";
/// How long a whole world may take, from the moment that services answer.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);
/// A lab that nobody ends, ends after this.
const AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// Between two looks at whether somebody wants the lab to end.
const LOOK: Duration = Duration::from_millis(100);

/// What is known of a lab that is up.
#[derive(Debug, Serialize, Deserialize)]
struct Up {
    /// Seconds from the start inside the kernel until all services answered.
    answers_seconds: f64,
    /// The same until every L4 node and every router had everything.
    whole_seconds: f64,
    ways: Vec<Way>,
}

/// Outside: makes ready, starts, shows, stays.
pub(super) fn run(wish: &Wish, shape: Shape) -> Result<()> {
    let began = Instant::now();
    if !wish.built {
        install::for_building()?;
        say::line("  build     weir (the first time this takes minutes)");
        build::stack(shape.choice)?;
    }
    let interrupted = node::interrupted()?;
    let kernel = kernel::Wish { kernel: wish.tiers.kernel, limit: AT_MOST, ..kernel::Wish::named(RUN) };
    let mut run = kernel::start(&kernel, Job::Up(shape))?;
    let Some(up) = come_up(&mut run, &interrupted)? else {
        run.kill();
        say::line("Stopped.");
        return Ok(());
    };
    let took = began.elapsed();
    if wish.json {
        let result = serde_json::json!({
            "ok": true,
            "took_seconds": took.as_secs_f64(),
            "answers_seconds": up.answers_seconds,
            "whole_seconds": up.whole_seconds,
            "size": shape.size,
            "stacks": shape.choice,
            "faults_kept": stack::FAULTS.map(|(what, effect)| serde_json::json!({"what": what, "effect": effect})),
            "logs": run.out,
            "ways": up.ways,
        });
        println!("{result:#}");
    } else {
        print!("\n{}", as_text(&up, &run));
    }
    stay(wish.stay, run, &interrupted)
}

/// Follows the progress until the result; nothing where somebody wants to end before.
fn come_up(run: &mut Run, interrupted: &Receiver<()>) -> Result<Option<Up>> {
    loop {
        if interrupted.try_recv().is_ok() {
            return Ok(None);
        }
        match run.next(LOOK)? {
            Said::Line(line) => match line.strip_prefix(RESULT) {
                Some(result) => return Ok(Some(serde_json::from_str(result).context("not a result")?)),
                None => say::line(line),
            },
            Said::Nothing => {}
            Said::End => bail!("the lab did not come up; logs are in {}", paths::short(&run.out)),
        }
    }
}

fn stay(stay: Option<Duration>, mut run: Run, interrupted: &Receiver<()>) -> Result<()> {
    match stay {
        Some(stay) => say::line(format!("\nStays for {}.", say::elapsed(stay))),
        None => say::line("\nStays until Ctrl-C."),
    }
    let until = stay.map(|stay| Instant::now() + stay);
    while interrupted.try_recv().is_err() && until.is_none_or(|until| Instant::now() < until) {
        match run.next(LOOK)? {
            Said::Line(line) => say::line(line),
            Said::Nothing => {}
            Said::End => bail!("the lab ended by itself; logs are in {}", paths::short(&run.out)),
        }
    }
    run.send(STOP)?;
    run.end()?;
    say::line("Stopped.");
    Ok(())
}

fn as_text(up: &Up, run: &Run) -> String {
    let rows: Vec<Vec<String>> = up
        .ways
        .iter()
        .map(|way| {
            vec![
                // A name in front, because a cell that begins with a digit would be aligned as a number.
                format!("from {}", way.user),
                format!("to {}", way.service),
                way.router.clone(),
                way.l4.clone(),
                way.l7.clone(),
                way.servers.iter().take(4).cloned().collect::<Vec<_>>().join(" "),
            ]
        })
        .collect();
    let table =
        say::table(&["user", "service", "router", "L4", "L7", "servers of its first requests"], &rows);
    format!(
        "{table}
  Each line is one connection: the router by its packet counter, L4 and L7 node by the IPVS table, servers by
  their answers. From the root of the checkout, try:

  look around     cargo lab shell LB4-1
  see packets     cargo lab capture LB7-1
  ask for a name  cargo lab shell users, then dig www.example.org AAAA
  logs            {}/NODE/
",
        paths::short(&run.out)
    )
}

/// Inside: brings it up, says so, and stays until it is told to stop.
pub(crate) fn inside(out: &std::path::Path, shape: Shape, orders: &Orders) -> Result<()> {
    let began = Instant::now();
    let mut world =
        World::bring_up(Fabric::new(out)?, shape.size, shape.choice, &mut |line| println!("{line}"))?;
    let answers = began.elapsed();
    world.await_whole(WHOLE_WITHIN)?;
    let whole = began.elapsed();
    println!(
        "  whole     every L4 node has every L7 node, every router every L4 node (at {})",
        say::elapsed(whole)
    );
    let users = shape.size.users;
    let mut some = vec![1, users.div_ceil(2), users];
    some.dedup();
    let up = Up {
        answers_seconds: answers.as_secs_f64(),
        whole_seconds: whole.as_secs_f64(),
        ways: way::ways(&world, &some)?,
    };
    println!("{RESULT}{}", serde_json::to_string(&up)?);
    while let Ok(order) = orders.next(Duration::from_secs(3600)) {
        if order.as_deref() == Some(STOP) {
            break;
        }
    }
    world.end();
    Ok(())
}
