//! The engine and the linked guests, from which every instance is created.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::bindings;
use crate::host::Host;
use crate::javascript;
use crate::memory_use::TABLE_ELEMENTS;
use crate::wasi;

/// Most bytes of linear memory of one instance: the snapshot of about 100 MB, and the largest memory limit of a
/// program.
pub(crate) const MAX_MEMORY: usize = 1 << 30;
/// Bytes of stack for a guest that recurses through C. The guest checks the depth of its own stack, in its memory, and
/// raises RecursionError; what recurses without using that, such as the end of a list nested a million times, needs
/// this one.
const WASM_STACK: usize = 320 << 20;
/// Bytes of stack of a thread that runs a guest: the guest's stack, and the host's calls on top. It is reserved, not
/// used.
pub(crate) const THREAD_STACK: usize = 512 << 20;
/// How often a running guest checks its deadline: the precision of deadlines.
const TICK: Duration = Duration::from_millis(1);
/// Bytes of a finished instance that stay resident for the next one in its slot: more than programs write to.
const KEEP_RESIDENT: usize = 256 << 20;
/// The same with many instances, so that the memory of a large one is returned.
const KEEP_RESIDENT_OF_MANY: usize = 8 << 20;
/// The number of instances from which they count as many.
const MANY: u32 = 64;

/// Returns the engine's configuration, which compiled guests depend on.
fn config(instances: u32) -> Config {
    let resident = if instances < MANY { KEEP_RESIDENT } else { KEEP_RESIDENT_OF_MANY };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * 64)
        .total_memories(instances)
        .total_tables(instances * 4)
        .total_stacks(instances)
        .max_core_instances_per_component(64)
        .max_memories_per_component(1)
        .max_tables_per_component(4)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MAX_MEMORY)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(1 << 20)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .memory_init_cow(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(WASM_STACK + (1 << 20))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(1 << 32);
    config
}

/// Returns an engine for this many instances at once.
pub(crate) fn engine(instances: u32) -> wasmtime::Result<Engine> {
    Engine::new(&config(instances))
}

/// The loaded and linked guests.
pub(crate) struct Images {
    pub(crate) engine: Engine,
    pub(crate) python: bindings::SandboxPre<Host>,
    pub(crate) javascript: javascript::Image,
    pub(crate) ticker: Ticker,
}

impl Images {
    /// Maps the compiled guests into memory.
    ///
    /// # Safety
    /// The files must be the output of [`Engine::precompile_component`] and [`Engine::precompile_module`]: they are executed
    /// without checks.
    #[allow(unsafe_code, reason = "compiled guests are machine code; the caller guarantees the file")]
    pub(crate) unsafe fn load(python: &Path, javascript: &Path, instances: u32) -> wasmtime::Result<Arc<Self>> {
        let engine = engine(instances)?;
        // SAFETY: as the caller guarantees.
        let component = unsafe { Component::deserialize_file(&engine, python)? };
        let mut linker: Linker<Host> = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        wasi::sleep_without_waiting(&mut linker)?;
        wasi::write_without_waiting(&mut linker)?;
        bindings::switchtower::sandbox::host::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
        let python = bindings::SandboxPre::new(linker.instantiate_pre(&component)?)?;
        // SAFETY: as the caller guarantees.
        let module = unsafe { wasmtime::Module::deserialize_file(&engine, javascript)? };
        let javascript = javascript::Image::link(&engine, &module)?;
        Ok(Arc::new(Self { engine, python, javascript, ticker: Ticker::default() }))
    }

    /// Has guests check their deadlines until the guard is dropped.
    pub(crate) fn ticking(&self) -> TickGuard<'_> {
        self.ticker.start(&self.engine)
    }
}

/// Increments the engine's epoch on a thread of its own while programs run.
#[derive(Default)]
pub(crate) struct Ticker {
    inner: Arc<TickerShared>,
}

#[derive(Default)]
struct TickerShared {
    running: Mutex<TickerState>,
    changed: Condvar,
}

#[derive(Default)]
struct TickerState {
    programs: usize,
    thread: bool,
}

/// Has the ticker run until it is dropped.
pub(crate) struct TickGuard<'a>(&'a TickerShared);

impl Ticker {
    /// Starts the ticker; its thread starts with the first call.
    pub(crate) fn start(&self, engine: &Engine) -> TickGuard<'_> {
        let mut count = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        count.programs += 1;
        if !count.thread {
            let (state, engine) = (Arc::downgrade(&self.inner), engine.weak());
            let spawned = std::thread::Builder::new().name("ticker".into()).spawn(move || tick(&state, &engine));
            count.thread = spawned.is_ok();
        }
        self.inner.changed.notify_one();
        TickGuard(&self.inner)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.inner.changed.notify_one();
    }
}

impl Drop for TickGuard<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).programs -= 1;
    }
}

#[allow(clippy::disallowed_methods, reason = "programs run in real time")]
fn tick(state: &Weak<TickerShared>, engine: &wasmtime::EngineWeak) {
    loop {
        let (Some(state), Some(engine)) = (state.upgrade(), engine.upgrade()) else { return };
        let count = state.running.lock().unwrap_or_else(PoisonError::into_inner);
        if count.programs == 0 {
            // No program runs: waits, but not without end, so that the thread ends with its ticker.
            let _woken = state.changed.wait_timeout(count, Duration::from_secs(1));
            continue;
        }
        drop(count);
        engine.increment_epoch();
        drop((state, engine));
        std::thread::sleep(TICK);
    }
}
