//! The memory of an instance, and its limit.

use switchtower_contract::Need;
use wasmtime::ResourceLimiter;

use crate::shared_run::SharedRun;

/// Entries of a guest's function table: Python has about 20,000.
pub(crate) const TABLE_ELEMENTS: usize = 50_000;

/// The memory use of an instance.
pub(crate) struct MemoryUse {
    run: SharedRun,
    /// Bytes of the snapshot.
    image: u64,
    max: u64,
    peak: u64,
    denied: bool,
}

impl MemoryUse {
    pub(crate) fn new(run: SharedRun) -> Self {
        Self { run, image: 0, max: 0, peak: 0, denied: false }
    }

    /// Sets the limit of a program, beyond the snapshot.
    pub(crate) fn begin(&mut self, max: u64) {
        self.peak = 0;
        self.go_on(max);
    }

    /// Sets the limit of a cell; the memory of earlier cells counts.
    pub(crate) fn go_on(&mut self, max: u64) {
        self.max = max;
        self.denied = false;
    }

    /// Returns the peak of memory in bytes beyond the snapshot.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// Returns whether the program hit its limit of memory.
    pub(crate) fn was_denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for MemoryUse {
    fn memory_growing(&mut self, current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        if current == 0 {
            // The snapshot itself.
            self.image = self.image.max(desired as u64);
            return Ok(true);
        }
        let beyond = (desired as u64).saturating_sub(self.image);
        if self.max > 0 && beyond > self.max {
            self.denied = true;
            self.run.lock().lack(Need::Memory(self.max))?;
            return Ok(false);
        }
        self.peak = self.peak.max(beyond);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}
