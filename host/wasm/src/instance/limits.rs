//! What an instance may have.

use wasmtime::ResourceLimiter;

/// Elements of a table: function pointers of a guest. Rust guests have some hundred.
const TABLE_ELEMENTS: usize = 100_000;

/// The limits of one Store. Going over one is a trap at that moment: a guest that is told "no" instead dies later, of
/// something that nobody can read.
#[derive(Debug)]
pub struct Limits {
    memory: usize,
    /// Of all its memories together.
    used: usize,
}

/// It wanted more than it may have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it wants {} KiB of memory and may have {} KiB", wanted >> 10, limit >> 10)]
    Memory { wanted: usize, limit: usize },
    #[error("it wants a table of {wanted} elements and may have {TABLE_ELEMENTS}")]
    Table { wanted: usize },
}

impl Limits {
    /// This much linear memory, bytes.
    pub fn new(memory: usize) -> Self {
        Self { memory, used: 0 }
    }

    /// Linear memory in use, bytes.
    pub fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_sub(current).saturating_add(desired);
        if wanted > self.memory {
            return Err(wasmtime::Error::new(Refused::Memory { wanted, limit: self.memory }));
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(wasmtime::Error::new(Refused::Table { wanted: desired }));
        }
        Ok(true)
    }
}
