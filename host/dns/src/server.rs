//! The server: threads that answer, and what they answer from.

mod encrypted;

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;
use weir_core::dns::answer::{Responder, Transport};
use weir_core::dns::policy::Table;
use weir_core::dns::ratelimit::{Limiter, Limits};
use weir_core::dns::zone::Zones;

use crate::answerer::Answerer;
use crate::certificate::Certificate;
use crate::listen::{self, Sockets};
use crate::query_log::QueryLog;
use crate::stats::{Shown, Stats};
use crate::tcp::{self, Speech};
use crate::thread::{Limits as ConnectionLimits, Thread};
use crate::udp;
use encrypted::Bound;
pub use encrypted::Encrypted;

/// What is answered from, but for the states of addresses: immutable, swapped whole.
#[derive(Debug, Default)]
pub struct Serving {
    /// The zones.
    pub zones: Zones,
    /// How the server presents itself.
    pub responder: Responder,
    /// How many answers over UDP one client network may have from the whole server.
    pub limits: Limits,
}

/// How a server is made. None of it can be changed later.
#[derive(Debug)]
pub struct Options {
    /// Addresses for UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP threads for each address.
    pub threads: usize,
    /// TCP connections at a time, and over each encrypted transport as many again.
    pub connections: usize,
    /// How long a connection without a query is kept.
    pub idle: Duration,
    /// What is listened to over TLS, HTTPS and QUIC; `None` is nothing.
    pub encrypted: Option<Encrypted>,
    /// Where queries are logged; `None` is nowhere.
    pub log: Option<QueryLog>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened to.
    #[error("{field}: cannot listen on {address}: {cause} (is another program there?)")]
    Listen {
        /// Where it is written.
        field: &'static str,
        /// Which.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// TLS cannot be had with these options, or without random numbers.
    #[error("dns.tls: {0}")]
    Tls(#[from] rustls::Error),
    /// A thread or random numbers cannot be had. The machine is at fault.
    #[error("cannot start the DNS server: {0}")]
    System(#[from] io::Error),
}

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) serving: ArcSwap<Serving>,
    pub(crate) table: ArcSwap<Table>,
    /// With the limits of `serving`.
    pub(crate) limiter: ArcSwap<Limiter>,
    pub(crate) log: Option<QueryLog>,
    pub(crate) origin: Instant,
}

impl Shared {
    /// Zones and a table that has every policy that they name, for whoever had these zones before. In a test something happens `meanwhile`.
    pub(crate) fn together(
        &self,
        before: &Arc<Serving>,
        meanwhile: impl FnOnce(),
    ) -> (Guard<Arc<Serving>>, Guard<Arc<Table>>) {
        // A policy is taken out after the zones that name it: these are no older than a table that lacks it.
        let table = self.table.load();
        meanwhile();
        let serving = self.serving.load();
        // And it is put in before the zones that name it: a table behind them has it.
        let table = if Arc::ptr_eq(&serving, before) { table } else { self.table.load() };
        (serving, table)
    }
}

/// Where tables are published.
#[derive(Clone)]
pub struct Tables(Arc<Shared>);

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl Tables {
    /// The addresses of policies stand so, from the next batch of queries on.
    pub fn publish(&self, table: Table) {
        self.0.table.store(Arc::new(table));
    }
}

/// A server with open sockets. Dropping it stops it.
pub struct Server {
    shared: Arc<Shared>,
    sockets: Vec<Sockets>,
    listening: Vec<SocketAddr>,
    limits: ConnectionLimits,
    encrypted: Bound,
    counters: Vec<Arc<Shown>>,
    stop: Arc<AtomicBool>,
    /// One for each thread with an event loop.
    stop_loops: Vec<Arc<Notify>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listening", &self.listening).finish_non_exhaustive()
    }
}

impl Options {
    /// How many threads a server with these options has that answer; each has a number below that, under which it asks plugins for
    /// their instances.
    pub fn workers(&self) -> usize {
        let encrypted = self.encrypted.as_ref().map_or(0, Encrypted::transports);
        self.listen.len().saturating_mul(self.threads.max(1)).saturating_add(1 + encrypted)
    }
}

impl Server {
    /// Opens the sockets. Queries wait in them until [`Server::run`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(options: Options, serving: Serving) -> Result<Self, StartError> {
        let open = |address: &SocketAddr| {
            listen::open(*address, options.threads).map_err(|cause| StartError::Listen {
                field: "dns.listen",
                address: *address,
                cause,
            })
        };
        let sockets: Vec<Sockets> = options.listen.iter().map(open).collect::<Result<_, _>>()?;
        for socket in sockets.iter().flat_map(|s| &s.udp) {
            udp::prepare(socket, udp::LOOK_UP)?;
        }
        let limits = ConnectionLimits {
            connections: options.connections,
            idle: options.idle,
            handshake: options.encrypted.as_ref().map_or(options.idle, |encrypted| encrypted.handshake),
        };
        let encrypted = options.encrypted.map(|encrypted| encrypted.bind(limits)).transpose()?;
        let listening = sockets.iter().map(|s| s.tcp.local_addr()).collect::<io::Result<_>>()?;
        let shared = Shared {
            limiter: ArcSwap::from_pointee(Limiter::new(serving.limits, random()?)),
            serving: ArcSwap::from_pointee(serving),
            table: ArcSwap::from_pointee(Table::default()),
            log: options.log,
            origin: Instant::now(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            sockets,
            listening,
            limits,
            encrypted: encrypted.unwrap_or_default(),
            counters: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            stop_loops: Vec::new(),
            threads: Vec::new(),
        })
    }

    /// Starts to answer.
    ///
    /// # Errors
    /// Where the machine gives no thread or no random numbers.
    pub fn run(&mut self) -> Result<(), StartError> {
        let mut listeners = Vec::new();
        for sockets in std::mem::take(&mut self.sockets) {
            listeners.push(sockets.tcp);
            for socket in sockets.udp {
                let answerer = self.answerer()?;
                let stop = Arc::clone(&self.stop);
                let name = format!("dns udp {}", self.threads.len());
                let thread = Builder::new().name(name).spawn(move || udp::run(&socket, answerer, &stop))?;
                self.threads.push(thread);
            }
        }
        self.spawn("dns tcp", Transport::Tcp, move |thread, stop| async move {
            tcp::run(listeners, thread, Speech::Messages, &stop).await;
        })?;
        self.run_encrypted()
    }

    /// Starts a thread with an event loop, in which this runs until it is told to stop.
    fn spawn<F: Future<Output = ()>>(
        &mut self,
        name: &str,
        transport: Transport,
        run: impl FnOnce(Rc<Thread>, Arc<Notify>) -> F + Send + 'static,
    ) -> Result<(), StartError> {
        let (answerer, limits) = (self.answerer()?, self.limits);
        let stop = Arc::new(Notify::new());
        self.stop_loops.push(Arc::clone(&stop));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let run = move || runtime.block_on(run(Thread::new(transport, answerer, limits), stop));
        self.threads.push(Builder::new().name(name.into()).spawn(run)?);
        Ok(())
    }

    fn answerer(&mut self) -> io::Result<Answerer> {
        let seed = u64::from_le_bytes(random()?);
        let shown = Shown::new();
        self.counters.push(Arc::clone(&shown));
        Ok(Answerer::new(&self.shared, self.counters.len() - 1, shown, seed))
    }

    /// The addresses that are listened to, with the ports that were free where the options had 0.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// What is listened to beside them: transports with their addresses.
    pub fn listening_encrypted(&self) -> &[(Transport, SocketAddr)] {
        self.encrypted.listening()
    }

    /// Shows this certificate from the next connection on. Without an encrypted transport nobody sees it.
    pub fn set_certificate(&self, certificate: Certificate) {
        self.encrypted.set_certificate(certificate);
    }

    /// What is answered from now.
    pub fn serving(&self) -> Arc<Serving> {
        self.shared.serving.load_full()
    }

    /// Answers from this, from the next batch of queries on. Tables with the policies that its zones name are to be published before,
    /// and such as lack those of the zones before it after.
    pub fn set_serving(&self, serving: Serving) {
        let limiter = self.shared.limiter.load();
        if limiter.limits() != serving.limits {
            self.shared.limiter.store(Arc::new(limiter.with(serving.limits)));
        }
        self.shared.serving.store(Arc::new(serving));
    }

    /// How the addresses of policies stand.
    pub fn table(&self) -> Arc<Table> {
        self.shared.table.load_full()
    }

    /// For whoever knows how addresses stand.
    pub fn tables(&self) -> Tables {
        Tables(Arc::clone(&self.shared))
    }

    /// What was counted since the start.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.counters.iter().for_each(|shown| stats.add(shown.get()));
        stats
    }

    /// Opens the file of the query log again.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.shared.log {
            log.reopen();
        }
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stop_loops.iter().for_each(|stop| stop.notify_one());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the DNS server panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_core::config;
    use weir_core::dns::name::Name;
    use weir_core::dns::policy::{Candidate, Policy, StateFile};
    use weir_core::dns::zonefile;

    use super::*;

    /// A zone whose `www` has this address, without limits or with so many answers at once.
    fn serving(address: &str, at_once: u32) -> Serving {
        let text = format!("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\nwww A {address}\n");
        let mut include = |path: &str, _: &str| Err(format!("no {path} here"));
        let zone = zonefile::read(&Name::parse("a.test").unwrap(), "a.test", text.as_bytes(), &mut include);
        let limits = Limits { per_second: at_once, burst: 1, slip: 0, ..Limits::default() };
        Serving { zones: Zones::new([zone.unwrap()]).unwrap(), responder: Responder::default(), limits }
    }

    fn options() -> Options {
        Options {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            threads: 1,
            connections: 1,
            idle: Duration::from_secs(1),
            encrypted: None,
            log: None,
        }
    }

    /// The answer to the question for the address of `www`.
    fn ask(answerer: &mut Answerer) -> Vec<u8> {
        let message = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x03www\x01a\x04test\0\0\x01\0\x01";
        let mut out = Vec::new();
        answerer.answer(message, "192.0.2.9:53".parse().unwrap(), Transport::Udp, &mut out);
        out
    }

    #[test]
    fn a_network_has_one_limit_at_all_threads_together_and_all_of_it_at_one() {
        for ways in [[20, 0], [0, 20], [10, 10], [3, 17]] {
            let two = Options { threads: 2, ..options() };
            let mut server = Server::bind(two, serving("192.0.2.1", 5)).unwrap();
            let mut answerers = [server.answerer().unwrap(), server.answerer().unwrap()];
            let given = |answerers: &mut [Answerer; 2]| {
                let asked = answerers.iter_mut().zip(ways).flat_map(|(answerer, count)| {
                    answerer.begin();
                    (0..count).map(|_| usize::from(!ask(answerer).is_empty())).collect::<Vec<_>>()
                });
                asked.sum::<usize>()
            };
            let began = Instant::now();
            // A fifth of a second later one more is due.
            let due = || usize::try_from(began.elapsed().as_millis() / 200 + 1).unwrap();
            let first = given(&mut answerers);
            assert!((5..=5 + due()).contains(&first), "{ways:?}: {first}");
            // Zones that are others under the same limits are no way around.
            server.set_serving(serving("192.0.2.2", 5));
            let both = first + given(&mut answerers);
            assert!(both <= 5 + due(), "{ways:?}: {both}");
            server.set_serving(serving("192.0.2.2", 10));
            assert!((10..=10 + 2 * due()).contains(&given(&mut answerers)), "{ways:?}");
        }
    }

    /// A zone whose `www` is decided by a policy of this name.
    fn deciding(policy: &str) -> Serving {
        let text = format!(
            "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\nwww A 192.0.2.1\n_policy.www TXT \"{policy}\"\n"
        );
        let mut include = |path: &str, _: &str| Err(format!("no {path} here"));
        let zone = zonefile::read(&Name::parse("a.test").unwrap(), "a.test", text.as_bytes(), &mut include);
        let limits = Limits { per_second: 0, ..Limits::default() };
        Serving { zones: Zones::new([zone.unwrap()]).unwrap(), responder: Responder::default(), limits }
    }

    /// Policies of these names, each with the address 198.51.100.1.
    fn table(names: &[&str]) -> Table {
        let text = "version = 1\n[nodes.n]\nroles = [\"dns\"]\n[dns.policies.p]\naddresses = [{ address = \"198.51.100.1\" }]\n";
        let fleet = config::parse("fleet.toml", text).unwrap();
        let config = fleet.dns.policies.values().next().unwrap();
        let policy = |name: &&str| {
            let known = StateFile::default();
            let candidates =
                config.addresses.iter().map(|a| Candidate::new(config, a, None, &known)).collect();
            Arc::new(Policy::new((*name).into(), config, candidates, None))
        };
        Table::new(names.iter().map(policy))
    }

    #[test]
    fn a_zone_is_never_seen_without_the_policy_that_it_names() {
        for (began, ended) in (0..=3).flat_map(|began| (began..=3).map(move |ended| (began, ended))) {
            let server = Server::bind(options(), deciding("old")).unwrap();
            let step = |number| match number {
                0 => server.tables().publish(table(&["old", "new"])),
                1 => server.set_serving(deciding("new")),
                _ => server.tables().publish(table(&["new"])),
            };
            server.tables().publish(table(&["old"]));
            let before = server.serving();
            (0..began).for_each(step);
            let (serving, table) = server.shared.together(&before, || (began..ended).for_each(step));
            let mut named = serving.zones.iter().flat_map(|zone| zone.policies());
            assert!(named.all(|record| table.find(&record.policy).is_some()), "{began} {ended}");
        }
    }

    #[test]
    fn a_message_that_comes_again_is_limited_like_any_other_and_answered_from_the_zones_of_now() {
        let mut server = Server::bind(options(), serving("192.0.2.1", 5)).unwrap();
        let mut answerer = server.answerer().unwrap();
        answerer.begin();
        let answers: Vec<_> = (0..20).map(|_| ask(&mut answerer)).filter(|out| !out.is_empty()).collect();
        assert_eq!(answers.len(), 5);
        assert!(answers.iter().all(|out| out.ends_with(&[192, 0, 2, 1])));
        server.set_serving(serving("192.0.2.2", 0));
        answerer.begin();
        assert!((0..5).map(|_| ask(&mut answerer)).all(|out| out.ends_with(&[192, 0, 2, 2])));
    }
}
