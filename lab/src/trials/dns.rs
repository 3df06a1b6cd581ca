//! A DNS node on loopback, asked what others have asked servers before, and compared with three of them.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use crate::dns::exchange::{Client, PATIENCE};
use crate::dns::query::{ask, kind};
use crate::dns::{differ, foreign, probes};
use crate::fleet::{Dns, Fleet, free_address};
use crate::node::Node;

/// Cases of the comparison, in `cargo lab test`; `cargo lab differ --cases N` for more.
const CASES: usize = 6000;
const SEED: u64 = 1;

pub(super) fn run(folder: &Path) -> Result<()> {
    let asked = probed(folder)?;
    println!("  probes    {asked} questions over UDP and TCP, each answered as it must be");
    let foreign = encrypted(&folder.join("encrypted"))?;
    println!(
        "  encrypted {foreign} queries of dig and kdig over TLS, HTTPS and QUIC, each answered as it must be"
    );
    let compared = differ::run(&differ::Wish { cases: CASES, seed: SEED, built: true }, folder)?;
    println!("  compared  {}", compared.text);
    Ok(())
}

fn probed(folder: &Path) -> Result<usize> {
    let mut dns = Dns::new(folder)?;
    dns.identity = probes::IDENTITY.into();
    dns.version = probes::VERSION.into();
    dns.zone("example.org", probes::ZONE)?;
    // The second takes all addresses of both families.
    let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), free_address()?.port());
    dns.listen.push(everywhere);
    let server = dns.server();
    let node = Node::start(&Fleet::new(folder)?.answering(dns), folder)?;
    let mut count = probes::run(server)?;
    // A connected socket hears nobody but whom it asked.
    for address in ["127.0.0.2", "127.0.0.3", "::1"] {
        let asked = SocketAddr::new(address.parse()?, everywhere.port());
        let answer = Client::of(asked)?.exchange(&ask("ns1.example.org", kind::A), PATIENCE)?;
        answer.with_context(|| format!("{asked} was asked and did not answer"))?;
        count += 1;
    }
    let ended = node.stop()?;
    anyhow::ensure!(ended.success(), "the node ended with {ended}");
    Ok(count)
}

/// The same node as others' clients see it over encrypted transports.
fn encrypted(folder: &Path) -> Result<usize> {
    std::fs::create_dir_all(folder)?;
    let programs = foreign::Programs::get()?;
    let tls = programs.certificate(folder, [free_address()?, free_address()?, free_address()?])?;
    let mut dns = Dns::new(folder)?;
    dns.tls = Some(tls.clone());
    dns.zone("example.org", "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\nwww A 192.0.2.1\n")?;
    let node = Node::start(&Fleet::new(folder)?.answering(dns), folder)?;
    let count = programs.ask("www.example.org", &tls, &folder.join("clients.log"))?;
    let ended = node.stop()?;
    anyhow::ensure!(ended.success(), "the node ended with {ended}");
    Ok(count)
}
