//! Bytes to machine code: in a child process with limits, once for each content, cached on disk.
//!
//! Compiling is the one thing that wasmtime does not promise to bound, so untrusted bytes are parsed and compiled by a child
//! at the lowest priority, with limits on memory, processor time and time. What it answers is written into a directory that
//! only this user can write, and loaded from there. A `.cwasm` from anywhere else is never loaded.

mod cache;
mod child;

pub use cache::CacheError;
pub(crate) use cache::{private_dir, write_whole};
pub use child::compile_child_main;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Engine;
use weir_core::plugin::Digest;

use crate::check::{CheckError, Checked, check};
use crate::engine::Engines;

/// The largest file that is compiled: the largest plugin seen, a Python interpreter, is 18 MiB.
pub const MAX_WASM: usize = 32 << 20;
/// How long a child may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where untrusted bytes become machine code.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// In a child process: this executable with these arguments, which must end in [`compile_child_main`].
    Child {
        /// The executable, usually the running one.
        exe: PathBuf,
        /// Its arguments, for `weir` the one word `compile-plugin`.
        args: Vec<String>,
    },
    /// In this process, without limits: for tests, and for bytes that one trusts.
    InProcess,
}

/// Why there is no machine code, and nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Too large. Whoever put the file there is at fault.
    #[error("it is {size} bytes, at most {MAX_WASM} are accepted")]
    TooLarge {
        /// What it is.
        size: usize,
    },
    /// Not WebAssembly, truncated, or of a feature that is off. Whoever put the file there is at fault.
    #[error("it cannot be compiled: {0}")]
    Compile(String),
    /// The child took more than [`PATIENCE`].
    #[error("compiling it took more than {PATIENCE:?} and was stopped")]
    Timeout,
    /// No child could be run. The host is at fault.
    #[error("the compiler cannot be run: {0}")]
    Child(String),
    /// The child was killed by somebody else. The host is at fault: most often it was short of memory.
    #[error("the compiler was killed by signal {signal}; signal 9 is mostly a host that is out of memory")]
    Killed {
        /// Which.
        signal: i32,
    },
    /// The state directory is at fault.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Machine code that wasmtime refuses. The host is at fault.
    #[error("its compiled form is refused: {0}")]
    Artifact(String),
    /// A good component that is not what is wanted.
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// A plugin that is ready to be instantiated.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// It, with its imports resolved.
    pub checked: Checked,
    /// How long compiling took, zero where the cache had it.
    pub compiling: Duration,
    /// How long checking took.
    pub checking: Duration,
}

/// Compiles for all instances, one content at a time.
#[derive(Debug)]
pub struct Workshop {
    engine: Engine,
    compiler: Compiler,
    cache: cache::Cache,
    /// One at a time: children of several plugins at once would fill the cores of a small node.
    turn: Mutex<()>,
}

impl Workshop {
    /// With its cache in this directory, which is made where it is missing.
    ///
    /// # Errors
    /// Where the directory cannot be made private.
    pub fn new(engines: &Engines, compiler: Compiler, cache: &Path) -> Result<Self, CacheError> {
        let engine = engines.engine().clone();
        let cache = cache::Cache::open(cache, crate::engine::compatibility(&engine))?;
        Ok(Self { engine, compiler, cache, turn: Mutex::default() })
    }

    /// Compiles, or finds it compiled, and checks it. Blocks for as long as that takes.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn load(&self, wasm: &[u8], digest: Digest) -> Result<Loaded, LoadError> {
        if wasm.len() > MAX_WASM {
            return Err(LoadError::TooLarge { size: wasm.len() });
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut compiling = Duration::ZERO;
        let component = match self.cache.load(&self.engine, &digest) {
            Some(component) => component,
            None => {
                let start = Instant::now();
                let artifact = self.compile(wasm)?;
                compiling = start.elapsed();
                self.cache.store(&digest, &artifact)?;
                self.cache.load(&self.engine, &digest).ok_or_else(|| {
                    LoadError::Artifact("it was just compiled, and this engine does not take it".into())
                })?
            }
        };
        let start = Instant::now();
        let checked = check(&self.engine, &component)?;
        Ok(Loaded { checked, compiling, checking: start.elapsed() })
    }

    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
        match &self.compiler {
            Compiler::Child { exe, args } => child::compile(exe, args, wasm),
            Compiler::InProcess => compile_here(&self.engine, wasm).map_err(LoadError::Compile),
        }
    }
}

/// Encodes where that is needed, and compiles.
pub(crate) fn compile_here(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let words = |e: &dyn std::fmt::Display| crate::instance::brief(&format!("{e:#}"));
    if wasm.starts_with(b"\0asm") {
        whole(wasm)?;
    }
    let component = encode(wasm)?;
    engine.precompile_component(component.as_deref().unwrap_or(wasm)).map_err(|e| words(&e))
}

/// Walks every section once. The encoder slices a module by the lengths that it states, and a file that was cut off would
/// have it panic.
fn whole(wasm: &[u8]) -> Result<(), String> {
    for section in wasmparser::Parser::new(0).parse_all(wasm) {
        section.map_err(|e| format!("it is cut off or damaged: {}", e.message()))?;
    }
    Ok(())
}

/// Makes a component of a core module, as `cargo build --target wasm32-unknown-unknown` leaves it; `None` where it is one already.
fn encode(wasm: &[u8]) -> Result<Option<Vec<u8>>, String> {
    // Magic, then the version of the encoding and the layer: 0 is a core module, 1 a component.
    match wasm.first_chunk() {
        Some(b"\0asm\x0d\0\x01\0") => Ok(None),
        Some(b"\0asm\x01\0\0\0") => wit_component::ComponentEncoder::default()
            .validate(true)
            .module(wasm)
            .and_then(|mut encoder| encoder.encode())
            .map(Some)
            .map_err(|e| crate::instance::brief(&format!("{e:#}").replace('\n', " "))),
        _ => Err("it is not WebAssembly (no `\\0asm` header of a version this host knows)".into()),
    }
}
