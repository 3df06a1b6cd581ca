//! SIGTERM: requests that have begun end as if nothing were, new connections are refused, the node ends well.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use crate::fleet::{Fleet, Pool};
use crate::http;
use crate::node::Node;

/// Requests in flight when the signal comes.
const IN_FLIGHT: usize = 20;

pub(super) fn run(folder: &Path) -> Result<()> {
    let servers = super::servers(&["anna", "ben"])?;
    let mut fleet = Fleet::new(folder)?;
    let address = fleet.service("web", Pool::unchecked(&servers, &[1, 1]))?;
    let node = Node::start(&fleet, folder)?;
    let waiting: Vec<_> = (0..IN_FLIGHT)
        .map(|_| std::thread::spawn(move || http::get(address, "/slow?ms=2000").map(|answer| answer.status)))
        .collect();
    node.until("all requests have reached a server", Duration::from_secs(5), |_| {
        servers.iter().map(|server| server.served()).sum::<u64>() >= IN_FLIGHT as u64
    })?;
    let status = node.stop()?;
    for request in waiting {
        let answer = request.join().map_err(|_| anyhow!("a client panicked"))?;
        ensure!(answer == Ok(200), "a request in flight at SIGTERM ended with {answer:?}");
    }
    ensure!(status.success(), "the node ended with {status}");
    ensure!(http::get(address, "/plain").is_err(), "somebody still answers on the service's port");
    Ok(())
}
