//! The host side of one instance: the calls of the guest, and the record of their effects.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use switchtower_contract::{Cell, Effect, KernelOptions, Limits, Need, Program};
use switchtower_worker::output::SendEvent;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::switchtower::sandbox::host as wit;
use crate::inputs::nanoseconds;
use crate::run::{Cancel, Run, Stop};

/// Entries of the guest's function table: it has about 20,000.
pub(crate) const TABLE_ELEMENTS: usize = 50_000;

/// The run, shared by the store's data and its WASI objects. The lock is short and never held over a call into the
/// guest.
#[derive(Clone)]
pub(crate) struct SharedRun(Arc<Mutex<Run>>);

impl SharedRun {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Run> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The data of one instance's store.
pub(crate) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) run: SharedRun,
    memory: MemoryUse,
}

/// The memory use of the instance.
#[derive(Default)]
struct MemoryUse {
    /// Bytes of the snapshot.
    image: u64,
    max: u64,
    peak: u64,
    denied: bool,
}

impl Host {
    /// Returns a host without a program. `wasi` makes the WASI objects for the shared run.
    pub(crate) fn new(wasi: impl FnOnce(&SharedRun) -> WasiCtx) -> Self {
        let run = SharedRun(Arc::new(Mutex::new(Run::without_program())));
        Self { wasi: wasi(&run), table: ResourceTable::new(), run, memory: MemoryUse::default() }
    }

    /// Assigns the instance to this program.
    pub(crate) fn assign(&mut self, program: &Program, limits: &Limits, send: SendEvent, cancel: Cancel) {
        self.memory.max = limits.memory;
        self.memory.peak = 0;
        self.memory.denied = false;
        *self.run.lock() = Run::for_program(program, limits, send, cancel);
    }

    /// Assigns the instance to this cell. The memory of earlier cells counts against the limit.
    pub(crate) fn assign_cell(
        &mut self,
        options: &KernelOptions,
        cell: &Cell,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) {
        self.memory.max = limits.memory;
        self.memory.denied = false;
        *self.run.lock() = Run::for_cell(options, cell, limits, send, cancel);
    }

    /// Returns the peak of memory in bytes beyond the snapshot.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory.peak
    }

    /// Returns whether the program hit its limit of memory.
    pub(crate) fn was_denied_memory(&self) -> bool {
        self.memory.denied
    }

    /// Sends on output and checks the deadline; called a thousand times a second while the program computes.
    pub(crate) fn tick(&self) -> Result<(), Stop> {
        let mut run = self.run.lock();
        run.output.tick();
        run.check()
    }

    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Stop> {
        self.run.lock().sleep(time)
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        if current == 0 {
            // The snapshot itself.
            self.memory.image = self.memory.image.max(desired as u64);
            return Ok(true);
        }
        let beyond = (desired as u64).saturating_sub(self.memory.image);
        if self.memory.max > 0 && beyond > self.memory.max {
            self.memory.denied = true;
            self.run.lock().lack(Need::Memory(self.memory.max))?;
            return Ok(false);
        }
        self.memory.peak = self.memory.peak.max(beyond);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

impl wit::Host for Host {
    fn environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.run.lock().environment())
    }

    fn note_question(&mut self, about: wit::Question) -> wasmtime::Result<()> {
        self.run.lock().effects.add(match about {
            wit::Question::Identity => Effect::Identity,
            wit::Question::Clock => Effect::Clock,
        });
        Ok(())
    }

    fn started(&mut self) -> wasmtime::Result<u64> {
        Ok(nanoseconds(self.run.lock().began()))
    }

    fn sleep(&mut self, time: u64) -> wasmtime::Result<()> {
        Ok(Host::sleep(self, Duration::from_nanos(time))?)
    }

    fn report_need(&mut self, what: wit::Need, detail: String) -> wasmtime::Result<()> {
        Ok(self.run.lock().lack(match what {
            wit::Need::Module => Need::Module(detail),
            wit::Need::Files => Need::Files(detail),
            wit::Need::Network => Need::Network(detail),
            wit::Need::Process => Need::Process(detail),
            wit::Need::Threads => Need::Threads,
            wit::Need::Language => Need::Language(detail),
        })?)
    }

    fn show(&mut self, data: Vec<(String, String)>, main: bool) -> wasmtime::Result<()> {
        self.run.lock().output.show(data.into_iter().collect(), main);
        Ok(())
    }

    fn leave(&mut self, code: i32) -> wasmtime::Result<()> {
        Err(Stop::Exited(code).into())
    }
}
