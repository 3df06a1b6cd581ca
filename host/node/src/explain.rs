//! `weir explain flow`: where a connection goes, asked of the fleet file alone, so that it can be asked anywhere and before a change.

use std::net::SocketAddr;
use std::process::ExitCode;

use weir_core::l4::{Flow, Supposition, explain};

use crate::cli::FlowArgs;
use crate::fleet::FleetFile;
use crate::{EXIT_FAULTY, print};

/// Prints the explanation of a flow. A faulty file or question ends with [`EXIT_FAULTY`].
pub(crate) fn flow(args: &FlowArgs) -> ExitCode {
    match explained(args).map(|text| print(&text)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
        Err(fault) => {
            eprintln!("{fault:#}");
            ExitCode::from(EXIT_FAULTY)
        }
    }
}

fn explained(args: &FlowArgs) -> anyhow::Result<String> {
    let file = FleetFile::read(&args.fleet)?;
    let flow = Flow { source: endpoint(&args.source)?, destination: endpoint(&args.destination)? };
    let node = |name: &Option<String>, what: fn(String) -> Supposition| name.clone().map(what);
    let supposition = node(&args.without, Supposition::Without)
        .or_else(|| node(&args.with, Supposition::With))
        .or_else(|| node(&args.drained, Supposition::Drained));
    let explanation = explain(&file.fleet, flow, &args.out, supposition.as_ref())?;
    Ok(match args.json {
        true => serde_json::to_string_pretty(&explanation)? + "\n",
        false => explanation.to_string(),
    })
}

fn endpoint(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().map_err(|_| {
        anyhow::anyhow!("`{text}` is no address with a port such as 203.0.113.7:40000 or [2001:db8::7]:40000")
    })
}
