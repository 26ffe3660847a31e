//! JavaScript in WebAssembly: QuickJS-ng, with a prelude that gives it what programs for Node expect.
//!
//! The engine and its prelude run once, when the guest is compiled; the memory after that is the image from which every
//! instance starts. Not supported: packages, threads, other processes, the network, files outside its own memory, `Intl`.

mod arguments;
mod exports;
mod host;
mod instance;
mod prelude;
mod snapshot;

pub(crate) use instance::{Image, Instance};
pub(crate) use snapshot::{HASH, modules, snapshot};
