//! Lines for the operator, in the host's own log with the plugin's name: `log` of `wit/host.wit`.
//!
//! ```
//! weir_plugin::log::info!("table of {} rows", 65_537);
//! ```
//!
//! Lines are cut at 1 KiB and each plugin may write 10 of them a second. Not for `pick`: a line costs more than the rest
//! of the call.

pub use crate::bindings::weir::policy::log::Level;
#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

#[cfg(target_arch = "wasm32")]
use crate::bindings::weir::policy::log as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::harness::fake as host;

/// Writes a line.
pub fn write(level: Level, message: &str) {
    host::write(level, message);
}

/// Writes a line of level `debug`; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($arg)*)) };
}

/// Writes a line of level `info`; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($arg)*)) };
}

/// Writes a line of level `warn`; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($arg)*)) };
}

/// Writes a line of level `error`; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($arg)*)) };
}
