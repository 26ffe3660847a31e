//! Python and JavaScript in WebAssembly: CPython with its standard library and sympy, and QuickJS-ng with a prelude of what
//! Node has, each in a memory snapshot, run by wasmtime.
//!
//! Every program gets a fresh instance of the snapshot. Not supported: modules with native code (numpy), threads, other
//! processes, the network, files outside its own memory; machine integers have 32 bits. The host observes every call
//! that makes a result nondeterministic, so that pure results can be recognised.
//!
//! [`InProcess`] runs programs on threads of this process; [`WasmWorkers`] in jailed processes of their own, one per
//! core, since threads of one process do not scale (they share one memory map).

mod bindings;
mod compiled;
mod engine;
mod guest;
mod host;
mod in_process;
mod inputs;
mod instance;
mod javascript;
mod memory_use;
mod offer;
mod run;
mod runner;
mod shared_run;
mod thread_stack;
mod wasi;
pub mod workers;

pub use compiled::{Compiled, GuestError, Progress, SetupStage};
pub use in_process::InProcess;
pub use workers::WasmWorkers;
