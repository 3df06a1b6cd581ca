//! Instances of plugins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default;
use super::value::{PluginFile, Sha256, Size};

/// The longest configuration text of a plugin, bytes.
pub const MAX_PLUGIN_CONFIG: usize = 64 * 1024;

/// The least and most memory of a plugin: two pages of 64 KiB are what a guest with a stack needs to start, and the
/// slots of the instances end at 128 MiB, what a JavaScript engine inside a component wants.
pub const PLUGIN_MEMORY_RANGE: (Size, Size) = (Size::from_kib(128), Size::from_mib(128));

/// An instance of a plugin: a file and a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plugin {
    /// Name of a file in `paths.plugins`.
    pub file: PluginFile,
    /// Text that is given to the plugin's `configure` as it is. What it means is the plugin's affair.
    #[serde(default)]
    pub config: String,
    /// The most memory that one instance may have; there is an instance for each worker.
    #[serde(default = "memory")]
    pub memory: Size,
    /// Pin: a file with another content is refused.
    pub sha256: Option<Sha256>,
}

fn memory() -> Size {
    default::PLUGIN_MEMORY
}
