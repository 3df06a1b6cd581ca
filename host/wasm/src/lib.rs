//! Policies as WebAssembly components: load, check, limit, call, swap, quarantine. The only crate that knows wasmtime.
//!
//! Driven by a directory of files, by the fleet file and by failures that workers report; what shall happen then is
//! decided by the pure machine [`weir_core::plugin`] and carried out here, off the threads that serve requests. Those who
//! ask see only traits of the core: [`weir_core::schedule::PolicySource`] for schedulers, [`weir_core::health::Judge`] for
//! checks, [`weir_core::dns::answer::choose::ChooserSource`] for DNS answers.
//!
//! ```text
//!  directory --> library --> hosted (one thread per instance) --> mailbox per worker --> worker: pick, 130 ns
//!                              |  ^                                                         |
//!                              v  |  core::plugin decides                                   | failures
//!                 loader: compile (child) -> check -> trial -> canary  <--------------------+
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`engine`] | settings for the lowest call cost; the ticker that deadlines hang on |
//! | [`compile`] | bytes to machine code, in a child process with limits, cached |
//! | [`bindings`] | the contract of `wit/` as Rust types |
//! | [`imports`] | what a plugin may call |
//! | [`check`] | which world a component is for, and whether this host offers what it wants |
//! | [`world`] | where the three worlds differ |
//! | [`instance`] | one plugin in one Store: limits, deadlines, failures in words |
//! | [`library`] | the plugin directory: events are hints, a scan is the truth |
//! | [`trial`] | self-test, golden cases, canary |
//! | [`hosted`] | one `[plugins.*]` instance across versions, configurations and failures |
//! | [`mod@inspect`] | `weir plugin check` |
//! | [`status`] | what an operator sees |

pub mod bindings;
pub mod check;
pub mod compile;
pub mod engine;
pub mod hosted;
pub mod imports;
pub mod inspect;
pub mod instance;
pub mod library;
mod runtime;
pub mod status;
pub mod trial;
pub mod world;

pub use compile::{Compiler, compile_child_main};
pub use hosted::{Hosted, HostedChooser, HostedJudge, HostedScheduler};
pub use inspect::{Report, inspect};
pub use library::Rules;
pub use runtime::{InstanceSpec, Runtime, RuntimeError, RuntimeOptions};
pub use status::{CustomMetric, CustomValue, Kind, PluginStatus, SelfTest, VersionStatus};

/// Has the calling thread, and on Linux only that, give way to those that serve requests: where every core is busy, a
/// new version may take longer and must not make requests wait. 10 is a tenth of a serving thread's share, so it is never starved.
pub(crate) fn give_way() {
    // A thread that cannot be made to give way does its work all the same.
    let _ = rustix::process::nice(10);
}

/// SHA-256 of these bytes.
pub(crate) fn digest(bytes: &[u8]) -> weir_core::plugin::Digest {
    use sha2::Digest as _;
    weir_core::plugin::Digest(sha2::Sha256::digest(bytes).into())
}
