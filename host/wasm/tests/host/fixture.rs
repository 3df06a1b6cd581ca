//! A runtime over temporary directories, servers, and a worker that does as the proxy's does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use weir_core::model::{Load, Server, State};
use weir_core::schedule::{Chooser, Chosen, Plan, Policy, PolicySource, Request, View};
use weir_wasm::{
    Compiler, HostedChooser, HostedJudge, HostedScheduler, InstanceSpec, PluginStatus, Runtime,
    RuntimeOptions,
};

pub fn servers(count: u32) -> Arc<[Server]> {
    (0..count)
        .map(|id| Server {
            id,
            name: format!("s{id}").into(),
            address: ([127, 0, 0, 1], 9).into(),
            state: State::Up,
            weight: 1,
            max_in_flight: None,
            labels: Arc::new([]),
            load: Load::new(1),
        })
        .collect()
}

/// Temporary directories and a runtime over them.
pub struct Node {
    pub runtime: Runtime,
    pub changed: Arc<Signal>,
    pub dir: tempfile::TempDir,
}

/// Counts how often something happened.
#[derive(Default)]
pub struct Signal {
    pub count: Mutex<u64>,
    changed: Condvar,
}

impl Node {
    pub fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// Over directories that are there, as after a restart.
    pub fn at(dir: tempfile::TempDir) -> Self {
        Self::with(dir, |_| ())
    }

    pub fn with(dir: tempfile::TempDir, change: impl FnOnce(&mut RuntimeOptions)) -> Self {
        let plugins = dir.path().join("plugins");
        let _ = fs::create_dir(&plugins);
        let mut options = RuntimeOptions::new(dir.path().join("state"), plugins, 2, Compiler::InProcess);
        options.rules.grace = Duration::from_millis(300);
        change(&mut options);
        Self { runtime: Runtime::new(options).unwrap(), changed: Arc::default(), dir }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("plugins").join(file)
    }

    /// Puts a file there by rename, as documented, and has the directory looked at.
    pub fn put(&self, file: &str, bytes: &[u8]) {
        put(&self.path(file), bytes);
        assert!(self.runtime.rescan(Duration::from_secs(60)));
    }

    pub fn scheduler(&self, spec: InstanceSpec) -> Arc<HostedScheduler> {
        let changed = Arc::clone(&self.changed);
        self.runtime.scheduler("spread", spec, move || changed.notify()).unwrap()
    }

    pub fn judge(&self) -> Arc<HostedJudge> {
        let changed = Arc::clone(&self.changed);
        self.runtime.judge("judge", InstanceSpec::new("a.wasm"), move || changed.notify()).unwrap()
    }

    pub fn chooser(&self) -> Arc<HostedChooser> {
        let changed = Arc::clone(&self.changed);
        self.runtime.chooser("www", InstanceSpec::new("a.wasm"), 1, move || changed.notify()).unwrap()
    }

    /// Waits until this version of the one plugin decides.
    pub fn wait_for(&self, version: &str) {
        let serves = || self.status().version.is_some_and(|v| v.version == version);
        self.changed.wait(&format!("version {version}"), serves);
    }

    /// Of the one plugin.
    pub fn status(&self) -> PluginStatus {
        self.runtime.status().remove(0)
    }
}

/// Writes a file beside and renames it. It claims to be a while old, so that nobody waits for it to settle.
pub fn put(path: &Path, bytes: &[u8]) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes).unwrap();
    let a_while_ago = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(&temporary).unwrap().set_modified(a_while_ago).unwrap();
    fs::rename(&temporary, path).unwrap();
}

impl Signal {
    pub fn notify(&self) {
        *self.count.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    /// Waits until this holds; it is looked at after each change, and now and then for what has no event.
    pub fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        let mut count = self.count.lock().unwrap();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(60), "in vain: {what}");
            count = self.changed.wait_timeout(count, Duration::from_millis(10)).unwrap().0;
        }
    }
}

impl Node {
    pub fn wait_state(&self, hosted: &HostedScheduler, state: &str) -> PluginStatus {
        self.changed
            .wait(&format!("{state}, but it is {:?}", hosted.status()), || hosted.status().state == state);
        hosted.status()
    }

    pub fn wait_version(&self, hosted: &HostedScheduler, version: &str) {
        let serves = || hosted.status().version.is_some_and(|v| v.version == version);
        self.changed.wait(&format!("version {version}"), serves);
    }
}

static EPOCH: AtomicU64 = AtomicU64::new(1);

/// A worker of the proxy, without the proxy.
pub struct Worker {
    pub source: Arc<HostedScheduler>,
    id: usize,
    generation: u64,
    instance: Option<Box<dyn Policy>>,
    servers: Arc<[Server]>,
    view: View,
    chooser: Chooser,
}

impl Worker {
    pub fn new(source: &Arc<HostedScheduler>, id: usize, servers: &Arc<[Server]>) -> Self {
        let view = View::new(0, 0, Arc::clone(servers), Plan::Fallback);
        Self {
            source: Arc::clone(source),
            id,
            generation: u64::MAX,
            instance: None,
            servers: Arc::clone(servers),
            view,
            chooser: Chooser::default(),
        }
    }

    /// Serves one request.
    pub fn serve(&mut self, key: u64) -> Chosen {
        let generation = self.source.generation();
        if generation != self.generation {
            self.generation = generation;
            self.instance = None;
            let plan = self.source.plan(&self.servers);
            let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
            self.view = View::new(epoch, 1, Arc::clone(&self.servers), plan);
        }
        if self.instance.is_none() {
            self.instance = self.source.instance(self.id);
            if let Some(instance) = &mut self.instance {
                instance.update(&self.servers).unwrap();
            }
        }
        let request = Request { key, ..Request::default() };
        self.source.seen(self.id, request);
        let policy = self.instance.as_deref_mut().map(|p| p as &mut dyn Policy);
        let chosen = self.chooser.choose(&self.view, request, true, policy, |_| false);
        if let Some(failure) = &chosen.failure {
            if failure.poisons() {
                self.instance = None;
            }
            self.source.failed(self.id, self.generation, "pick", failure);
        }
        chosen
    }
}
