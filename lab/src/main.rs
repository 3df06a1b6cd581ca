//! The lab: installs, builds, runs, tests and measures Weir on one machine, from outside, as a stranger would.
//!
//! `cargo lab` is an alias for this binary (`.cargo/config.toml`). It stays light, because it is the first thing that
//! a fresh machine compiles: no runtime, no proxy, no Wasm engine.
//!
//! | module | is |
//! |---|---|
//! | [`up`] | the demo: a node before three servers |
//! | [`mod@test`], [`stage`], [`rules`] | every check and test |
//! | [`trials`] | what is promised, tried on the binary |
//! | [`fuzz`] | hostile bytes for the decoders |
//! | [`mod@bench`] | what is measured |
//! | [`clients`] | many slow connections, each byte checked: what a change breaks |
//! | [`node`], [`fleet`], [`server`], [`load`], [`http`] | a node under our eyes, its file, its servers, its clients |
//! | [`kernel`], [`inside`] | a kernel that carries the lab, and the job in it |
//! | [`shell`], [`capture`] | a look into a node from another terminal |
//! | [`dns`], [`lookup`] | DNS as a client speaks it |
//! | [`balancer`] | the part of Weir that keeps the kernel's balancer, in a node |
//! | [`fabric`] | nodes in namespaces, and what joins them |
//! | [`doctor`], [`machine`], [`install`], [`build`], [`command`] | what the machine has and gets |

#![allow(
    clippy::indexing_slicing,
    reason = "JSON values are indexed, which answers null for what is not there"
)]

mod agent;
mod ask;
mod balancer;
mod bench;
mod build;
mod capture;
mod clients;
mod command;
mod disrupt;
mod dns;
mod doctor;
mod fabric;
mod fleet;
mod fuzz;
mod http;
mod inside;
mod install;
mod kernel;
mod load;
mod lookup;
mod machine;
mod node;
mod paths;
mod plugins;
mod rules;
mod say;
mod server;
mod shell;
mod stack;
mod stage;
mod test;
mod tiers;
mod topology;
mod trials;
mod turn;
mod up;
mod way;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

/// Installs, builds, runs, tests and measures Weir on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up all tiers, show a request's way through them, stay until Ctrl-C
    Up {
        /// End after this long (`10s`, `500ms`, `2m`) instead of at Ctrl-C
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        stay: Option<Duration>,
        /// Print the result for machines
        #[arg(long)]
        json: bool,
        /// Only one node before three demo servers, on loopback addresses
        #[arg(long)]
        loopback: bool,
        /// Take what is built already
        #[arg(long)]
        built: bool,
        #[command(flatten)]
        tiers: tiers::Tiers,
    },
    /// Run every check and test
    Test {
        /// Go on after a failure
        #[arg(long)]
        keep_going: bool,
    },
    /// Try one promise, or some, or all, on the built binary
    Trial {
        /// Names of trials; all where none is given
        names: Vec<String>,
        /// For so long, where a trial can last: `l4-figures`, `kills`
        #[arg(long, value_name = "N")]
        minutes: Option<f64>,
        /// Take what is built already
        #[arg(long)]
        built: bool,
    },
    /// Throw hostile bytes at everything that reads bytes
    Fuzz(fuzz::Wish),
    /// Ask Weir, NSD, Knot and BIND the same about the same zones
    Differ(dns::differ::Wish),
    /// Check who depends on whom and how the tree is laid out
    Rules,
    /// Try the kernel and the namespaces that the lab runs in
    Kernel {
        /// The machine's own or the user-mode kernel
        #[arg(long)]
        kernel: Option<kernel::Kernel>,
        /// Only start a kernel and wait, for a check that kills it
        #[arg(long, hide = true)]
        until_killed: bool,
    },
    /// Open a shell in a node of the lab that runs in another terminal
    Shell {
        /// Name of the node, such as l4-1
        node: String,
        /// Name of the run, where there are several
        #[arg(long)]
        run: Option<String>,
    },
    /// Record the packets of a node of the lab that runs in another terminal
    Capture {
        /// Name of the node, such as l4-1
        node: String,
        /// For how long
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Name of the run, where there are several
        #[arg(long)]
        run: Option<String>,
    },
    /// Build the plugins
    Plugins,
    /// Say what this machine has, lacks, and how to get it
    Doctor,
    /// Measure
    #[command(subcommand)]
    Bench(bench::What),
    /// Be the first process of a kernel or of namespaces; the lab starts it
    #[command(hide = true)]
    Boot {
        /// The job
        spec: std::path::PathBuf,
        /// What a user-mode kernel adds to the arguments of its first process
        rest: Vec<String>,
    },
    /// Do a job inside the lab's kernel; the first process starts it
    #[command(hide = true)]
    Inside {
        /// The job
        spec: std::path::PathBuf,
    },
    /// Hold a node's namespaces; the fabric starts it
    #[command(hide = true)]
    Keep {
        /// Name of the node
        node: String,
        /// Where its logs go
        logs: std::path::PathBuf,
    },
    /// Answer agent checks with a file
    #[command(hide = true)]
    Agent {
        /// Address to listen on
        address: SocketAddr,
        /// What the answer is
        file: std::path::PathBuf,
    },
    /// Become a program once some files are there
    #[command(hide = true)]
    Turn(turn::Turn),
    /// Ask services from given addresses until they answer
    #[command(hide = true)]
    Ask(ask::Questions),
    /// Ask a DNS server until its answer is as wished
    #[command(hide = true)]
    Lookup(lookup::Lookup),
    /// Keep up many slow connections, check every byte, record what breaks when
    Clients(clients::Wish),
    /// Do something to the topology and see what becomes of its connections
    Disrupt(disrupt::Wish),
    /// Serve as a demo server until killed
    #[command(hide = true)]
    Serve {
        /// Name that every answer carries
        name: String,
        /// Address to listen on
        address: SocketAddr,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Up { stay, json, loopback, built, tiers } => {
            up::run(&up::Wish { stay, json, loopback, built, tiers })
        }
        Command::Test { keep_going } => test::run(keep_going),
        Command::Differ(wish) => dns::differ::command(&wish),
        Command::Disrupt(wish) => disrupt::run(&wish),
        Command::Trial { names, minutes, built } => test::run_trials(&names, minutes, built),
        Command::Fuzz(wish) => fuzz::run(&wish),
        Command::Rules => rules::run(),
        Command::Kernel { kernel, until_killed } => kernel::check::run(kernel, until_killed),
        Command::Shell { node, run } => shell::run(&node, run.as_deref()),
        Command::Capture { node, seconds, run } => capture::run(&node, seconds, run.as_deref()),
        Command::Plugins => {
            install::for_building()?;
            let folder = build::plugins()?;
            println!("{}", paths::short(&folder));
            Ok(())
        }
        Command::Doctor => doctor::run(),
        Command::Bench(what) => bench::run(&what),
        Command::Boot { spec, rest: _ } => kernel::init::boot(&spec),
        Command::Inside { spec } => inside::run(&spec),
        Command::Keep { node, logs } => fabric::keeper::keep(&node, &logs),
        Command::Agent { address, file } => agent::run(address, &file),
        Command::Turn(turn) => turn::run(&turn),
        Command::Ask(questions) => ask::run(&questions),
        Command::Lookup(wish) => lookup::run(&wish),
        Command::Clients(wish) => clients::run(&wish),
        Command::Serve { name, address } => {
            let _server = server::DemoServer::start_at(&name, address)?;
            node::interrupted()?.recv().context("the watch for signals ended")
        }
    }
}

fn duration(text: &str) -> Result<Duration> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let amount: f64 = number.parse().with_context(|| format!("`{text}` is not a time such as 10s"))?;
    let seconds = match text.strip_prefix(number).unwrap_or_default() {
        "ms" => amount / 1000.0,
        "" | "s" => amount,
        "m" => amount * 60.0,
        unit => bail!("`{unit}` is not one of ms, s, m"),
    };
    Duration::try_from_secs_f64(seconds).with_context(|| format!("`{text}` is not a time such as 10s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_a_bare_number_is_seconds() {
        for (text, millis) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("3", 3000), ("0.5s", 500)] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis));
        }
        for text in ["", "s", "10h", "-1s", "ten"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
