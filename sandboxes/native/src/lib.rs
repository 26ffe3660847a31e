//! Native CPython with the scientific packages, in a jail: the parent's side.
//!
//! A worker process embeds the interpreter, imports numpy, pandas and their like once, enters its jail and forks a jailed
//! child for every program; a kernel is a child that lives on from cell to cell. The worker is an executable of its own
//! (`worker/`), built for one Python by `install.py`, so that this crate builds and runs without it: [`Installation::locate`]
//! finds it.
//!
//! The jail: namespaces, Landlock, a list of system calls and resource limits (`jail/`). It does not stop faults of the
//! kernel in the remaining calls, what can be learnt from timing and from shared caches of the processor, and a program that
//! slows others down by using the memory's bandwidth. Programs of hostile tenants belong in WebAssembly or a virtual machine:
//! that is what the isolation floor is for.

mod canaries;
mod cgroups;
pub mod cleanup;
mod installation;
mod kernel_processes;
mod native;
mod offer;
mod processor;
mod scratch_root;
pub mod worker_config;

pub use installation::{Installation, InstallationError};
pub use native::{Config, Native};
pub use switchtower_jail::JailProfile;
pub use switchtower_worker::{StartError, WorkerLifetime};
