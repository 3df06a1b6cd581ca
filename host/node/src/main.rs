//! `weir`: one binary for every node of a load balancer, its policies WebAssembly components.
//!
//! This crate joins the others and decides little itself: it reads the fleet file ([`fleet`]), wires pools to health,
//! plugins and proxy ([`pools`]), obeys commands and signals in one loop ([`run`]), and shows what is going on
//! ([`status`], [`report`], [`page`], [`metrics`]). What is decided is in `weir-core`; what touches the world is
//! in `weir-proxy`, `weir-probe` and `weir-wasm`, which do not know each other.

mod admin;
mod ask;
mod cli;
mod command;
mod dns;
mod explain;
mod fleet;
mod judge;
mod keeper;
mod l4;
mod launch;
mod logging;
mod metrics;
mod network;
mod operator;
mod own_agent;
mod page;
mod pools;
mod receiving;
mod report;
mod run;
mod settings;
mod status;
mod supervisor;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use weir_core::config;

use cli::{AdminArgs, Cli, Command, DnsCommand, ExplainCommand, PluginCommand, Reference, ServerArgs};
use fleet::FleetFile;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The fleet file, or the command, is at fault: `EX_USAGE` of sysexits.h. Nothing was bound.
pub(crate) const EXIT_FAULTY: u8 = 64;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => return launch::node(&args),
        Command::Host(args) => return launch::host(&args),
        Command::Sidecar(args) => return launch::sidecar(&args),
        Command::CompilePlugin => return weir_wasm::compile_child_main(),
        Command::Check { file, node } => return check(&file, node.as_deref()),
        Command::Plugin(PluginCommand::Check { file, config, json }) => {
            return check_plugin(&file, &config, json);
        }
        Command::Status { admin, json } => show(&admin, if json { "/status" } else { "/status.txt" }),
        Command::Plugin(PluginCommand::List { admin, json }) => {
            show(&admin, if json { "/plugins" } else { "/plugins.txt" })
        }
        Command::Plugin(PluginCommand::Retry { name, admin }) => {
            order(&admin, &format!("/plugins/{name}/retry"))
        }
        Command::Dns(DnsCommand::Explain { name, kind, subnet, admin, json }) => {
            explain(&admin, &name, &kind, subnet.as_deref(), json)
        }
        Command::Explain(ExplainCommand::Flow(args)) => return explain::flow(&args),
        Command::Reload { admin } => order(&admin, "/reload"),
        Command::Drain(server) => word(&server, "drain"),
        Command::Maint(server) => word(&server, "maint"),
        Command::Ready(server) => word(&server, "ready"),
        Command::Weight { server, weight } => word(&server, &format!("weight={weight}")),
        Command::Reference { what } => print(&match what {
            Reference::Fleet => config::reference(),
            Reference::Schema => config::json_schema(),
            Reference::Example => config::EXAMPLE.to_owned(),
        }),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "weir", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output; a reader that has gone away (`weir status | head -1`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn show(admin: &AdminArgs, path: &str) -> anyhow::Result<()> {
    print(&ask::ask(&admin.socket, "GET", path)?)
}

fn explain(
    admin: &AdminArgs,
    name: &str,
    kind: &str,
    subnet: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    // Checked here too: what is understood has no character that means something in a URL but these, which are escaped.
    let ask = weir_dns::explain::Ask::parse(name, kind, subnet)?;
    let name = ask.name.to_string().bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
        escaped
    });
    let subnet = subnet.map_or_else(String::new, |subnet| format!("&subnet={subnet}"));
    let page = if json { "/dns/explain" } else { "/dns/explain.txt" };
    show(admin, &format!("{page}?name={name}&type={}{subnet}", ask.kind))
}

fn order(admin: &AdminArgs, path: &str) -> anyhow::Result<()> {
    print(&format!("{}\n", ask::ask(&admin.socket, "POST", path)?.trim_end()))
}

fn word(server: &ServerArgs, word: &str) -> anyhow::Result<()> {
    // Checked here too, so that a slip of the finger never becomes another path.
    let command = command::ServerCommand::parse(&server.server, word).map_err(anyhow::Error::msg)?;
    order(&server.admin, &format!("/servers/{}/{}/{word}", command.pool, command.server))
}

fn check(file: &Path, node: Option<&str>) -> ExitCode {
    let fault = match FleetFile::read(file) {
        Ok(read) => match node.map(|n| read.fleet.node(n).map(|_| ())) {
            None | Some(Ok(())) => {
                let f = &read.fleet;
                println!(
                    "{}: ok; {} nodes, {} services, {} pools with {} servers, {} plugins; sha256 {}",
                    file.display(),
                    f.nodes.len(),
                    f.services.len(),
                    f.pools.len(),
                    f.pools.values().map(|p| p.servers.len()).sum::<usize>(),
                    f.plugins.len(),
                    read.sha256
                );
                return ExitCode::SUCCESS;
            }
            Some(Err(unknown)) => unknown.to_string(),
        },
        Err(error) => error.to_string(),
    };
    eprintln!("{}", fault.trim_end());
    ExitCode::from(EXIT_FAULTY)
}

fn check_plugin(file: &Path, config: &str, json: bool) -> ExitCode {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("weir: {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    };
    // Beside the file, as `weir run` finds them; most plugins have none.
    let golden = fs::read_to_string(file.with_extension("golden.json")).ok();
    let report = weir_wasm::inspect(&bytes, config, golden.as_deref(), run::compiler());
    let shown = match json {
        true => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
        false => report::inspected(&file.display().to_string(), &report),
    };
    match print(&shown) {
        Ok(()) if report.ok => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
