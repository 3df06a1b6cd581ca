//! A stock hickory server: its catalog, its zone from a file, one UDP socket, one thread. What its own guide builds.
//!
//! `weir-baseline-dns ADDRESS ORIGIN ZONE-FILE`

use std::path::PathBuf;
use std::sync::Arc;

use hickory_server::Server;
use hickory_server::proto::rr::{LowerName, Name};
use hickory_server::store::file::{FileConfig, FileZoneHandler};
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use tokio::net::UdpSocket;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, origin, file] = arguments.as_slice() else {
        return Err("usage: weir-baseline-dns ADDRESS ORIGIN ZONE-FILE".into());
    };
    let origin = Name::from_utf8(origin)?.append_domain(&Name::root())?;
    let config = FileConfig { zone_path: PathBuf::from(file) };
    let zone =
        FileZoneHandler::try_from_config(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny, None, &config)?;
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone) as Arc<dyn ZoneHandler>]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut server = Server::new(catalog);
        server.register_socket(UdpSocket::bind(address).await?);
        server.block_until_done().await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}
