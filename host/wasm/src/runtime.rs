//! Everything that plugins share: one engine, one ticker, one compiler, one watched directory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::compile::{Compiler, Workshop};
use crate::engine::{Engines, PLUGINS};
use crate::hosted::kept::Shelves;
use crate::hosted::{Hosted, HostedChooser, HostedJudge, HostedScheduler, Shown};
use crate::library::{Library, Rules};
use crate::status::PluginStatus;

/// How plugins are run on this node.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// `paths.state` of the fleet file. `cache/` (compiled code) and `plugins/` (last good versions) are made in it, 0700.
    pub state_dir: PathBuf,
    /// `paths.plugins` of the fleet file. It need not exist yet.
    pub plugin_dir: PathBuf,
    /// How many workers ask [`weir_core::schedule::PolicySource::instance`], at least 1.
    pub workers: usize,
    /// How many plugins there is room for, at least 32. One more is tried again and again, until another one goes.
    pub plugins: usize,
    /// Where untrusted bytes become machine code.
    pub compiler: Compiler,
    /// What files are accepted from the directory.
    pub rules: Rules,
}

impl RuntimeOptions {
    /// The defaults that suit a node.
    pub fn new(state_dir: PathBuf, plugin_dir: PathBuf, workers: usize, compiler: Compiler) -> Self {
        let workers = workers.max(1);
        Self { state_dir, plugin_dir, workers, plugins: PLUGINS, compiler, rules: Rules::default() }
    }
}

/// What an `[plugins.*]` table of the fleet file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSpec {
    /// A file name in the plugin directory, without any `/`.
    pub file: String,
    /// Verbatim text for `configure`.
    pub config: String,
    /// Linear memory that each instance may have, bytes. [`InstanceSpec::MEMORY`] is the default, the pool's slots
    /// end at [`InstanceSpec::MEMORY_MAX`].
    pub memory: usize,
    /// Accept only this content, hex.
    pub sha256: Option<String>,
}

impl InstanceSpec {
    /// Default memory limit: 16 MiB, a hundred times what the plugins of this repository use.
    pub const MEMORY: usize = 16 << 20;
    /// The largest memory limit: 128 MiB, what a JavaScript engine inside a component wants.
    pub const MEMORY_MAX: usize = 128 << 20;

    /// This file with everything else as by default.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), config: String::new(), memory: Self::MEMORY, sha256: None }
    }
}

/// Why there is no [`Runtime`].
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine does not work on this machine.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// A directory under `paths.state` cannot be used; the operator has to look at it.
    #[error("the state directory cannot be used: {0}")]
    State(#[from] crate::compile::CacheError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Runs the plugins of a node. Threads: the ticker, the watcher of the directory, and one for each instance.
pub struct Runtime {
    shared: Arc<Shared>,
    library: Library,
    hosted: Mutex<Vec<Weak<dyn Shown>>>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("shared", &self.shared)
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}

/// What every instance needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engines: Engines,
    pub(crate) workshop: Workshop,
    pub(crate) workers: usize,
    pub(crate) shelves: Shelves,
}

impl Runtime {
    /// Starts the engine and watches the directory.
    ///
    /// # Errors
    /// Where the engine, a directory under `state_dir` or a thread cannot be had. A plugin directory that is missing or
    /// unsafe is no error: it is in the status of every instance, and watched until it is good.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let engines = Engines::start(options.workers, options.plugins)?;
        let workshop = Workshop::new(&engines, options.compiler, &options.state_dir.join("cache"))?;
        let shared = Shared {
            engines,
            workshop,
            workers: options.workers.max(1),
            shelves: Shelves::new(&options.state_dir),
        };
        let library = Library::watch(options.plugin_dir, options.rules)?;
        Ok(Self { shared: Arc::new(shared), library, hosted: Mutex::default() })
    }

    /// Starts an instance of a scheduler, under its name in the fleet file. Returns at once: loading goes on behind it,
    /// and pools use their native round robin until `on_change` was called. `on_change` is called from the instance's own thread
    /// whenever [`weir_core::schedule::PolicySource::plan`] may answer otherwise than before: it should wake whoever makes plans
    /// and the workers, and not call `plan` itself.
    ///
    /// Dropping the last `Arc` unloads it. That waits for nothing: the thread ends when what it does now is done, and
    /// `on_change` is not called any more, except where the call has begun. Another instance of the same name can be
    /// started at once; what is kept on disk is its own from then on.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn scheduler(
        &self,
        name: &str,
        spec: InstanceSpec,
        on_change: impl Fn() + Send + Sync + 'static,
    ) -> Result<Arc<HostedScheduler>, RuntimeError> {
        let hosted: Arc<HostedScheduler> = Hosted::start(
            name,
            spec,
            self.shared.workers,
            Arc::clone(&self.shared),
            self.library.subscribe(),
            Box::new(on_change),
        )?;
        self.show(&hosted);
        Ok(hosted)
    }

    /// Starts a judge of health checks and agent lines, with a thread of its own. As [`Runtime::scheduler`] otherwise; until
    /// something is loaded it answers [`weir_core::health::Judgement::Nobody`].
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn judge(
        &self,
        name: &str,
        spec: InstanceSpec,
        on_change: impl Fn() + Send + Sync + 'static,
    ) -> Result<Arc<HostedJudge>, RuntimeError> {
        let (shared, subscription) = (Arc::clone(&self.shared), self.library.subscribe());
        let hosted = HostedJudge::start(name, spec, shared, subscription, Box::new(on_change))?;
        self.show(&hosted);
        Ok(hosted)
    }

    /// Starts a chooser of addresses for this many DNS workers, which ask
    /// [`weir_core::dns::answer::choose::ChooserSource::instance`] with numbers below it. As [`Runtime::scheduler`] otherwise;
    /// `on_change` should wake the workers, so that they let go of what is old.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn chooser(
        &self,
        name: &str,
        spec: InstanceSpec,
        workers: usize,
        on_change: impl Fn() + Send + Sync + 'static,
    ) -> Result<Arc<HostedChooser>, RuntimeError> {
        let (shared, subscription) = (Arc::clone(&self.shared), self.library.subscribe());
        let hosted = Hosted::start(name, spec, workers, shared, subscription, Box::new(on_change))?;
        self.show(&hosted);
        Ok(hosted)
    }

    /// Has it in [`Runtime::status`] for as long as it lives.
    fn show<T: Shown + 'static>(&self, hosted: &Arc<T>) {
        let hosted = Arc::downgrade(hosted);
        let mut all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|h| h.strong_count() > 0);
        all.push(hosted);
    }

    /// Looks at the directory now, as on SIGHUP. Returns when every file was looked at; what follows from it goes on
    /// behind. False when that took longer than `patience`.
    pub fn rescan(&self, patience: Duration) -> bool {
        self.library.rescan(patience)
    }

    /// What is wrong with the plugin directory itself, if anything.
    pub fn directory_problem(&self) -> Option<String> {
        self.library.directory_problem()
    }

    /// Every instance that is alive, in the order of their names.
    pub fn status(&self) -> Vec<PluginStatus> {
        let all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut status: Vec<_> = all.iter().filter_map(Weak::upgrade).map(|h| h.status()).collect();
        status.sort_by(|a, b| a.instance.cmp(&b.instance));
        status
    }
}
