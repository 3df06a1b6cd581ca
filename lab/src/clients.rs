//! `cargo lab clients`: many slow readers and slow uploaders, every byte of every connection checked, and a record of
//! what broke when.
//!
//! This is what a change to a load balancer has to be judged by: not whether new requests are answered, but what
//! happens to the connections that are open. As in the original lab each client takes a source and a destination by
//! chance, reads at pauses up to half a second, and has enough after a while, so that at any time some connections are
//! old and some new. Beyond it, each byte is compared with the one it should be, a share uploads, a share goes on for
//! minutes, connections that only hang are found, and probes show when new connections fail.
//!
//! | module | is |
//! |---|---|
//! | [`plan`] | what to do |
//! | [`crowd`] | all connections on one thread; [`connection`] one of them, [`conversation`] what is said on it |
//! | [`outcome`], [`tally`], [`timeline`] | how it ended, and the record |
//! | [`mod@line`], [`orders`], [`follow`] | a run seen and driven by another program |
//! | [`picture`], [`svg`] | a run seen by a person |

mod connection;
mod conversation;
mod crowd;
pub(crate) mod dice;
mod follow;
mod line;
mod orders;
mod outcome;
mod picture;
mod plan;
mod svg;
mod tally;
mod timeline;

#[allow(
    unused_imports,
    reason = "for programs that disturb a lab under clients; not each uses all of it"
)]
pub(crate) use {
    follow::{Files, Running},
    timeline::{Attempts, Break, Damage, Mark, Second, Timeline},
};
pub(crate) use {outcome::Outcome, plan::Plan, timeline::Counts};

use std::io::{BufRead, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::say;
use line::{Line, Order};

/// What a person or a program asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Wish {
    /// Take the plan from this JSON file; other options change it
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Connect from this address; may be repeated
    #[arg(long = "source", value_name = "ADDRESS")]
    sources: Vec<IpAddr>,
    /// Connect to this address and port; may be repeated
    #[arg(long = "destination", value_name = "ADDRESS:PORT")]
    destinations: Vec<SocketAddr>,
    /// Keep up so many connections
    #[arg(long, value_name = "NUMBER")]
    connections: Option<usize>,
    /// Chance repeats with the same seed
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// End after this long (`10s`, `2m`) instead of at Ctrl-C or `stop`
    #[arg(long = "for", value_name = "TIME", value_parser = crate::duration)]
    length: Option<Duration>,
    /// Write the time line here, as JSON
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Draw the time line here
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Print a line of JSON each second, as where standard output is no terminal
    #[arg(long)]
    json: bool,
}

impl Wish {
    fn plan(&self) -> Result<Plan> {
        let mut plan = match &self.spec {
            Some(file) => {
                let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                serde_json::from_slice(&text).with_context(|| format!("{} is no plan", file.display()))?
            }
            None => Plan::default(),
        };
        plan.sources.extend(&self.sources);
        plan.destinations.extend(&self.destinations);
        plan.connections = self.connections.unwrap_or(plan.connections);
        plan.seed = self.seed.unwrap_or(plan.seed);
        plan.for_ms = self.length.map(|length| length.as_millis() as u64).or(plan.for_ms);
        plan.check()?;
        Ok(plan)
    }
}

/// Runs clients until their time is over, Ctrl-C, or `stop` on standard input.
pub(crate) fn run(wish: &Wish) -> Result<()> {
    let plan = wish.plan()?;
    let (giver, orders) = orders::channel_of_orders()?;
    // Nobody ends what has neither a limit nor a terminal, once the program that drives it is gone.
    let end_with_input = plan.for_ms.is_none() && !std::io::stdin().is_terminal();
    obey_input(giver.another()?, end_with_input);
    giver.listen_to_signals()?;

    let live = !wish.json && std::io::stdout().is_terminal();
    let mut picture = picture::Picture::default();
    let mut lost = None;
    let timeline = crowd::run(plan, orders, &mut |line| {
        let printed = if live { picture.show(&mut std::io::stdout().lock(), line) } else { print(line) };
        // Whoever read may be gone; the run goes on to its end, for the record.
        lost = lost.take().or(printed.err());
    })?;
    if let Some(file) = &wish.out {
        write(file, &serde_json::to_vec(&timeline)?)?;
    }
    if let Some(file) = &wish.svg {
        write(file, svg::drawn(&timeline).as_bytes())?;
    }
    if live {
        println!("\n{}", picture::summary(&timeline));
    } else {
        say::line(picture::summary(&timeline));
        print(&Line::Ended(timeline.lasted_ms)).ok();
    }
    match lost {
        Some(error) => bail!("clients: standard output was closed during the run: {error}"),
        None => Ok(()),
    }
}

fn print(line: &Line) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads orders from standard input on a thread of its own: a file or a terminal cannot be polled alike.
fn obey_input(mut giver: orders::Giver, end_with_input: bool) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match Order::read(&line) {
                Some(order) => giver.give(order),
                None => say::line(format!("clients: `{line}` is neither `mark LABEL` nor `stop`")),
            }
        }
        if end_with_input {
            giver.give(Order::Stop);
        }
    });
}
