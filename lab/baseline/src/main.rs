//! A bare Pingora round robin: what Weir is measured against, and nothing else.
//!
//! This is what Pingora's own guide builds, with what anybody would add before taking it into use: every time limit, a pool of
//! idle connections, a line of access log for each request. It is meant to be good, not to be beaten: where you see
//! a way to make it cheaper that its guide or its users know, take it.
//!
//! `weir-baseline --listen ADDRESS --upstream ADDRESS... [--log FILE] [--threads N]`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::prelude::RoundRobin;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The same limits as Weir's defaults.
const CONNECT: Duration = Duration::from_secs(5);
const TRANSFER: Duration = Duration::from_secs(50);
const IDLE: Duration = Duration::from_secs(30);

struct Balancer {
    upstreams: LoadBalancer<RoundRobin>,
    log: Mutex<BufWriter<File>>,
}

struct Context {
    started: Instant,
    upstream: Option<std::net::SocketAddr>,
}

#[async_trait]
impl ProxyHttp for Balancer {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context { started: Instant::now(), upstream: None }
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let backend = self
            .upstreams
            .select(b"", 256)
            .ok_or_else(|| pingora_core::Error::new(pingora_core::ErrorType::HTTPStatus(503)))?;
        ctx.upstream = backend.addr.as_inet().copied();
        let mut peer = HttpPeer::new(backend, false, String::new());
        peer.options.connection_timeout = Some(CONNECT);
        peer.options.total_connection_timeout = Some(CONNECT);
        peer.options.read_timeout = Some(TRANSFER);
        peer.options.write_timeout = Some(TRANSFER);
        peer.options.idle_timeout = Some(IDLE);
        Ok(Box::new(peer))
    }

    async fn logging(&self, session: &mut Session, e: Option<&pingora_core::Error>, ctx: &mut Context) {
        let head = session.req_header();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let status = session.response_written().map_or(0, |r| r.status.as_u16());
        // A full disk must not end a request.
        let _ = write!(log, "{} ", std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros());
        if let Some(client) = session.client_addr() {
            let _ = write!(log, "{client} ");
        }
        let _ = write!(
            log,
            "{} {} {status} {} {}us",
            head.method,
            head.uri,
            session.body_bytes_sent(),
            ctx.started.elapsed().as_micros()
        );
        if let Some(upstream) = ctx.upstream {
            let _ = write!(log, " {upstream}");
        }
        let _ = if let Some(e) = e { writeln!(log, " {e}") } else { writeln!(log) };
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut listen, mut upstreams, mut log, mut threads) = (None, Vec::new(), "/dev/null".to_owned(), 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--listen" => listen = Some(value),
            "--upstream" => upstreams.push(value),
            "--log" => log = value,
            "--threads" => threads = value.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let conf = ServerConf { threads, upstream_keepalive_pool_size: 4096, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let balancer = Balancer {
        upstreams: LoadBalancer::try_from_iter(upstreams)?,
        log: Mutex::new(BufWriter::with_capacity(
            64 * 1024,
            File::options().create(true).append(true).open(log)?,
        )),
    };
    let mut service = http_proxy_service(&server.configuration, balancer);
    service.add_tcp(&listen.ok_or("--listen is missing")?);
    server.add_service(service);
    server.run_forever()
}
