//! A coarse clock and randomness: `env` of `wit/host.wit`. There is no time of day.

#[cfg(target_arch = "wasm32")]
use crate::bindings::weir::policy::env as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::harness::fake as host;

/// Milliseconds since an arbitrary moment before this instance was made. Never goes back.
pub fn monotonic_ms() -> u64 {
    host::monotonic_ms()
}

/// 64 random bits from the host; about 42 ns. Good for choosing and no good for keys. For many of them take
/// [`Random`](crate::Random), which asks once.
pub fn random() -> u64 {
    host::random()
}
