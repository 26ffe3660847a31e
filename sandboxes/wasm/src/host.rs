//! The host side of one instance: the calls of the guest, and the record of their effects.

use std::time::Duration;

use switchtower_contract::{Cell, Effect, KernelOptions, Limits, Need, Program};
use switchtower_worker::output::SendEvent;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::switchtower::sandbox::host as wit;
use crate::inputs::nanoseconds;
use crate::memory_use::MemoryUse;
use crate::run::{Cancel, Run, Stop};
use crate::shared_run::SharedRun;

/// The data of one instance's store.
pub(crate) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) run: SharedRun,
    pub(crate) memory: MemoryUse,
}

impl Host {
    /// Returns a host without a program. `wasi` makes the WASI objects for the shared run.
    pub(crate) fn new(wasi: impl FnOnce(&SharedRun) -> WasiCtx) -> Self {
        let run = SharedRun::default();
        Self { wasi: wasi(&run), table: ResourceTable::new(), memory: MemoryUse::new(run.clone()), run }
    }

    /// Assigns the instance to this program.
    pub(crate) fn assign(&mut self, program: &Program, limits: &Limits, send: SendEvent, cancel: Cancel) {
        self.memory.begin(limits.memory);
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
        self.memory.go_on(limits.memory);
        let mut run = self.run.lock();
        *run = Run::for_cell(&run, options, cell, limits, send, cancel);
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
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        self.memory.memory_growing(current, desired, most)
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        self.memory.table_growing(current, desired, most)
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
