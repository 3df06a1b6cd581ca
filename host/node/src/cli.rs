//! The command line: what can be asked of `weir`. Nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weir_core::config::Level;

/// Where the fleet file lies unless `--fleet` says otherwise.
pub(crate) const DEFAULT_FLEET: &str = "/etc/weir/fleet.toml";

/// Where a running node listens for commands unless `--socket` says otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/weir/admin.sock";

/// Where a sidecar listens for its host unless `--socket` says otherwise.
pub(crate) const DEFAULT_SIDECAR_SOCKET: &str = "/run/weir/sidecar.sock";

/// One binary for every node of a load balancer, its policies WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run this node until SIGTERM; SIGHUP applies a changed fleet file
    Run(RunArgs),
    /// The half of a node that decides: proxy, checks, plugins, HTTP. `weir run` starts it where the node has an L4 tier
    Host(HostArgs),
    /// The half of a node that has power over the network: IPVS, tunnels, addresses, BGP. `weir run` starts it
    Sidecar(SidecarArgs),
    /// Check a fleet file and bind nothing; exit code 64 if it has faults
    Check {
        /// The fleet file
        file: PathBuf,
        /// Check it as this node as well
        #[arg(long)]
        node: Option<String>,
    },
    /// What the running node is doing
    Status {
        #[command(flatten)]
        admin: AdminArgs,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Plugins: what is loaded, and what would happen to a file
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Questions to a running DNS node
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Where a connection goes, and where it would go if
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Have the running node read its fleet file, plugin directory, zones and certificates now
    Reload {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Give a server no new requests; those it has go on
    Drain(ServerArgs),
    /// Take a server out: no requests, no checks
    Maint(ServerArgs),
    /// Undo `drain` and `maint` (not what its agent or its checks say)
    Ready(ServerArgs),
    /// Weigh a server otherwise than the fleet file does, until `weight POOL/SERVER default`
    Weight {
        #[command(flatten)]
        server: ServerArgs,
        /// 0 to 256, or `default`
        weight: String,
    },
    /// Print the reference of the fleet file, or its JSON schema for editors
    Reference {
        #[arg(value_enum, default_value_t = Reference::Fleet)]
        what: Reference,
    },
    /// Print shell completions
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Compile one plugin from standard input to standard output, within limits; `weir run` starts this
    #[command(hide = true)]
    CompilePlugin,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The fleet file
    #[arg(long, env = "WEIR_FLEET", default_value = DEFAULT_FLEET)]
    pub(crate) fleet: PathBuf,
    /// Which node of the fleet this is; the host name by default
    #[arg(long, env = "WEIR_NODE")]
    pub(crate) node: Option<String>,
    /// Serve as this user of /etc/passwd, or as UID:GID; only the sidecar goes on as the user that started this
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Show what the network side should be and what it is, and change nothing (services are served)
    #[arg(long)]
    pub(crate) observe: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// End when this process does
    #[arg(long, hide = true)]
    pub(crate) supervisor: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct SidecarArgs {
    /// Where the host finds it
    #[arg(long, default_value = DEFAULT_SIDECAR_SOCKET)]
    pub(crate) socket: PathBuf,
    /// The user that the host runs as, if it is neither root nor this one
    #[arg(long)]
    pub(crate) host_uid: Option<u32>,
    /// Change nothing, report what would be changed
    #[arg(long)]
    pub(crate) observe: bool,
    /// How often the kernel is looked at while nothing happens, milliseconds
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(crate) every: u64,
    /// What is logged: error, warn, info, debug or trace
    #[arg(long, default_value = "info", value_parser = level)]
    pub(crate) log: Level,
    /// End when this process does
    #[arg(long, hide = true)]
    pub(crate) supervisor: Option<u32>,
}

fn level(word: &str) -> Result<Level, String> {
    let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    let found = levels.into_iter().find(|l| l.as_str() == word);
    found.ok_or_else(|| "one of error, warn, info, debug, trace".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// Admin socket of the running node
    #[arg(long, env = "WEIR_SOCKET", default_value = DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Which server, as POOL/SERVER
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// What each plugin of the running node is and does
    List {
        #[command(flatten)]
        admin: AdminArgs,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Load a file as `weir run` would, try it with made-up servers, say what it is
    Check {
        /// A component, or a core module for wasm32-unknown-unknown
        file: PathBuf,
        /// Its configuration
        #[arg(long, default_value = "")]
        config: String,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Load a quarantined plugin once more
    Retry {
        /// Its name in the fleet file
        name: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// Why a query is answered as it is: which zone, which policy, how its addresses stand
    Explain {
        /// The name, for example www.example.org
        name: String,
        /// The type of record, for example AAAA
        #[arg(value_name = "TYPE", default_value = "A")]
        kind: String,
        /// Who asks, for policies that look at it, for example 203.0.113.0/24
        #[arg(long)]
        subnet: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
        /// For machines
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Which l7 node gets a new connection, by the tables of all l4 nodes
    Flow(FlowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FlowArgs {
    /// The client, for example 203.0.113.7:40000
    pub(crate) source: String,
    /// The service, for example 198.51.100.1:80
    pub(crate) destination: String,
    /// The fleet file
    #[arg(long, env = "WEIR_FLEET", default_value = DEFAULT_FLEET)]
    pub(crate) fleet: PathBuf,
    /// And if this l7 node left the fleet file?
    #[arg(long, value_name = "NODE", conflicts_with_all = ["with", "drained"])]
    pub(crate) without: Option<String>,
    /// And when this l7 node joins? One of the fleet file, or the address of one that is not in it yet
    #[arg(long, value_name = "NODE", conflicts_with = "drained")]
    pub(crate) with: Option<String>,
    /// And if this l7 node took no new connections?
    #[arg(long, value_name = "NODE")]
    pub(crate) drained: Option<String>,
    /// An l7 node that takes no new connections now; may be given several times
    #[arg(long, value_name = "NODE")]
    pub(crate) out: Vec<String>,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Reference {
    /// Every field of the fleet file, as Markdown
    Fleet,
    /// JSON schema of the fleet file
    Schema,
    /// A complete, commented example
    Example,
}
