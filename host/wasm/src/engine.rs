//! One engine for all plugins, set for the lowest cost of a call, and the ticker that deadlines hang on.
//!
//! * Component concurrency is off, and not compiled in: with it a call costs 485 ns and not 130.
//! * Deadlines are epochs: two atomic loads in a call, and no budget to tune. The ticker sleeps while no guest runs.
//! * `multi_memory` stays on: without it wasmtime 48 panics on components with an internal adapter. Everything else that
//!   the plugins of `wit/` have no use for is off: less to compile is less to break out of.
//! * Instances come from a pool, because making one then costs half. Where the address space for it cannot be had (a limit
//!   on virtual memory), they are made on demand.

mod ticker;

pub use ticker::{Lane, Ticker};

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy};

use crate::runtime::{InstanceSpec, RuntimeError};

/// Stack of a guest. Deep recursion is a bug of a policy; 256 KiB is what wasmtime's own guests need at most.
const GUEST_STACK: usize = 256 << 10;
/// So many plugins have room for an instance for each worker, whatever is asked for: more may come while the node runs.
pub(crate) const PLUGINS: usize = 32;
/// Kept resident in a slot that is given back: saves a fifth of the cost of an instance.
const KEEP_RESIDENT: usize = 128 << 10;

/// The engine and its ticker.
#[derive(Debug, Clone)]
pub struct Engines {
    engine: Engine,
    ticker: Arc<Ticker>,
    pooled: bool,
}

impl Engines {
    /// Starts the engine, with room for the instances of this many workers of so many plugins, and its ticker.
    ///
    /// # Errors
    /// Where wasmtime does not work on this machine, or there can be no thread.
    pub fn start(workers: usize, plugins: usize) -> Result<Self, RuntimeError> {
        let mut config = settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(workers, plugins)));
        let (engine, pooled) = match Engine::new(&config) {
            Ok(engine) => (engine, true),
            Err(error) => {
                tracing::warn!(%error, "no address space for a pool of instances; they are made on demand");
                (Engine::new(&settings()).map_err(|e| RuntimeError::Engine(format!("{e:#}")))?, false)
            }
        };
        let ticker = Ticker::start(&engine)?;
        Ok(Self { engine, ticker: Arc::new(ticker), pooled })
    }

    /// wasmtime's engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What advances the epoch.
    pub fn ticker(&self) -> &Arc<Ticker> {
        &self.ticker
    }

    /// Whether instances come from a pool.
    pub fn pooled(&self) -> bool {
        self.pooled
    }
}

/// The engine of a child that only compiles: the same code, no pool.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&settings())
}

/// Differs wherever compiled code of one engine is of no use to the other.
pub(crate) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        // Registering unwind information takes a lock of libgcc; wasmtime's own backtraces do without.
        .native_unwind_info(false)
        .memory_init_cow(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_multi_memory(true);
    config
}

fn pool(workers: usize, plugins: usize) -> PoolingAllocationConfig {
    // Per plugin: each worker, the one that makes plans and the one on trial; and two generations of them.
    let bounded = |count: usize, most: u32| u32::try_from(count).unwrap_or(most).min(most);
    let (workers, plugins) = (bounded(workers.max(1), 256), bounded(plugins.max(PLUGINS), 4096));
    let instances = plugins * (workers + 2) * 2;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances * 4)
        .total_memories(instances * 2)
        .total_tables(instances * 4)
        .max_core_instances_per_component(64)
        .max_memories_per_component(8)
        .max_tables_per_component(32)
        .max_memory_size(InstanceSpec::MEMORY_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .max_unused_warm_slots(16);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_compiled_without_a_pool_is_good_for_the_engine_with_one() {
        let engines = Engines::start(2, 1).unwrap();
        assert!(engines.pooled());
        assert_eq!(compatibility(engines.engine()), compatibility(&compiling().unwrap()));
    }
}
