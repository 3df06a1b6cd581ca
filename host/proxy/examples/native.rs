//! Native round robin and nothing around it, to measure what a request costs: compare with `weir-baseline`.
//!
//! `native PORT LOGFILE SERVER...`: one shard, access log on.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_core::model::{Load, Server, State};
use weir_core::schedule::{Plan, View};
use weir_proxy::{AccessLog, Options, Pool, PoolSettings, Service, ServiceTable, Shards};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("which port?")?.parse()?;
    let log = arguments.next().ok_or("which log?")?;
    let addresses: Vec<SocketAddr> = arguments.map(|a| a.parse()).collect::<Result<_, _>>()?;
    let servers: Arc<[Server]> = (0u32..)
        .zip(addresses)
        .map(|(id, address)| Server {
            id,
            name: format!("web{id}").into(),
            address,
            state: State::Up,
            weight: 1,
            max_in_flight: None,
            labels: Arc::new([]),
            load: Load::new(1),
        })
        .collect();
    let view = View::new(1, 1, servers, Plan::Fallback);
    let pool = Pool::new("web", 1, PoolSettings::default(), None, view);
    let services = ServiceTable::new(vec![Service::new("web", vec![([0; 4], port).into()], pool)])?;
    let options =
        Options { ports: vec![port], access_log: Some(AccessLog::to_file(log)?), ..Options::default() };
    let _shards = Shards::start(options, services)?;
    loop {
        std::thread::park();
    }
}
