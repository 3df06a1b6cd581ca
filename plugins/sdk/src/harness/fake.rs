//! The host that natively compiled plugins have: one for each thread, so that tests do not see each other's.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Line;
use crate::log::Level;
use crate::random::Random;
use crate::scheduler::Load;

/// Everything that a plugin can read or write.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) lines: Vec<Line>,
    pub(super) counters: BTreeMap<String, u64>,
    pub(super) gauges: BTreeMap<String, f64>,
    /// Names of metrics; a handle is an index into it.
    names: Vec<String>,
    pub(super) in_flight: Vec<u32>,
    pub(super) latency_us: Vec<u32>,
    pub(super) now_ms: u64,
    pub(super) random: Random,
}

impl Host {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            lines: Vec::new(),
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
            names: Vec::new(),
            in_flight: Vec::new(),
            latency_us: Vec::new(),
            now_ms: 0,
            random: Random::from_seed(seed),
        }
    }

    fn handle(&mut self, name: &str) -> u32 {
        let at = self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn name(&self, handle: u32) -> Option<&String> {
        self.names.get(handle as usize)
    }
}

thread_local! {
    static HOST: RefCell<Host> = const { RefCell::new(Host::new(0)) };
}

/// Reads or changes this thread's host.
pub(super) fn with<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(f)
}

pub(crate) fn write(level: Level, message: &str) {
    with(|host| host.lines.push(Line { level, text: message.to_owned() }));
}

pub(crate) fn counter(name: &str) -> u32 {
    with(|host| {
        host.counters.entry(name.to_owned()).or_default();
        host.handle(name)
    })
}

pub(crate) fn add(counter: u32, by: u64) {
    with(|host| {
        let Some(name) = host.name(counter).cloned() else { return };
        if let Some(value) = host.counters.get_mut(&name) {
            *value = value.saturating_add(by);
        }
    });
}

pub(crate) fn gauge(name: &str) -> u32 {
    with(|host| {
        host.gauges.entry(name.to_owned()).or_default();
        host.handle(name)
    })
}

pub(crate) fn set(gauge: u32, value: f64) {
    with(|host| {
        let Some(name) = host.name(gauge).cloned() else { return };
        if let Some(old) = host.gauges.get_mut(&name) {
            *old = value;
        }
    });
}

pub(crate) fn monotonic_ms() -> u64 {
    with(|host| host.now_ms)
}

pub(crate) fn random() -> u64 {
    with(|host| host.random.bits())
}

/// The loads of this thread's host.
#[derive(Debug)]
pub(crate) struct HostLoad;

impl Load for HostLoad {
    fn in_flight(&self, server: u32) -> u32 {
        with(|host| host.in_flight.get(server as usize).copied().unwrap_or_default())
    }

    fn in_flight_all(&self) -> Vec<u32> {
        with(|host| host.in_flight.clone())
    }

    fn latency_us(&self, server: u32) -> u32 {
        with(|host| host.latency_us.get(server as usize).copied().unwrap_or_default())
    }

    fn latency_us_all(&self) -> Vec<u32> {
        with(|host| host.latency_us.clone())
    }
}
