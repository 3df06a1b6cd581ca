//! The node's own log: to standard error, where systemd and every supervisor look, at the level of the fleet file.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};
use weir_core::config::Level;

/// Sets the level of a running node. `WEIR_LOG`, in the syntax of `tracing`, wins over the fleet file for as long as the process lives.
#[derive(Debug)]
pub(crate) struct LogLevel(Option<reload::Handle<EnvFilter, Registry>>);

/// Starts logging. To be called once.
pub(crate) fn start(level: Level) -> LogLevel {
    let (filter, handle) = match EnvFilter::try_from_env("WEIR_LOG") {
        Ok(filter) => (reload::Layer::new(filter).0, None),
        Err(_) => {
            let (layer, handle) = reload::Layer::new(filter(level));
            (layer, Some(handle))
        }
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A second call finds a subscriber that is there already, and that is as good.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    LogLevel(handle)
}

impl LogLevel {
    /// From now on.
    pub(crate) fn set(&self, level: Level) {
        if let Some(handle) = &self.0 {
            // The subscriber lives as long as the process, so there is something to set.
            let _ = handle.reload(filter(level));
        }
    }
}

/// Pingora reports each client that goes away as a warning or an error of its own; the access log has them.
fn filter(level: Level) -> EnvFilter {
    EnvFilter::new(format!("{},pingora_core=error,pingora_proxy=off", level.as_str()))
}
