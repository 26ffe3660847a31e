//! Worker processes: children that run programs behind a second wall.
//!
//! The parent's side ([`Workers`]) keeps them alive, gives each one program at a time, kills it from outside when a
//! deadline passes unheeded, and starts another. [`Kernels`] does the same for interpreters that are kept. The child's side ([`child`]) enters its [`jail`] and answers orders.
//! What crosses between them are [`frames`]. The engine that runs programs is the backend's.

mod canary;
pub mod child;
mod connection;
mod descriptors;
pub mod folder;
pub mod frames;
pub mod jail;
mod keeper;
mod kernel_job;
mod kernel_keeper;
mod kernels;
pub mod memory;
pub mod parent;
mod process;
pub mod protocol;
pub mod sink;
mod spawn;
mod workers;

pub use canary::Canary;
pub use kernels::{Keeping, Kernels};
pub use process::{Command, Patience, Renewal, StartError};
pub use workers::{Config, Workers};
