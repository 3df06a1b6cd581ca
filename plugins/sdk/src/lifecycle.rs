//! What is the same for every kind of plugin: who it is, and its configuration.

pub use crate::bindings::weir::policy::types::{ConfigError, Description, Label, State};

/// What every plugin does: `lifecycle` of `wit/types.wit`.
pub trait Plugin: Sized + 'static {
    /// Who this is. [`describe!`](crate::describe) takes it from the manifest.
    fn describe() -> Description;

    /// A new instance with the operator's text, verbatim; the empty text must do something sensible. [`Config`](crate::Config)
    /// reads `key = value` lines. It may take 1 s of CPU time.
    ///
    /// # Errors
    /// The text is not in the form that this plugin reads, or a value is out of range. The host shows what the error says
    /// and goes on with what it has.
    fn configure(config: &str) -> Result<Self, ConfigError>;
}

/// The [`Description`] of a plugin by its manifest: name, version and description of the package.
#[macro_export]
macro_rules! describe {
    () => {
        $crate::Description {
            name: ::core::env!("CARGO_PKG_NAME").into(),
            version: ::core::env!("CARGO_PKG_VERSION").into(),
            summary: ::core::env!("CARGO_PKG_DESCRIPTION").into(),
        }
    };
}

impl State {
    /// Whether it takes new work.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up)
    }
}
