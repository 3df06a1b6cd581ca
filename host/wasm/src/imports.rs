//! What a plugin may call: `log`, `metrics`, `env` and `load` of `wit/`, and nothing else.
//!
//! Everything here runs inside a guest's call, so nothing here blocks: what a Store needs it owns ([`Host`]), what all
//! instances of a plugin share is atomic ([`Meters`]) or tried and given up ([`Voice`]).

mod meters;
mod voice;

pub use meters::{MAX_METRICS, Meters};
pub(crate) use voice::escaped;
pub use voice::{MAX_LINE, Voice};

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{HasSelf, Linker};
use weir_core::model::Server;

use crate::bindings::{AgentCheck, DnsAnswers, Scheduler, env, load, log, metrics, types};
use crate::imports::meters::Handle;
use crate::instance::{Limits, Watch};
use crate::status::Kind;

/// What is in the Store of one instance.
#[derive(Debug)]
pub struct Host {
    /// The servers of a scheduler's last `update`; `load` reads their counters.
    pub(crate) servers: Arc<[Server]>,
    pub(crate) limits: Limits,
    pub(crate) watch: Watch,
    voice: Arc<Voice>,
    meters: Arc<Meters>,
    handles: Vec<Handle>,
    born: Instant,
    random: u64,
}

impl Host {
    /// The host's side of a new instance that may have this much memory.
    pub fn new(memory: usize, voice: Arc<Voice>, meters: Arc<Meters>) -> Self {
        Self {
            servers: Arc::new([]),
            limits: Limits::new(memory),
            watch: Watch::default(),
            voice,
            meters,
            handles: Vec::new(),
            born: Instant::now(),
            // Seeded by the operating system; good for choosing and no good for keys, as the contract says.
            random: RandomState::new().hash_one(0u8),
        }
    }

    fn server(&self, index: u32) -> Option<&Server> {
        self.servers.get(usize::try_from(index).ok()?)
    }

    fn register(&mut self, handle: Option<Handle>) -> u32 {
        // One past the last is a handle that ignores.
        let Some(handle) = handle else { return u32::MAX };
        // Registering again finds the same cell; a guest that does so for ever gets no more handles.
        if self.handles.len() >= 4 * MAX_METRICS {
            return u32::MAX;
        }
        self.handles.push(handle);
        u32::try_from(self.handles.len() - 1).unwrap_or(u32::MAX)
    }

    fn handle(&self, handle: u32) -> Option<&Handle> {
        self.handles.get(usize::try_from(handle).ok()?)
    }
}

impl types::Host for Host {}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        self.voice.say(level, &message);
    }
}

impl metrics::Host for Host {
    fn counter(&mut self, name: String) -> u32 {
        let handle = self.meters.counter(&name);
        self.register(handle)
    }

    fn add(&mut self, counter: u32, by: u64) {
        if let Some(handle) = self.handle(counter) {
            handle.add(by);
        }
    }

    fn gauge(&mut self, name: String) -> u32 {
        let handle = self.meters.gauge(&name);
        self.register(handle)
    }

    fn set(&mut self, gauge: u32, value: f64) {
        if let Some(handle) = self.handle(gauge) {
            handle.set(value);
        }
    }
}

impl env::Host for Host {
    fn monotonic_ms(&mut self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random(&mut self) -> u64 {
        // SplitMix64: passes BigCrush, one multiplication chain, any seed will do.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl load::Host for Host {
    fn in_flight(&mut self, server: u32) -> u32 {
        self.server(server).map_or(0, |s| s.load.in_flight())
    }

    fn in_flight_pair(&mut self, a: u32, b: u32) -> (u32, u32) {
        (self.in_flight(a), self.in_flight(b))
    }

    fn in_flight_all(&mut self) -> Vec<u32> {
        self.servers.iter().map(|s| s.load.in_flight()).collect()
    }

    fn latency_us(&mut self, server: u32) -> u32 {
        self.server(server).map_or(0, |s| s.load.latency_micros())
    }

    fn latency_us_all(&mut self) -> Vec<u32> {
        self.servers.iter().map(|s| s.load.latency_micros()).collect()
    }
}

/// Everything that a plugin of this world may import.
pub(crate) fn linker(engine: &wasmtime::Engine, kind: Kind) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    match kind {
        Kind::Scheduler => Scheduler::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
        Kind::AgentCheck => AgentCheck::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
        Kind::DnsAnswers => DnsAnswers::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
    }
    Ok(linker)
}
