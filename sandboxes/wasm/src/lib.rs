//! Python in WebAssembly: CPython for WASI with its standard library and sympy in a memory snapshot, run by wasmtime.
//!
//! Every program gets a fresh instance of the snapshot. What it cannot do: modules with native code (numpy), threads,
//! other processes, the network, files outside its own memory; integers of the machine are 32 bits wide. It observes
//! what a program asks the world for, so its results can be called pure.
//!
//! [`InProcess`] runs programs on threads of this process; [`WasmWorkers`] in jailed processes of their own, one per core,
//! since threads of one process do not scale (they share one memory map).

mod bindings;
mod compiled;
mod engine;
mod guest;
mod host;
mod in_process;
mod instance;
mod offer;
mod run;
mod runner;
mod wasi;
pub mod workers;
mod world;

/// What makes digests of a session's state, as Python. A kernel elsewhere that has read it ahead compares the faster.
pub const CANON: &str = include_str!("../../python/transfer/_switchtower/carry/canon.py");

pub use compiled::{Compiled, GuestError, Progress, Stage};
pub use in_process::InProcess;
pub use workers::WasmWorkers;
