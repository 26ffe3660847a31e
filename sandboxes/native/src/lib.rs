//! Native CPython with the scientific packages, in a jail: the parent's side of it.
//!
//! A worker process embeds the interpreter, imports numpy, pandas and their like once, enters its jail and forks a jailed
//! child for every program; a kernel is a child that lives on from cell to cell. The worker is an executable of its own
//! (`worker/`), made for one Python by `install.py`, so this crate builds and runs without one: [`Installation::locate`]
//! says whether it is there.
//!
//! What the wall is: the kernel's namespaces, Landlock, a list of system calls and resource limits (`jail/`). What it does
//! not stop: faults of the kernel in the calls that are left, what can be learnt from timing and from shared caches of the
//! processor, and a program that slows its neighbours down by using the memory's bandwidth. Tenants who are hostile on
//! purpose belong behind WebAssembly or a virtual machine: that is what the isolation floor is for.

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
pub use native::{Config, Config as Size, Native};
pub use switchtower_jail::JailProfile;
pub use switchtower_worker::{StartError, WorkerLifetime};

/// The former path of [`JailProfile`].
#[doc(hidden)]
pub mod worker {
    pub use switchtower_jail::JailProfile as Profile;
}
