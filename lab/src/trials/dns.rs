//! A DNS node on loopback, asked what others have asked servers before, and compared with three of them.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use crate::dns::exchange::{Client, PATIENCE};
use crate::dns::query::{ask, kind};
use crate::dns::{differ, probes};
use crate::fleet::{Dns, Fleet};
use crate::node::Node;

/// Cases of the comparison, in `cargo lab test`; `cargo lab differ --cases N` for more.
const CASES: usize = 6000;
const SEED: u64 = 1;

pub(super) fn run(folder: &Path) -> Result<()> {
    let asked = probed(folder)?;
    println!("  probes    {asked} questions over UDP and TCP, each answered as it must be");
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
    let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), crate::fleet::free_dns()?.port());
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
