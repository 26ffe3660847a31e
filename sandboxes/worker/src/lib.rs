//! Worker processes: jailed children that run programs, the second layer of isolation.
//!
//! The parent's side ([`WorkerPool`]) starts them, gives each one program at a time, kills it when a program does not
//! end within its grace period, and starts another. [`KernelPool`] does the same for kernels. The worker's side
//! ([`child`]) enters its [`jail`] and executes commands. [`frames`] cross between them; [`protocol`] is their version.
//! The backend brings the engine that runs programs.

#[cfg(not(target_os = "linux"))]
compile_error!("Switchtower runs on Linux only (x86_64 or aarch64): its jails need Landlock, seccomp and namespaces");

mod canary;
pub mod child;
mod connection;
mod descriptors;
pub mod frames;
pub mod jail;
mod kernel_job;
mod kernel_pool;
mod kernel_supervisor;
pub mod memory;
pub mod output;
pub mod parent;
mod pool;
pub mod private_folder;
mod process;
pub mod protocol;
pub mod signals;
pub mod spawn;
mod supervisor;

pub use canary::Canary;
pub use kernel_pool::{KernelConfig, KernelPool};
pub use pool::{PoolConfig, WorkerPool};
pub use process::{LaunchConfig, StartError, Timeouts, WorkerLifetime};
