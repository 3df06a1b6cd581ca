//! Numbers for the operator: `metrics` of `wit/host.wit`. The host adds up what all instances report.

#[cfg(target_arch = "wasm32")]
use crate::bindings::weir::policy::metrics as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::harness::fake as host;

/// A number that grows, shown as `weir_plugin_custom_total{plugin, name}`.
#[derive(Debug, Clone, Copy)]
pub struct Counter(u32);

impl Counter {
    /// Registers a counter, or finds the one of this name: `[a-z][a-z0-9_]*`, at most 64 bytes. To be called from
    /// `configure`. A plugin has at most 64 metrics; one over that counts nothing.
    pub fn new(name: &str) -> Self {
        Self(host::counter(name))
    }

    /// Adds to it; about 42 ns.
    pub fn add(self, by: u64) {
        host::add(self.0, by);
    }
}

/// A number that goes up and down, shown as `weir_plugin_custom_gauge{plugin, name}`.
#[derive(Debug, Clone, Copy)]
pub struct Gauge(u32);

impl Gauge {
    /// Registers a gauge, or finds the one of this name. Limits as for [`Counter::new`].
    pub fn new(name: &str) -> Self {
        Self(host::gauge(name))
    }

    /// Sets it. The last value that any instance set is shown.
    pub fn set(self, value: f64) {
        host::set(self.0, value);
    }
}
