//! `weir plugin check FILE.wasm`: everything that a version goes through before it decides, and how long each step took.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::check::Checked;
use crate::compile::{Compiler, Workshop};
use crate::engine::Engines;
use crate::imports::Voice;
use crate::runtime::InstanceSpec;
use crate::status::{Kind, SelfTest};
use crate::trial::{Passed, Trial, TrialError};
use crate::world::{Answering, Checking, Scheduling, World};

/// What a file is and does.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether a node would use it.
    pub ok: bool,
    /// Why not.
    pub error: Option<String>,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Its size, bytes.
    pub size: usize,
    /// Its world, once that is known.
    pub kind: Option<Kind>,
    /// As its author calls it.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One sentence by the author.
    pub summary: String,
    /// Kind of a scheduler's plan for the synthetic servers.
    pub plan: Option<&'static str>,
    /// Linear memory after the self-test, bytes.
    pub memory_bytes: usize,
    /// How fast it answered.
    pub self_test: SelfTest,
    /// The steps that were taken, in their order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How long it took, milliseconds.
    pub ms: f64,
}

impl Report {
    fn step(&mut self, name: &'static str, took: Duration) {
        self.steps.push(Step { name, ms: took.as_secs_f64() * 1e3 });
    }
}

/// Loads a plugin of any world, checks its type, describes, configures and tries it with what is made up. What goes wrong
/// is in the report. `golden` is the text of its golden cases.
pub fn inspect(wasm: &[u8], config: &str, golden: Option<&str>, compiler: Compiler) -> Report {
    let digest = crate::digest(wasm);
    let mut report = Report {
        ok: false,
        error: None,
        sha256: digest.to_string(),
        size: wasm.len(),
        kind: None,
        name: String::new(),
        version: String::new(),
        summary: String::new(),
        plan: None,
        memory_bytes: 0,
        self_test: SelfTest::default(),
        steps: Vec::new(),
    };
    match examine(wasm, config, golden, compiler, &mut report) {
        Ok(()) => report.ok = true,
        Err(error) => report.error = Some(error),
    }
    report
}

fn examine(
    wasm: &[u8],
    config: &str,
    golden: Option<&str>,
    compiler: Compiler,
    report: &mut Report,
) -> Result<(), String> {
    // An empty cache: what is measured is what a node does at the first sight of a file.
    let dir = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let engines = Engines::start(1, 1).map_err(|e| e.to_string())?;
    let cache: &Path = &dir.path().join("cache");
    let workshop = Workshop::new(&engines, compiler, cache).map_err(|e| e.to_string())?;
    let loaded = workshop.load(wasm, crate::digest(wasm)).map_err(|e| e.to_string())?;
    report.step("compile", loaded.compiling);
    report.step("check types", loaded.checking);
    let kind = loaded.checked.kind();
    report.kind = Some(kind);
    let passed = match kind {
        Kind::Scheduler => try_out::<Scheduling>(config, golden, &engines, &loaded.checked),
        Kind::AgentCheck => try_out::<Checking>(config, golden, &engines, &loaded.checked),
        Kind::DnsAnswers => try_out::<Answering>(config, golden, &engines, &loaded.checked),
    };
    let passed = passed.map_err(|e| e.to_string())?;
    passed.steps.iter().for_each(|(name, took)| report.step(name, *took));
    report.name = passed.description.name;
    report.version = passed.description.version;
    report.summary = passed.description.summary;
    report.plan = passed.plan;
    report.memory_bytes = passed.memory;
    report.self_test = passed.self_test;
    Ok(())
}

fn try_out<W: World>(
    config: &str,
    golden: Option<&str>,
    engines: &Engines,
    checked: &Checked,
) -> Result<Passed, TrialError> {
    let (voice, scene) = (Arc::new(Voice::new("check")), W::Scene::default());
    let trial = Trial::<W> { config, memory: InstanceSpec::MEMORY, voice: &voice, golden, scene: &scene };
    trial.run(engines, checked)
}
